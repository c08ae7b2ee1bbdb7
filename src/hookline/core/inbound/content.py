"""What a scheme signs, with which key, and how the result is spelled: shared by checking, signing and explaining."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hookline.core.inbound import request as read
from hookline.core.inbound.scheme import template_parts
from hookline.core.spelling import (
    PUBLIC_KEY_PREFIX,
    SECRET_PREFIX,
    standard_key,
    strict_base64,
    strict_hex,
    text_key,
)
from hookline.errors import InputError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.core.inbound.request import Request
    from hookline.core.inbound.scheme import Scheme

SIZES: Final = {"sha1": 20, "sha256": 32, "sha512": 64, "ed25519": 64}
"""Bytes of a signature, by algorithm."""

_MOST_SECRET_CHARACTERS: Final = 1024
# The points of order 1, 2, 4 and 8 on edwards25519, by y (RFC 8032 section 5.1). For such a key, zeros among them,
# anybody can make signatures; a placeholder must not turn into an open door.
_FIELD: Final = 2**255 - 19
_WEAK_POINTS: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
        ),
    }
)
_PORTS: Final = {"https": 443, "http": 80}


def key_of(scheme: Scheme, secret: str, *, field: str = "secret") -> bytes:
    """Return the key that a secret stands for. Raises InputError, which never repeats it; never an empty key."""
    if not secret:
        raise InputError("The secret must not be empty.", field=field, expected="a secret", received="empty")
    key, expected = _decoded_key(scheme, secret, field)
    if scheme.algorithm == "ed25519" and key is not None and not _is_public_key(key):
        key, expected = None, "a public key of 32 bytes"
    if not key:
        raise InputError(
            f"The secret must be {expected}.", field=field, expected=expected, received="another text"
        )
    return key


def _decoded_key(scheme: Scheme, secret: str, field: str) -> tuple[bytes | None, str]:
    match scheme.secret_transform:
        case "whsec":
            return standard_key(secret, field=field), "whsec_ + padded base64"
        case "whsec_base64":
            return strict_base64(secret.removeprefix(SECRET_PREFIX)), "whsec_ + padded base64"
        case "whpk":
            return strict_base64(secret.removeprefix(PUBLIC_KEY_PREFIX)), "whpk_ + padded base64"
        case "base64":
            return strict_base64(secret), "padded base64"
        case "hex":
            return strict_hex(secret.lower()), "hex"
        case _:
            return text_key(secret), "text"


def _is_public_key(key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        return False
    return int.from_bytes(key, "little") % (1 << 255) % _FIELD not in _WEAK_POINTS


def check_secret(scheme: Scheme, secret: object, *, field: str = "auth.secret") -> str:
    """Return a user's secret if the scheme can check with it; else raise InputError, which never repeats it.

    Length is the provider's choice, not ours: some let people type their own.
    """
    if not isinstance(secret, str) or not secret:
        raise InputError(
            "A signature needs the secret that the sender signs with.",
            field=field,
            expected="string",
            received="null" if secret is None else "empty" if secret == "" else "another type",
        )
    if not secret.isprintable() or secret != secret.strip() or len(secret) > _MOST_SECRET_CHARACTERS:
        raise InputError(
            "The secret has control characters or spaces around it, or is too long.",
            field=field,
            expected=f"1 to {_MOST_SECRET_CHARACTERS} printable characters",
            received="a longer one"
            if len(secret) > _MOST_SECRET_CHARACTERS
            else "spaces or control characters",
        )
    key_of(scheme, secret, field=field)
    return secret


def is_same(one: bytes, other: bytes) -> bool:
    """Compare secrets. Hashed first, so that not even a length shows in the time."""
    return hmac.compare_digest(hashlib.sha256(one).digest(), hashlib.sha256(other).digest())


def keys_of(scheme: Scheme, secrets: Sequence[str]) -> list[bytes]:
    """``key_of`` for each. ValueError without any: an unset variable must not turn into a key everybody knows."""
    if not secrets or not all(secrets):
        raise ValueError("verification needs a secret that is not empty")
    return [key_of(scheme, secret) for secret in secrets]


# --- the signed text ------------------------------------------------------------------------------------------


def contents(scheme: Scheme, request: Request, *, stamp: str, message_id: str) -> list[bytes]:
    """Return the texts of which one must be signed: one, but for Twilio's spellings of a URL's port.

    stamp, message_id: what stands for ``{timestamp}`` and ``{id}``, as text.  Raises VerificationError for a body
    that the scheme cannot cover.
    """
    has_form = "form" in scheme.placeholders
    form = _form(request) if has_form else b""
    urls = _port_spellings(request.url) if has_form else [request.url]
    return [
        _fill(
            scheme,
            {
                "body": request.body,
                "form": form,
                "id": message_id.encode("utf-8", "surrogateescape"),
                "timestamp": stamp.encode(),
                "url": url.encode("utf-8", "surrogateescape"),
            },
        )
        for url in urls
    ]


def _fill(scheme: Scheme, values: dict[str, bytes]) -> bytes:
    return b"".join(
        part.encode() if is_literal else values[part] for part, is_literal in template_parts(scheme.template)
    )


def _form(request: Request) -> bytes:
    """Twilio: sorted parameters, each value once; for any other body its hash is in the signed URL."""
    declared = read.query_values(request.url, "bodySHA256")
    if declared:
        digest = strict_hex(declared[0]) if len(declared) == 1 else None
        if digest is None:
            raise VerificationError(
                "bodySHA256 in the URL is not 64 hex digits.", reason="signature_malformed"
            )
        if not hmac.compare_digest(digest, hashlib.sha256(request.body).digest()):
            raise VerificationError(
                "The body does not fit bodySHA256 in the URL.", reason="signature_mismatch"
            )
        return b""
    if not request.body:
        return b""
    if not read.is_form(request):
        # The signature covers the URL alone: whoever saw one could put any body behind it.
        raise VerificationError(
            "The body is no form and the URL has no bodySHA256: nothing signs the body.",
            reason="body_malformed",
        )
    return "".join(name + value for name, value in sorted(set(read.form(request)))).encode(
        "utf-8", "surrogateescape"
    )


def _port_spellings(url: str) -> list[str]:
    """The URL as it is, without its port, and with the port that it has anyway: Twilio signs any of them."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    if parts.scheme not in _PORTS:
        return [url]
    host = parts.netloc if port is None else parts.netloc.removesuffix(f":{port}")
    hosts = (host, f"{host}:{port or _PORTS[parts.scheme]}")
    return list(dict.fromkeys([url, *(urlunsplit(parts._replace(netloc=each)) for each in hosts)]))


