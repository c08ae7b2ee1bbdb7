"""Sign a request as a sender would: for tests, demonstrations and forwarding. The counterpart of ``verify``."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hookline.core import canonical
from hookline.core.inbound import request as read
from hookline.core.inbound.content import contents, digest_of, key_of, spelled
from hookline.core.inbound.request import Request
from hookline.core.spelling import strict_hex

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.core.inbound.request import Headers
    from hookline.core.inbound.scheme import Scheme, Source


def sign(
    scheme: Scheme,
    secret: str,
    *,
    now: datetime,
    body: bytes = b"",
    url: str = "",
    method: str = "POST",
    headers: Headers = (),
    message_id: str = "msg_1",
) -> Request:
    """Return the request with its time, id and signature in place.

    secret: as ``verify`` takes it; for ed25519 the private seed, 64 hex digits, whose ``public_key`` verifies.
    headers: sent along.  message_id: for ``{id}`` and for the header that dedupes.  A scheme that reads its time or
    its secret from the body gets a JSON body with it written in; Twilio gets ``bodySHA256`` in the URL for a body
    that is no form.  ValueError when the body cannot hold what the scheme reads there.
    """
    request = read.received(method=method, url=url, headers=headers, body=body)
    stamp = _stamp(scheme, now)
    if scheme.timestamp is not None and scheme.timestamp.place == "body":
        value: Any = stamp if scheme.timestamp_unit == "iso8601" else int(stamp)
        request = _with_body_value(request, scheme.timestamp, value)
    if "form" in scheme.placeholders and request.body and not read.is_form(request):
        digest = hashlib.sha256(request.body).hexdigest()
        joint = "&" if "?" in request.url else "?"
        request = _with(request, url=f"{request.url}{joint}bodySHA256={digest}")
    request = _with_ids(scheme, request, stamp, message_id)
    if scheme.algorithm == "equality":
        return _with_secret(scheme, request, secret)
    text = contents(scheme, request, stamp=stamp, message_id=message_id)[0]
    if scheme.algorithm == "ed25519":
        signature = _private(secret).sign(text)
    else:
        signature = digest_of(scheme, key_of(scheme, secret), text)
    return _placed(scheme, request, _value(scheme, stamp, spelled(scheme, signature)))


def public_key(seed: str) -> str:
    """Return the public key, in hex, of a private Ed25519 seed of 64 hex digits: the secret that verifies."""
    return _private(seed).public_key().public_bytes_raw().hex()


def _private(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(strict_hex(seed) or b"")


def _stamp(scheme: Scheme, now: datetime) -> str:
    match scheme.timestamp_unit:
        case "iso8601":
            return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "ms":
            return str(int(now.timestamp() * 1000))
        case _:
            return str(int(now.timestamp()))


def _value(scheme: Scheme, stamp: str, signature: str) -> str:
    if scheme.field is None:
        return signature
    items = [f"{scheme.field}{scheme.field_separator}{signature}"]
    if scheme.timestamp is not None and scheme.timestamp.place == "field":
        items.insert(0, f"{scheme.timestamp.names[0]}{scheme.field_separator}{stamp}")
    return (scheme.item_separator or "").join(items)


def _with(request: Request, *, url: str | None = None, body: bytes | None = None) -> Request:
    return Request(
        method=request.method,
        url=request.url if url is None else url,
        headers=request.headers,
        body=request.body if body is None else body,
    )


def _with_header(request: Request, name: str, value: str) -> Request:
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return Request(method=request.method, url=request.url, headers=(*kept, (name, value)), body=request.body)


def _with_ids(scheme: Scheme, request: Request, stamp: str, message_id: str) -> Request:
    for source in scheme.dedupe_id[:1]:
        for name in source.names if source.place == "header" else ():
            request = _with_header(request, name, message_id)
    if scheme.id is not None:
        request = _with_header(request, scheme.id.names[0], message_id)
    if scheme.timestamp is not None and scheme.timestamp.place == "header":
        request = _with_header(request, scheme.timestamp.names[0], stamp)
    return request


def _with_secret(scheme: Scheme, request: Request, secret: str) -> Request:
    source = scheme.signature[0]
    if source.place == "body":
        return _with_body_value(request, source, secret)
    # As bytes on the wire: UTF-8, read as Latin-1 like every header.
    text = secret.encode().decode("latin-1") if source.place == "header" else secret
    return _placed(scheme, request, scheme.prefix + text)


def _placed(scheme: Scheme, request: Request, value: str) -> Request:
    source = scheme.signature[0]
    if source.place == "header":
        return _with_header(request, source.names[0], value)
    joint = "&" if "?" in request.url else "?"
    return _with(request, url=f"{request.url}{joint}{source.names[0]}={quote(value, safe='')}")


def _with_body_value(request: Request, source: Source, value: Any) -> Request:
    decoded = read.json_body(request) if request.body else {}
    if not _write(decoded, source.names[0].split("."), value):
        raise ValueError(f"the body has no place for {source}")
    return _with(request, body=canonical.encode(decoded))


def _write(parent: Any, steps: list[str], value: Any) -> bool:
    """Set what stands at a path, within what is there. False when it leads nowhere."""
    name = steps[0].removesuffix("[]")
    if not isinstance(parent, dict):
        return False
    if len(steps) == 1 and not steps[0].endswith("[]"):
        parent[name] = value
        return True
    child = parent.get(name)
    if steps[0].endswith("[]"):
        return (
            isinstance(child, list) and bool(child) and all(_write(each, steps[1:], value) for each in child)
        )
    return _write(child, steps[1:], value)
