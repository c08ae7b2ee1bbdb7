"""``hookline verify``: does a captured request carry the signature it should, and if not, why?

Reads two files and a secret; speaks to no server. It never prints what the signature should have been.
"""

from __future__ import annotations

import json as json_
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hookline.cli import show
from hookline.cli.client import CommandError
from hookline.cli.options import Json
from hookline.core import signing

_ANY_AGE: Final = timedelta(days=365_000)
_HEADER_LINE: Final = re.compile(r"[<>]?\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")

Headers = list[tuple[str, str]]


def verify(*, secret: str, headers: Path, body: Path, json: Json = False) -> int:
    """Check a captured request's signature and, if it fails, say why.

    Knows Standard Webhooks (`webhook-signature`) and AgenticFlow (`X-AgenticFlow-Signature`); checks whichever
    the request carries. Exit code 0 only if all of them fit.

    For example:

    ```
    hookline verify --secret whsec_… --headers headers.txt --body body.json
    hookline verify --secret @secret.txt --headers headers.json --body body.json
    ```

    Parameters
    ----------
    secret
        The webhook's secret, or `@FILE` with it, which keeps it out of the shell's history.
    headers
        File with one `Name: value` a line, as curl shows them, or a JSON object.
    body
        File with the body's exact bytes; a body that was parsed and written again rarely verifies.
    """
    known = _read_secret(secret)
    pairs, raw = _read_headers(headers), _read(body)
    findings = list(_check(known, pairs, raw, datetime.now(UTC)))
    if not findings:
        raise CommandError(
            f"{headers} holds neither webhook-signature nor X-AgenticFlow-Signature: are all headers in it?"
        )
    if json:
        show.as_json(
            [{"scheme": name, "valid": not reasons, "reasons": reasons} for name, reasons in findings]
        )
    else:
        _print(findings)
    return 1 if any(reasons for _, reasons in findings) else 0


def _check(secret: str, headers: Headers, body: bytes, now: datetime) -> list[tuple[str, list[str]]]:
    names = {name.lower() for name, _ in headers}
    findings = []
    if "webhook-signature" in names or "svix-signature" in names:
        findings.append(("standard webhooks", _standard(secret, headers, body, now)))
    if signing.AGENTICFLOW_HEADER.lower() in names:
        findings.append(("agenticflow", _agenticflow(secret, headers, body)))
    return findings


def _standard(secret: str, headers: Headers, body: bytes, now: datetime) -> list[str]:
    try:
        signing.verify_standard([secret], headers, body, now)
    except signing.VerificationError as error:
        reasons = [error.message]
        if error.reason.startswith("timestamp_too_") and _fits_at_any_age(secret, headers, body, now):
            return [*reasons, "The signature itself fits: only the clock or the age of the capture is off."]
        return reasons + signing.explain_standard([secret], headers, body, now)
    return []


def _fits_at_any_age(secret: str, headers: Headers, body: bytes, now: datetime) -> bool:
    try:
        signing.verify_standard([secret], headers, body, now, _ANY_AGE)
    except signing.VerificationError:
        return False
    return True


def _agenticflow(secret: str, headers: Headers, body: bytes) -> list[str]:
    try:
        signing.verify_agenticflow([secret], headers, body)
    except signing.VerificationError as error:
        return [error.message, *signing.explain_agenticflow([secret], headers, body)]
    return []


def _print(findings: list[tuple[str, list[str]]]) -> None:
    for name, reasons in findings:
        show.line(f"{name}: {'does not verify' if reasons else 'valid'}", "bold red" if reasons else "green")
        for reason in reasons:
            show.line(f"  {reason}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def _read_secret(text: str) -> str:
    # Only the line end that an editor adds is dropped: other spaces are a mistake worth explaining.
    secret = _read(Path(text[1:])).decode("utf-8", "replace").rstrip("\r\n") if text.startswith("@") else text
    if not secret:
        raise CommandError("--secret must not be empty")
    return secret


def _read_headers(path: Path) -> Headers:
    text = _read(path).decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            parsed = json_.loads(text)
        except ValueError as error:
            raise CommandError(
                f"{path} must be a JSON object or one `Name: value` a line: {error}"
            ) from error
        return list(_pairs(parsed))
    matches = (_HEADER_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return [(match[1], match[2]) for match in matches if match]


def _pairs(parsed: Mapping[str, object]) -> Headers:
    """Frameworks print a header as one text or as a list of them."""
    return [
        (name, str(value))
        for name, values in parsed.items()
        for value in (values if isinstance(values, list) else [values])
    ]