# --- spelling -------------------------------------------------------------------------------------------------


def digest_of(scheme: Scheme, key: bytes, content: bytes) -> bytes:
    """The HMAC. ValueError for schemes without one."""
    return hmac.digest(key, content, scheme.algorithm)


def spelled(scheme: Scheme, digest: bytes) -> str:
    """A signature as the header holds it."""
    return scheme.prefix + (digest.hex() if scheme.encoding == "hex" else b64encode(digest).decode())


def decoded(scheme: Scheme, texts: Iterable[str]) -> list[bytes]:
    """The well-formed signatures among these; others are not ours to judge. Raises VerificationError for none."""
    size = SIZES[scheme.algorithm]
    found = []
    for text in texts:
        rest = text.removeprefix(scheme.prefix)
        if len(text) - len(rest) != len(scheme.prefix):
            continue
        digest = strict_hex(rest) if scheme.encoding == "hex" else strict_base64(rest)
        if digest is not None and len(digest) == size:
            found.append(digest)
    if not found:
        raise VerificationError(
            f"No signature of the form {form_of(scheme)} is there.", reason="signature_malformed"
        )
    return found


def form_of(scheme: Scheme) -> str:
    """How a signature looks, for people: ``v1,<base64>``, ``sha256=<64 hex digits>``."""
    digits = f"<{2 * SIZES[scheme.algorithm]} hex digits>" if scheme.encoding == "hex" else "<base64>"
    name = f"{scheme.field}{scheme.field_separator}" if scheme.field is not None else ""
    return name + scheme.prefix + digits
