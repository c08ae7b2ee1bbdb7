"""Sign what goes out, and check signatures on what comes in (PROMISES P12, SEEDS AF-15).

Two schemes. AgenticFlow: ``sha256=`` + hex HMAC-SHA256 of the body, keyed with the UTF-8 of the whole secret string.
Standard Webhooks: ``v1,`` + base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``, keyed with the decoded part of a
``whsec_`` secret, or with the UTF-8 of a secret without that prefix.

Checks are those of any incoming signature (``core.inbound``): fail closed, in constant time. Nothing here puts a key
or an expected signature into an error, a repr or a log. This module never reads a clock.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from hookline.core import canonical, inbound
from hookline.core.spelling import SECRET_PREFIX, standard_key, strict_base64
from hookline.errors import InputError, VerificationError

__all__ = [
    "AGENTICFLOW_HEADER",
    "SECRET_PREFIX",
    "TOLERANCE",
    "Headers",
    "Signer",
    "VerificationError",
    "agenticflow_signature",
    "check_own_secret",
    "explain_agenticflow",
    "explain_standard",
    "new_secret",
    "standard_signature",
    "verify_agenticflow",
    "verify_standard",
]

AGENTICFLOW_HEADER: Final = "X-AgenticFlow-Signature"

# Standard Webhooks, section "Verifying": what most libraries use, and what our own snippets say.
TOLERANCE: Final = timedelta(minutes=5)

# For a scheme that signs no time.
_ANY_TIME: Final = datetime.fromtimestamp(0, UTC)
# A secret that people can type is a secret that others can guess. 16 bytes is the least that is not hopeless, and
# what migrating users bring in practice (24 to 64 in the Standard Webhooks text).
_LEAST_SECRET_BYTES: Final = 16
_MOST_SECRET_BYTES: Final = 512

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Signer:
    """One secret, its keys prepared once. Makes signatures; never shows its keys.

    secret: as the user has it. Raises InputError when ``whsec_`` is not followed by strict base64.
    """

    __slots__ = ("_standard", "_whole")

    def __init__(self, secret: str) -> None:
        # A copied HMAC has both key blocks hashed already: 1.1 us a signature instead of 1.6.
        self._whole = hmac.new(secret.encode(), digestmod="sha256")
        self._standard = hmac.new(standard_key(secret), digestmod="sha256")

    def __repr__(self) -> str:
        return "Signer(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Signer stays in its process")

    def agenticflow(self, body: bytes) -> str:
        """The value of ``X-AgenticFlow-Signature`` for these exact bytes."""
        mac = self._whole.copy()
        mac.update(body)
        return "sha256=" + mac.hexdigest()

    def standard(self, message_id: str, timestamp: int, body: bytes) -> str:
        """One entry of ``webhook-signature``. timestamp: whole seconds since 1970, of this attempt."""
        return "v1," + b2a_base64(self._standard_digest(message_id, timestamp, body), newline=False).decode()

    def _standard_digest(self, message_id: str, timestamp: int, body: bytes) -> bytes:
        mac = self._standard.copy()
        mac.update(f"{message_id}.{timestamp}.".encode())
        mac.update(body)
        return mac.digest()


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
            "The secret has control characters or spaces around it.", field=field, expected="printable text"
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
    scheme = inbound.PRESETS["standard"]
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
    found = _lenient(headers)
    message_id, timestamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    offered = [entry.partition(",")[2] or entry for entry in found.get("webhook-signature", "").split()]
    hints = _clock_hints(timestamp, now)
    if "svix-signature" in found and not offered:
        hints.append(
            "The request carries svix-* headers: read those as webhook-id, -timestamp and -signature."
        )
    for secret in secrets:
        for label, key in _key_variants(secret):
            for change, variant in _body_variants(body):
                content = f"{message_id}.{timestamp}.".encode() + variant
                hints += _match_hints(offered, key, content, label, change, is_base64_due=True)
            hints += _match_hints(offered, key, body, label, "it signs the body alone, without id and time")
    return _unique(hints)


def explain_agenticflow(secrets: Sequence[str], headers: Headers, body: bytes) -> list[str]:
    """``explain_standard`` for the AgenticFlow header."""
    text = _lenient(headers).get(AGENTICFLOW_HEADER.lower(), "").strip()
    hints = []
    if text and not text.startswith("sha256="):
        hints.append("The header value must begin with sha256=.")
    offered = [text.removeprefix("sha256=")] if text else []
    for secret in secrets:
        for label, key in _key_variants(secret, is_whole_due=True):
            for change, variant in _body_variants(body):
                hints += _match_hints(offered, key, variant, label, change)
    return _unique(hints)


def _lenient(headers: Headers) -> dict[str, str]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {name.lower(): value for name, value in pairs}


def _clock_hints(timestamp: str, now: datetime) -> list[str]:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 20):
        return []
    seconds = int(timestamp)
    if seconds > 10**11:
        return ["The timestamp counts milliseconds; it must count seconds."]
    off = now.timestamp() - seconds
    if abs(off) <= TOLERANCE.total_seconds():
        return []
    return [f"The clock is off by {abs(off):.0f} s, or the request is that {'old' if off > 0 else 'early'}."]


def _key_variants(secret: str, *, is_whole_due: bool = False) -> list[tuple[str, bytes]]:
    """The keys that people build from a secret, the right one (without a label) first."""
    bare = secret.removeprefix(SECRET_PREFIX)
    decoded = strict_base64(bare)
    labelled: dict[bytes, str] = {}
    right = secret.encode() if is_whole_due or decoded is None or bare == secret else decoded
    labelled[right] = ""
    labelled.setdefault(secret.encode(), "the key is the text of the secret where its decoded part is due")
    labelled.setdefault(bare.encode(), "the key is the secret's text without whsec_")
    labelled.setdefault(secret.strip().encode(), "the secret has spaces or a line end around it")
    if decoded is not None:
        labelled.setdefault(decoded, "the key is the decoded secret where its text is due")
    return [(label, key) for key, label in labelled.items()]


def _body_variants(body: bytes) -> list[tuple[str, bytes]]:
    variants: dict[bytes, str] = {body: ""}
    stripped = body.rstrip(b"\r\n")
    variants.setdefault(stripped, "the body has a line end that was not signed")
    variants.setdefault(stripped + b"\n", "the body lost its final line end")
    variants.setdefault(body.replace(b"\r\n", b"\n"), "line ends of the body were changed")
    variants.setdefault(body.replace(b"\n", b"\r\n"), "line ends of the body were changed")
    try:
        value = json.loads(body)
        variants.setdefault(
            canonical.canonical(body), "the body was parsed and serialized again as JavaScript does"
        )
        for is_ascii in (True, False):
            for separators in ((",", ":"), (", ", ": ")):
                for is_sorted in (False, True):
                    again = json.dumps(
                        value, ensure_ascii=is_ascii, separators=separators, sort_keys=is_sorted
                    )
                    variants.setdefault(again.encode(), "the body was parsed and serialized again")
    except (ValueError, RecursionError, InputError):
        pass
    return [(label, variant) for variant, label in variants.items()]


def _match_hints(
    offered: Sequence[str],
    key: bytes,
    content: bytes,
    label: str,
    change: str,
    *,
    is_base64_due: bool = False,
) -> list[str]:
    digest = hmac.digest(key, content, "sha256")
    as_hex, as_base64 = digest.hex(), b64encode(digest).decode()
    hints = []
    for text in offered:
        spelling = None
        if hmac.compare_digest(text.encode(), as_base64.encode()):
            spelling = "" if is_base64_due else "base64 stands where hex is due"
        elif hmac.compare_digest(text.lower().encode(), as_hex.encode()):
            spelling = "hex stands where base64 is due" if is_base64_due else ""
            if not is_base64_due and text != as_hex:
                spelling = "the hex digits are upper-case"
        if spelling is not None:
            causes = [cause for cause in (label, change, spelling) if cause]
            hints += [f"It matches if: {'; '.join(causes)}."] if causes else []
    return hints


def _unique(hints: list[str]) -> list[str]:
    return list(dict.fromkeys(hints))
