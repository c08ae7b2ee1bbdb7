"""Say in plain sentences why a request does not verify, and what would make it fit.

For the owner of the secret, never for whoever sent the request. No sentence holds a key, a shared secret or an
expected signature. Tries a hundred variants of the body: run it off the event loop for large ones.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import msgspec

from hookline.core.inbound import request as read
from hookline.core.inbound import variants
from hookline.core.inbound.content import SIZES, contents, key_of
from hookline.core.inbound.presets import PRESETS
from hookline.core.inbound.verify import (
    body_stamp,
    is_signed,
    named,
    offered_texts,
    signature_items,
    tokens,
    verify_request,
)
from hookline.core.spelling import strict_base64, strict_hex, strict_instant
from hookline.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from hookline.core.inbound.request import Headers, Request
    from hookline.core.inbound.scheme import Scheme

_MOST_OFFERED: Final = 8
_ALGORITHMS: Final = ("sha256", "sha1", "sha512")
NO_IDEA: Final = (
    "No usual mistake explains it: another secret signed it, or body or URL are not those that were signed."
)
_ONLY_THE_TIME: Final = "The signature itself fits: only the clock or the age of the request is off."


class Diagnosis(msgspec.Struct, frozen=True):
    """What came of a request.

    reason: the word of VerificationError, None when it verifies.  findings: plain sentences, the refusal first;
    a request that verifies has at most one, that it was signed with a previous secret.
    """

    is_valid: bool
    reason: str | None
    findings: tuple[str, ...]


def diagnose(
    scheme: Scheme,
    secrets: Sequence[str],
    *,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    now: datetime,
) -> Diagnosis:
    """Check a request like ``verify``, and explain a refusal. Raises InputError for a secret that cannot be a key."""
    request = read.received(method=method, url=url, headers=headers, body=body)
    try:
        verified = verify_request(scheme, secrets, request, now)
    except VerificationError as error:
        found = hints(scheme, secrets, request, now)
        if (
            not found and error.reason != "header_missing"
        ):  # what is not there was signed with no secret at all
            found = [NO_IDEA]
        return Diagnosis(False, error.reason, (error.message, *found))
    previous = _previous(verified.secret_index)
    return Diagnosis(True, None, (f"{previous.capitalize()}.",) if previous else ())


def hints(scheme: Scheme, secrets: Sequence[str], request: Request, now: datetime) -> list[str]:
    """What would make a request fit, without the refusal itself; [] for no idea."""
    found = _other_presets(scheme, request)
    if scheme.algorithm == "equality":
        return found + _token_hints(scheme, secrets, request)
    texts = _lenient_items(scheme, request)
    stamp = _lenient_stamp(scheme, request, texts)
    clock = _clock_hints(scheme, stamp, now)
    offered = _lenient_signatures(scheme, texts)
    if texts and not any(text.startswith(scheme.prefix) for text in offered):
        found.append(f"The signature must begin with {scheme.prefix}.")
    causes = _search(
        scheme, secrets, request, stamp or "", [text.removeprefix(scheme.prefix) for text in offered]
    )
    if causes == ():
        return [*found, *clock, _ONLY_THE_TIME] if clock else found
    return [*found, *clock, *([f"It matches if: {'; '.join(causes)}."] if causes else [])]


# --- signatures -----------------------------------------------------------------------------------------------


def _search(
    scheme: Scheme, secrets: Sequence[str], request: Request, stamp: str, offered: Sequence[str]
) -> tuple[str, ...] | None:
    """The fewest mistakes that together explain one of the signatures: () for none at all, None for no idea."""
    best: tuple[str, ...] | None = None
    for index, secret in enumerate(secrets):
        for key_label, key in variants.keys(scheme, secret):
            for change, text, algorithms in _texts(scheme, request, stamp):
                for label in _matches(scheme, key, text, offered, algorithms):
                    causes = tuple(cause for cause in (_previous(index), key_label, change, *label) if cause)
                    if best is None or len(causes) < len(best):
                        best = causes
    return best


def _texts(scheme: Scheme, request: Request, stamp: str) -> Iterator[tuple[str, bytes, Sequence[str]]]:
    """What may have been signed, and the algorithms to try on it: the rarer mistakes only one at a time."""
    source = scheme.id
    message_id = (_lenient_header(request, source.names[0]) or "") if source is not None else ""
    own = (scheme.algorithm,)
    algorithms = own if scheme.algorithm == "ed25519" else (*own, *_ALGORITHMS)
    for change, body in variants.bodies(request.body):
        changed = msgspec.structs.replace(request, body=body)
        for text in _contents(scheme, changed, stamp, message_id):
            yield change, text, algorithms if not change else own
    if "url" in scheme.placeholders:
        for change, url in variants.urls(request.url):
            for text in _contents(scheme, msgspec.structs.replace(request, url=url), stamp, message_id):
                yield change, text, own
    if scheme.template != "{body}":
        yield "the signature is over the body alone", request.body, own


def _contents(scheme: Scheme, request: Request, stamp: str, message_id: str) -> list[bytes]:
    try:
        return contents(scheme, request, stamp=stamp, message_id=message_id)
    except VerificationError:
        return []


def _matches(
    scheme: Scheme, key: bytes, text: bytes, offered: Sequence[str], algorithms: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the algorithm and the spelling of each offered signature that fits this text."""
    for algorithm in dict.fromkeys(algorithms):
        wrong = f"{algorithm.upper()} was used instead of {scheme.algorithm}" * (
            algorithm != scheme.algorithm
        )
        for signature in offered:
            digest = (
                _ed25519(key, text, signature)
                if algorithm == "ed25519"
                else hmac.digest(key, text, algorithm)
            )
            for label, form in variants.spellings(scheme, digest):
                if hmac.compare_digest(form.encode(), signature.encode("utf-8", "surrogatepass")):
                    yield wrong, label


