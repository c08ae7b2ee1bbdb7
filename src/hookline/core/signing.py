"""Sign what goes out, and check signatures on what comes in (PROMISES P12, SEEDS AF-15).

Two schemes. AgenticFlow: ``sha256=`` + hex HMAC-SHA256 of the body, keyed with the UTF-8 of the whole secret string.
Standard Webhooks: ``v1,`` + base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``, keyed with the decoded part of a
``whsec_`` secret, or with the UTF-8 of a secret without that prefix; ``v1a,`` + base64 Ed25519 signature of the same,
which receivers check with a public key.

Checks are those of any incoming signature (``core.inbound``): fail closed, in constant time. Nothing here puts a key
or an expected signature into an error, a repr or a log. This module never reads a clock.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from hookline.core import canonical, inbound
from hookline.core.spelling import (
    PRIVATE_KEY_PREFIX,
    PUBLIC_KEY_PREFIX,
    SECRET_PREFIX,
    standard_key,
    strict_base64,
)
from hookline.errors import InputError, VerificationError

__all__ = [
    "AGENTICFLOW_HEADER",
    "PUBLIC_KEY_PREFIX",
    "SECRET_PREFIX",
    "TOLERANCE",
    "Headers",
    "Signer",
    "SigningKey",
    "VerificationError",
    "agenticflow_signature",
    "check_own_secret",
    "explain_agenticflow",
    "explain_standard",
    "new_secret",
    "new_signing_key",
    "standard_signature",
    "verify_agenticflow",
    "verify_public",
    "verify_standard",
]

AGENTICFLOW_HEADER: Final = "X-AgenticFlow-Signature"

# Standard Webhooks, section "Verifying": what most libraries use, and what our own snippets say.
TOLERANCE: Final = timedelta(minutes=5)

# For a scheme that signs no time.
_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)
# An own secret is one that receivers know already, chosen in another system whose rules are not ours: refusing it
# would stop the move. Below 8 bytes a captured delivery gives it away to whoever tries all of them.
_LEAST_SECRET_BYTES: Final = 8
_MOST_SECRET_BYTES: Final = 512

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class SigningKey:
    """An Ed25519 key pair of one webhook, of which receivers know the public half (Standard Webhooks, ``v1a``).

    text: ``whsk_`` and the base64 of the private seed, alone or with the public key behind it (both are in use).
    Raises InputError, which never repeats it.
    """

    __slots__ = ("_private", "public_text")

    def __init__(self, text: str) -> None:
        raw = strict_base64(text.removeprefix(PRIVATE_KEY_PREFIX))
        if raw is None or len(raw) not in {32, 64}:
            raise InputError(
                "The signing key is not whsk_ and base64 of 32 or 64 bytes.",
                field="signing_key",
                expected="whsk_ and base64",
                received="string",
            )
        self._private = Ed25519PrivateKey.from_private_bytes(raw[:32])
        public = self._private.public_key().public_bytes_raw()
        if raw[32:] not in {b"", public}:
            raise InputError(
                "The halves of the signing key do not belong together.",
                field="signing_key",
                expected="private seed and its public key",
                received="string",
            )
        self.public_text = PUBLIC_KEY_PREFIX + b64encode(public).decode()
        """``whpk_`` and the base64 of the public key: for everybody."""

    def __repr__(self) -> str:
        return f"SigningKey({self.public_text})"

    def __reduce__(self) -> str:
        raise TypeError("a SigningKey stays in its process")

    def standard(self, message_id: str, timestamp: int, body: bytes) -> str:
        """One entry of ``webhook-signature``, as ``Signer.standard``."""
        signature = self._private.sign(f"{message_id}.{timestamp}.".encode() + body)
        return "v1a," + b2a_base64(signature, newline=False).decode()


class Signer:
    """One secret, its keys prepared once. Makes signatures; never shows its keys.

    secret: as the user has it. Raises InputError when ``whsec_`` is not followed by strict base64.
    key: signs the Standard header, too, or ``alone``: then no shared secret can forge what receivers check.
    """

    __slots__ = ("_key", "_standard", "_whole", "_with_secret")

    def __init__(self, secret: str, key: SigningKey | None = None, *, alone: bool = False) -> None:
        self._key = key
        self._with_secret = key is None or not alone
        # A copied HMAC has both key blocks hashed already: half of what a signature costs. Of cryptography, because a
        # copy of the standard library's is made in Python.
        self._whole = HMAC(secret.encode(), SHA256())
        self._standard = HMAC(standard_key(secret), SHA256())

    def __repr__(self) -> str:
        return "Signer(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Signer stays in its process")

    def agenticflow(self, body: bytes) -> str:
        """The value of ``X-AgenticFlow-Signature`` for these exact bytes."""
        mac = self._whole.copy()
        mac.update(body)
        return "sha256=" + mac.finalize().hex()

    def standard(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The entries of ``webhook-signature``, separated by blanks. timestamp: seconds since 1970, of this attempt."""
        if self._key is None:
            return self._with_hmac(message_id, timestamp, body)
        signature = self._key.standard(message_id, timestamp, body)
        return (
            f"{self._with_hmac(message_id, timestamp, body)} {signature}" if self._with_secret else signature
        )

    def _with_hmac(self, message_id: str, timestamp: int, body: bytes) -> str:
        return "v1," + b2a_base64(self._standard_digest(message_id, timestamp, body), newline=False).decode()

    def _standard_digest(self, message_id: str, timestamp: int, body: bytes) -> bytes:
        mac = self._standard.copy()
        mac.update(f"{message_id}.{timestamp}.".encode())
        mac.update(body)
        return mac.finalize()


