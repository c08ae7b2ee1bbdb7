"""``hookline verify``: does a captured request carry the signature it should, and if not, why?

Reads two files and a secret; speaks to no server. It never prints what the signature should have been.
"""

from __future__ import annotations

import json as json_
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from hookline.cli import show
from hookline.cli.client import CommandError
from hookline.cli.options import Json, read_bytes, read_secret
from hookline.core.inbound import NO_IDEA, PRESETS, Diagnosis, Scheme, diagnose, scheme_from
from hookline.errors import InputError

_HEADER_LINE: Final = re.compile(r"[<>]?\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")

_NOT_THE_BODY: Final = (
    "The other signature fits, so the body is right and another secret made this one. While a secret is being rotated "
    "a header that holds one signature keeps the secret before: give it with --previous-secret."
)

_BY_A_KEY_PAIR: Final = (
    "It is signed with a private key (v1a), not with a secret: "
    "give the webhook's public_key, whpk_…, as --secret."
)

Headers = list[tuple[str, str]]


def verify(
    *,
    secret: str,
    headers: Path,
    body: Path,
    preset: str | None = None,
    scheme: Path | None = None,
    url: str = "",
    method: str = "POST",
    previous_secret: str | None = None,
    json: Json = False,
) -> int:
    """Check a captured request's signature and, if it fails, say why.

    Knows Standard Webhooks, AgenticFlow, Stripe, GitHub, Slack and the other presets; without `--preset` it checks
    whichever the request carries. Exit code 0 only if all of them fit.

    For example:

    ```
    hookline verify --secret whsec_… --headers headers.txt --body body.json
    hookline verify --secret @secret.txt --headers headers.json --body body.json --preset stripe
    hookline verify --secret … --headers headers.txt --body form --preset twilio --url https://example.com/sms
    ```

    Parameters
    ----------
    secret
        The webhook's secret, or `@FILE` with it, which keeps it out of the shell's history.
    headers
        File with one `Name: value` a line, as curl shows them, or a JSON object.
    body
        File with the body's exact bytes; a body that was parsed and written again rarely verifies.
    preset
        Who sent it: `stripe`, `github`, `slack` and so on.
    scheme
        JSON file with an own scheme's fields, instead of a preset.
    url
        The public URL with its query, for senders that sign it or put a secret into it.
    method
        The request's method.
    previous_secret
        The secret before the last rotation, or `@FILE` with it.
    """
    secrets = [read_secret(text) for text in (secret, previous_secret) if text is not None]
    pairs, raw = _read_headers(headers), read_bytes(body)
    schemes = _schemes(preset, scheme, pairs, has_public_key=secrets[0].startswith("whpk_"))
    if not schemes:
        raise CommandError(
            f"{headers} holds neither webhook-signature nor X-AgenticFlow-Signature nor another sender's "
            "signature: are all headers in it? Else name the sender with --preset."
        )
    now = datetime.now(UTC)
    found = [
        (each.name, _diagnosis(each, secrets, method=method, url=url, headers=pairs, body=raw, now=now))
        for each in schemes
    ]
    if any(diagnosis.is_valid for _, diagnosis in found):
        found = [(name, _beside_a_good_one(diagnosis)) for name, diagnosis in found]
    if json:
        show.as_json([_shown(name, diagnosis) for name, diagnosis in found])
    else:
        _print(found)
    return 0 if all(diagnosis.is_valid for _, diagnosis in found) else 1


def _schemes(
    preset: str | None, scheme: Path | None, headers: Headers, *, has_public_key: bool
) -> list[Scheme]:
    if preset is not None and scheme is not None:
        raise CommandError("--preset and --scheme exclude each other")
    try:
        if preset is not None:
            return [scheme_from({"preset": preset}, field="--preset")]
        if scheme is not None:
            return [scheme_from(_object(scheme), field=str(scheme))]
    except InputError as error:
        wanted = f" Expected: {error.expected}." if error.expected else ""
        raise CommandError(f"{error.message} ({error.field}).{wanted}") from error
    if has_public_key:
        return [PRESETS["standard_v1a"]]
    return _carried({name.lower() for name, _ in headers})


def _carried(names: set[str]) -> list[Scheme]:
    """The presets whose signature is there, one for each header: GitHub and Meta share theirs, and sign alike."""
    found: dict[str, Scheme] = {}
    for scheme in PRESETS.values():
        source = scheme.signature[0]
        if source.place == "header" and source.names[0] in names:
            found.setdefault(source.names[0], scheme)
    return list(found.values())


def _diagnosis(
    scheme: Scheme,
    secrets: Sequence[str],
    *,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    now: datetime,
) -> Diagnosis:
    try:
        found = diagnose(scheme, secrets, method=method, url=url, headers=headers, body=body, now=now)
    except InputError as error:
        raise CommandError(f"--secret does not fit {scheme.name}: {error.message}") from error
    if found.is_valid or scheme.name != "standard" or not _is_by_a_key_pair(headers):
        return found
    kept = tuple(finding for finding in found.findings if finding != NO_IDEA)
    return msgspec.structs.replace(found, findings=(*kept, _BY_A_KEY_PAIR))


def _is_by_a_key_pair(headers: Headers) -> bool:
    signatures = " ".join(value for name, value in headers if name.lower() == "webhook-signature").split()
    return bool(signatures) and all(one.startswith("v1a,") for one in signatures)


def _beside_a_good_one(diagnosis: Diagnosis) -> Diagnosis:
    """Say of a signature that fits nothing what the other one, which fits, tells of it: the body is right."""
    if NO_IDEA not in diagnosis.findings:
        return diagnosis
    kept = tuple(finding for finding in diagnosis.findings if finding != NO_IDEA)
    return msgspec.structs.replace(diagnosis, findings=(*kept, _NOT_THE_BODY))


def _shown(name: str, diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "scheme": name,
        "valid": diagnosis.is_valid,
        "reason": diagnosis.reason,
        "reasons": list(diagnosis.findings),
    }


def _print(found: list[tuple[str, Diagnosis]]) -> None:
    for name, diagnosis in found:
        is_valid = diagnosis.is_valid
        show.line(
            f"{name}: {'valid' if is_valid else 'does not verify'}", "green" if is_valid else "bold red"
        )
        for sentence in diagnosis.findings:
            show.line(f"  {sentence}")


def _read_headers(path: Path) -> Headers:
    text = read_bytes(path).decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        return list(_pairs(_object(path)))
    matches = (_HEADER_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return [(match[1], match[2]) for match in matches if match]


def _object(path: Path) -> dict[str, object]:
    try:
        parsed = json_.loads(read_bytes(path))
    except ValueError as error:
        raise CommandError(f"{path} must hold JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CommandError(f"{path} must hold a JSON object")
    return parsed


def _pairs(parsed: Mapping[str, object]) -> Headers:
    """Frameworks print a header as one text or as a list of them."""
    return [
        (name, str(value))
        for name, values in parsed.items()
        for value in (values if isinstance(values, list) else [values])
    ]