def _ed25519(key: bytes, text: bytes, signature: str) -> bytes:
    """The bytes of an offered signature if it fits, else none: it can be checked but not made."""
    digest = strict_hex(signature.lower()) or strict_base64(signature) or b""
    return digest if len(digest) == SIZES["ed25519"] and is_signed(key, text, digest) else b""


def _previous(index: int) -> str:
    if index == 0:
        return ""
    return "it is signed with the previous secret" if index == 1 else f"it is signed with secret {index + 1}"


# --- time -----------------------------------------------------------------------------------------------------


def _clock_hints(scheme: Scheme, stamp: str | None, now: datetime) -> list[str]:
    if stamp is None or scheme.timestamp is None:
        return []
    at = strict_instant(stamp, scheme.timestamp_unit)
    in_ms, in_s = strict_instant(stamp, "ms"), strict_instant(stamp, "s")
    if scheme.timestamp_unit == "s" and in_ms is not None and len(stamp) > 11:
        return ["The timestamp counts milliseconds; it must count seconds."]
    if scheme.timestamp_unit == "ms" and in_s is not None and len(stamp) < 11:
        return ["The timestamp counts seconds; it must count milliseconds."]
    if at is None or scheme.tolerance_seconds is None:
        return []
    off = now.timestamp() - at
    if abs(off) <= scheme.tolerance_seconds:
        return []
    return [f"The clock is off by {abs(off):.0f} s, or the request is that {'old' if off > 0 else 'early'}."]


def _lenient_stamp(scheme: Scheme, request: Request, items: Sequence[str]) -> str | None:
    source = scheme.timestamp
    if source is None:
        return None
    if source.place == "header":
        return _lenient_header(request, source.names[0])
    if source.place == "field":
        return next(iter(named(scheme, items, source.names[0])), None)
    try:
        return body_stamp(source, request)
    except VerificationError:
        return None


# --- places ---------------------------------------------------------------------------------------------------


def _lenient_header(request: Request, name: str) -> str | None:
    return next((value.strip() for each, value in request.headers if each == name and value.strip()), None)


def _lenient_items(scheme: Scheme, request: Request) -> list[str]:
    try:
        return [item.strip() for item in signature_items(scheme, request)]
    except VerificationError:
        names = [source.names[0] for source in scheme.signature if source.place == "header"]
        return [value for name in names if (value := _lenient_header(request, name)) is not None]


def _lenient_signatures(scheme: Scheme, items: Sequence[str]) -> list[str]:
    """The items that are signatures; when none has the right name, all of them without whatever name they have."""
    found = offered_texts(scheme, items)
    if not found and scheme.field is not None:
        separator = scheme.field_separator or ""
        found = [item.partition(separator)[2] or item for item in items]
    return found[:_MOST_OFFERED]


def _other_presets(scheme: Scheme, request: Request) -> list[str]:
    """Where the signature is not where it should be: whose header is there instead?"""
    names = {name for name, value in request.headers if value}
    if any(source.place != "header" or source.names[0] in names for source in scheme.signature):
        return []
    found: dict[str, list[str]] = {}
    for preset, other in PRESETS.items():
        source = other.signature[0]
        if source.place == "header" and source.names[0] in names:
            found.setdefault(source.names[0], []).append(preset)
    hint = [
        f"The request carries {name}, as of the preset {' or '.join(others)}."
        for name, others in found.items()
    ]
    if "x-hub-signature" in names and "x-hub-signature-256" not in names:
        hint.append(
            "The request carries only x-hub-signature, which is SHA-1: the sender has no secret for SHA-256."
        )
    return hint


# --- shared secrets -------------------------------------------------------------------------------------------


def _token_hints(scheme: Scheme, secrets: Sequence[str], request: Request) -> list[str]:
    try:
        offered = [token for spellings in tokens(scheme, request) for token in spellings]
    except VerificationError:
        return []
    found = []
    for token in dict.fromkeys(offered):
        for index, secret in enumerate(secrets):
            label = _token_label(token, key_of(scheme, secret))
            if label is not None:
                causes = "; ".join(cause for cause in (_previous(index), label) if cause)
                found.append(f"It matches if: {causes}.")
    return list(dict.fromkeys(found)) or [_lengths(offered)]


def _token_label(token: bytes, key: bytes) -> str | None:
    """The mistake that makes one of the other, None when it is another secret or the right one."""
    hashed = hashlib.sha256(key).hexdigest().encode()
    made_by = {
        "": token,
        "it has spaces or a line end around it": token.strip(),
        "a word such as Bearer stands before it": token.rpartition(b" ")[2],
        "it is percent-decoded": unquote_to_bytes(token),
    }
    for label, variant in made_by.items():
        if hmac.compare_digest(variant, key):
            return label or None
    if hmac.compare_digest(token.lower(), key.lower()):
        return "upper and lower case are ignored"
    return (
        "the sender sends the SHA-256 of the secret" if hmac.compare_digest(token.lower(), hashed) else None
    )


def _lengths(offered: Sequence[bytes]) -> str:
    """The sender's own values, not ours."""
    lengths = " or ".join(str(length) for length in sorted({len(token) for token in offered}))
    return f"The request's value has {lengths} bytes: is it the right secret, whole?"
