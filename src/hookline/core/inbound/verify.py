"""Does this request come from whoever holds the secret? Fails closed, in constant time, with every secret tried.

What is missing, repeated, misspelt or out of date is refused, never guessed at. No error holds a key, a shared
secret or an expected signature. This module never reads a clock.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hookline.core.inbound import request as read
from hookline.core.inbound.content import contents, decoded, digest_of, is_same, keys_of
from hookline.core.spelling import strict_instant
from hookline.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.core.inbound.request import Headers, Request
    from hookline.core.inbound.scheme import Scheme, Source

# A rotation sends two; a longer list only costs us time.
MOST_ITEMS: Final = 16
# Graph sends notifications in batches; each has its own copy of the secret.
_MOST_COPIES: Final = 10_000
_NO_STAMP: Final = ""


class Verified(msgspec.Struct, frozen=True):
    """A request that verifies.

    dedupe_id: the sender's own id of the request, None when the scheme or the request has none; it may be unsigned
    (see ``presets``).  secret_index: which of the given secrets fits; 0 is the newest.
    """

    dedupe_id: str | None
    secret_index: int


def verify(
    scheme: Scheme,
    secrets: Sequence[str],
    *,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    now: datetime,
) -> Verified:
    """Return what a request that was signed with one of the secrets says; else raise VerificationError.

    secrets: newest first, more than one while they are rotated; ValueError for none or an empty one, InputError for
    one that ``check_secret`` refuses.  url: the whole public URL, query as it came; only some schemes need it.
    headers: as received, bytes or text.  body: the raw bytes.  now: aware.
    """
    return verify_request(
        scheme, secrets, read.received(method=method, url=url, headers=headers, body=body), now
    )


def verify_request(scheme: Scheme, secrets: Sequence[str], request: Request, now: datetime) -> Verified:
    """``verify`` for a Request."""
    keys = keys_of(scheme, secrets)
    if scheme.algorithm == "equality":
        index = _matching_token(scheme, keys, request)
    else:
        index = _matching_signature(scheme, keys, request, now)
        if scheme.timestamp is not None and scheme.timestamp.place == "body":
            check_age(scheme, body_stamp(scheme.timestamp, request), now)
    return Verified(read.dedupe_id(scheme.dedupe_id, request), index)


# --- signatures -----------------------------------------------------------------------------------------------


def _matching_signature(scheme: Scheme, keys: Sequence[bytes], request: Request, now: datetime) -> int:
    items = signature_items(scheme, request)
    stamp = signed_stamp(scheme, request, items)
    if stamp is not None:
        check_age(scheme, stamp, now)
    message_id = _NO_STAMP if scheme.id is None else signed_id(scheme.id, request)
    offered = decoded(scheme, offered_texts(scheme, items))
    texts = contents(scheme, request, stamp=stamp or _NO_STAMP, message_id=message_id)
    matches = [_fits(scheme, key, texts, offered) for key in keys]
    if True not in matches:
        raise VerificationError("No signature fits the request and the secret.", reason="signature_mismatch")
    return matches.index(True)


def _fits(scheme: Scheme, key: bytes, texts: Sequence[bytes], offered: Sequence[bytes]) -> bool:
    is_equal = False
    for text in texts:
        if scheme.algorithm == "ed25519":
            for candidate in offered:
                is_equal |= is_signed(key, text, candidate)
        else:
            digest = digest_of(scheme, key, text)
            for candidate in offered:
                is_equal |= hmac.compare_digest(digest, candidate)
    return is_equal


def is_signed(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Say whether an Ed25519 signature of 64 bytes fits."""
    # Nothing here is secret: a public key checks a public signature.
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def signature_items(scheme: Scheme, request: Request) -> list[str]:
    """The items of every place that may hold a signature. Raises VerificationError when all are missing."""
    values = []
    for source in scheme.signature:
        if source.place == "header":
            values.append(read.header(request, source.names[0]))
        else:
            found = read.query_values(request.url, source.names[0])
            if len(found) > 1:
                raise VerificationError(f"{source} is there more than once.", reason="header_repeated")
            values += found
    present = [value for value in values if value]
    if not present:
        raise VerificationError(_missing(scheme), reason="header_missing")
    if scheme.item_separator is None:
        return present
    separator = scheme.item_separator.strip(" ") or " "
    return [item.strip(" ") for value in present for item in value.split(separator, MOST_ITEMS)[:MOST_ITEMS]]


def _missing(scheme: Scheme) -> str:
    source = scheme.signature[0]
    if source.place == "header":
        names = " or ".join(each.names[0] for each in scheme.signature)
        return f"The header {names} is missing."
    return f"The request has no {source.place} value {source.names[0]}."