def agenticflow_signature(secret: str, body: bytes) -> str:
    """``Signer.agenticflow`` for a single use, and for any secret: its text is the key as it stands."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def standard_signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """``Signer.standard`` for a single use."""
    return Signer(secret).standard(message_id, timestamp, body)


# --- secrets ------------------------------------------------------------------------------------------------


def new_secret(random32: bytes) -> str:
    """Return a signing secret made of 32 random bytes (CONTRACT section 5). ValueError for another length."""
    if len(random32) != 32:
        raise ValueError("a secret is made of 32 random bytes")
    return SECRET_PREFIX + b64encode(random32).decode()


def new_signing_key(random32: bytes) -> str:
    """Return a private Ed25519 key made of 32 random bytes, as text. ValueError for another length."""
    if len(random32) != 32:
        raise ValueError("a key is made of 32 random bytes")
    return PRIVATE_KEY_PREFIX + b64encode(random32).decode()


def check_own_secret(secret: object, *, field: str = "secret") -> str:
    """Return a user's own secret if it can sign; else raise InputError, which never repeats it."""
    if not isinstance(secret, str):
        raise InputError(
            "The secret must be a string.",
            field=field,
            expected="string",
            received=canonical.type_name(secret),
        )
    if not secret.isprintable() or secret != secret.strip():
        raise InputError(
            "The secret has control characters or spaces around it.",
            field=field,
            expected="printable text",
            received="spaces or control characters",
        )
    key = standard_key(secret, field=field)
    if not _LEAST_SECRET_BYTES <= len(key) <= _MOST_SECRET_BYTES:
        raise InputError(
            f"The secret must have {_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes.",
            field=field,
            expected=f"{_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes",
            received=f"{len(key)} bytes",
        )
    return secret


# --- verification -------------------------------------------------------------------------------------------


def verify_standard(
    secrets: Sequence[str], headers: Headers, body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> None:
    """Return if one of the signatures was made with one of the secrets, within the tolerance; else raise.

    Reads ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``.  secrets: one or more, else ValueError.
    now: aware.  tolerance: how old or how far ahead the timestamp may be.  Raises VerificationError.
    """
    _verify_in_time("standard", secrets, headers, body, now, tolerance)


def verify_public(
    keys: Sequence[str], headers: Headers, body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> None:
    """``verify_standard`` for ``v1a``. keys: public ones, ``whpk_…``."""
    _verify_in_time("standard_v1a", keys, headers, body, now, tolerance)


def _verify_in_time(
    preset: str, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime, tolerance: timedelta
) -> None:
    scheme = inbound.PRESETS[preset]
    if tolerance != TOLERANCE:
        scheme = msgspec.structs.replace(scheme, tolerance_seconds=tolerance.total_seconds())
    inbound.verify(scheme, secrets, method="POST", url="", headers=headers, body=body, now=now)


def verify_agenticflow(secrets: Sequence[str], headers: Headers, body: bytes) -> None:
    """Return if the signature was made with one of the secrets; else raise VerificationError.

    This scheme signs no time: whoever captured a request can send it again, so dedupe by ``webhook-id``.
    """
    scheme = inbound.PRESETS["agenticflow"]
    inbound.verify(scheme, secrets, method="POST", url="", headers=headers, body=body, now=_ANY_TIME)


# --- explanations -------------------------------------------------------------------------------------------


def explain_standard(secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> list[str]:
    """Say in plain sentences what a failing Standard Webhooks request would need to verify; [] for no idea.

    For the owner of the secret at a terminal, never for whoever sent the request. No sentence holds an expected
    signature.
    """
    return _explain("standard", secrets, headers, body, now)


def explain_agenticflow(secrets: Sequence[str], headers: Headers, body: bytes) -> list[str]:
    """``explain_standard`` for the AgenticFlow header."""
    return _explain("agenticflow", secrets, headers, body, _ANY_TIME)


def _explain(preset: str, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> list[str]:
    request = inbound.received(method="POST", url="", headers=headers, body=body)
    return inbound.hints(inbound.PRESETS[preset], secrets, request, now)