def offered_texts(scheme: Scheme, items: Sequence[str]) -> list[str]:
    """The items that are signatures, without their name."""
    return list(items) if scheme.field is None else named(scheme, items, scheme.field)


def named(scheme: Scheme, items: Sequence[str], name: str) -> list[str]:
    """The values of the items with this name."""
    separator = scheme.field_separator or ""
    return [item[len(name) + len(separator) :] for item in items if item.startswith(name + separator)]


def signed_id(source: Source, request: Request) -> str:
    """What ``{id}`` stands for. Raises VerificationError."""
    name = source.names[0]
    return read.visible(read.needed_header(request, name), name)


# --- time -----------------------------------------------------------------------------------------------------


def signed_stamp(scheme: Scheme, request: Request, items: Sequence[str]) -> str | None:
    """The text of the time that the template signs, None when it signs none. Raises VerificationError."""
    source = scheme.timestamp
    if source is None or source.place == "body":
        return None
    if source.place == "header":
        return read.needed_header(request, source.names[0])
    values = named(scheme, items, source.names[0])
    if len(values) != 1:
        reason = "header_repeated" if values else "timestamp_malformed"
        raise VerificationError("The signature must hold its time exactly once.", reason=reason)
    return values[0]


def body_stamp(source: Source, request: Request) -> str:
    """The time in a body, as text. Raises VerificationError."""
    values: list[Any] = read.body_values(request, source.names[0])
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], (str, int)):
        raise VerificationError(f"The body has no time at {source.names[0]}.", reason="timestamp_malformed")
    return str(values[0])


def check_age(scheme: Scheme, stamp: str, now: datetime) -> None:
    """Raise VerificationError when a time is misspelt, or further from now than the scheme tolerates."""
    at = strict_instant(stamp, scheme.timestamp_unit)
    if at is None:
        raise VerificationError(
            f"The timestamp is not {_UNIT_WORDS[scheme.timestamp_unit]}.", reason="timestamp_malformed"
        )
    tolerance = scheme.tolerance_seconds
    if tolerance is None:
        return
    late = now.timestamp() - at
    if late > tolerance:
        raise VerificationError(f"The timestamp is {late:.0f} s old.", reason="timestamp_too_old")
    if -late > tolerance:
        raise VerificationError(f"The timestamp is {-late:.0f} s in the future.", reason="timestamp_too_new")


_UNIT_WORDS: Final = {
    "s": "a whole number of seconds",
    "ms": "a whole number of milliseconds",
    "iso8601": "an ISO 8601 instant with its offset",
}


# --- shared secrets -------------------------------------------------------------------------------------------


def _matching_token(scheme: Scheme, keys: Sequence[bytes], request: Request) -> int:
    copies = tokens(scheme, request)
    matches = [_all_same(key, copies) for key in keys]
    if True not in matches:
        raise VerificationError("The shared secret is not the one we know.", reason="signature_mismatch")
    return matches.index(True)


def _all_same(key: bytes, copies: Sequence[tuple[bytes, ...]]) -> bool:
    is_equal = True
    for spellings in copies:
        is_spelled = False
        for token in spellings:
            is_spelled |= is_same(key, token)
        is_equal &= is_spelled
    return is_equal


def tokens(scheme: Scheme, request: Request) -> list[tuple[bytes, ...]]:
    """Every copy of the shared secret that the request holds, one at least, each in the ways it may be read.

    Raises VerificationError.
    """
    source = scheme.signature[0]
    if source.place == "body":
        return [(token,) for token in dict.fromkeys(_body_tokens(scheme, source.names[0], request))]
    items = _unprefixed(scheme, signature_items(scheme, request))
    if source.place == "header":
        return [(_bytes(text),) for text in items]
    return [
        tuple(_bytes(text.removeprefix(scheme.prefix)) for text in spellings)
        for spellings in read.query_spellings(request.url, source.names[0])
    ]


def _body_tokens(scheme: Scheme, path: str, request: Request) -> list[bytes]:
    values = read.body_values(request, path)
    if not values or len(values) > _MOST_COPIES:
        raise VerificationError(_missing(scheme), reason="header_missing")
    if not all(isinstance(value, str) and value for value in values):
        raise VerificationError(f"The value at {path} is not text.", reason="signature_malformed")
    return [str(value).encode("utf-8", "surrogatepass") for value in values]


def _unprefixed(scheme: Scheme, items: Sequence[str]) -> list[str]:
    if not all(item.startswith(scheme.prefix) and len(item) > len(scheme.prefix) for item in items):
        raise VerificationError(f"The value must begin with {scheme.prefix}.", reason="signature_malformed")
    return [item.removeprefix(scheme.prefix) for item in items]


def _bytes(text: str) -> bytes:
    """A header's text as the bytes it came as: Latin-1, unless a framework already read it as something wider."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
