"""Sign what goes out, and check signatures on what comes in (PROMISES P12, SEEDS AF-15).

Two schemes. AgenticFlow: ``sha256=`` + hex HMAC-SHA256 of the body, keyed with the UTF-8 of the whole secret string.
Standard Webhooks: ``v1,`` + base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``, keyed with the decoded part of a
``whsec_`` secret, or with the UTF-8 of a secret without that prefix.

Checks fail closed: what is missing, repeated, misspelt or out of date is refused, never guessed at. Every
comparison takes the same time wherever the difference lies. Nothing here puts a key or an expected signature into
an error, a repr or a log. This module never reads a clock.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hookline.core import canonical
from hookline.errors import InputError, UnauthorizedError

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- the public prefix, not a secret
AGENTICFLOW_HEADER: Final = "X-AgenticFlow-Signature"

# Standard Webhooks, section "Verifying": what most libraries use, and what our own snippets say.
TOLERANCE: Final = timedelta(minutes=5)

# int() also takes "+1", "1_0" and Arabic digits.
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
# A rotation sends two; a longer list only costs us time.
_MOST_SIGNATURES: Final = 16
# A secret that people can type is a secret that others can guess. 16 bytes is the least that is not hopeless, and
# what migrating users bring in practice (24 to 64 in the Standard Webhooks text).
_LEAST_SECRET_BYTES: Final = 16
_MOST_SECRET_BYTES: Final = 512

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class VerificationError(UnauthorizedError):
    """A signature did not verify.

    reason: a stable word: ``header_missing``, ``header_repeated``, ``timestamp_malformed``, ``timestamp_too_old``,
    ``timestamp_too_new``, ``signature_malformed``, ``signature_mismatch`` or ``body_malformed``.
    """

    code = "SIGNATURE_INVALID"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Signer:
    """One secret, its keys prepared once. Makes signatures; never shows its keys.

    secret: as the user has it. Raises InputError when ``whsec_`` is not followed by strict base64.
    """

    __slots__ = ("_standard", "_whole")

    def __init__(self, secret: str) -> None:
        # A copied HMAC has both key blocks hashed already: 1.1 us a signature instead of 1.6.
        self._whole = hmac.new(secret.encode(), digestmod="sha256")
        self._standard = hmac.new(_standard_key(secret), digestmod="sha256")

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

    def _standard_digest(self, message_id: str, timestamp: int | str, body: bytes) -> bytes:
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
    key = _standard_key(secret, field=field)
    if not _LEAST_SECRET_BYTES <= len(key) <= _MOST_SECRET_BYTES:
        raise InputError(
            f"The secret must have {_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes.",
            field=field,
            expected=f"{_LEAST_SECRET_BYTES} to {_MOST_SECRET_BYTES} bytes",
            received=f"{len(key)} bytes",
        )
    return secret


def _standard_key(secret: str, *, field: str = "secret") -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    key = _strict_base64(secret.removeprefix(SECRET_PREFIX))
    if key is None or not key:
        raise InputError(
            "After whsec_ a secret must be padded base64.", field=field, expected="whsec_ + padded base64"
        )
    return key


def _strict_base64(text: str) -> bytes | None:
    """Decode padded base64 of the standard alphabet in its one canonical spelling, else None."""
    try:
        decoded = a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Base64Error, ValueError):
        return None
    return decoded if b2a_base64(decoded, newline=False).decode() == text else None


# --- verification -------------------------------------------------------------------------------------------


def verify_standard(
    secrets: Sequence[str], headers: Headers, body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> None:
    """Return if one of the signatures was made with one of the secrets, within the tolerance; else raise.

    Reads ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``.  secrets: one or more, else ValueError.
    now: aware.  tolerance: how old or how far ahead the timestamp may be.  Raises VerificationError.
    """
    signers = _signers(secrets)
    found = _pick(headers, ("webhook-id", "webhook-timestamp", "webhook-signature"))
    message_id, timestamp = found["webhook-id"], found["webhook-timestamp"]
    _check_age(timestamp, now, tolerance)
    offered = _standard_digests(found["webhook-signature"])
    is_equal = False
    for signer in signers:
        digest = signer._standard_digest(message_id, timestamp, body)  # noqa: SLF001 -- same module
        for candidate in offered:
            is_equal |= hmac.compare_digest(digest, candidate)
    if not is_equal:
        raise VerificationError("No signature fits the body and the secret.", reason="signature_mismatch")


def verify_agenticflow(secrets: Sequence[str], headers: Headers, body: bytes) -> None:
    """Return if the signature was made with one of the secrets; else raise VerificationError.

    This scheme signs no time: whoever captured a request can send it again, so dedupe by ``webhook-id``.
    """
    if not secrets:
        raise ValueError("verification needs a secret")
    offered = _agenticflow_digest(_pick(headers, (AGENTICFLOW_HEADER.lower(),))[AGENTICFLOW_HEADER.lower()])
    is_equal = False
    for secret in secrets:
        is_equal |= hmac.compare_digest(hmac.digest(_filled(secret).encode(), body, "sha256"), offered)
    if not is_equal:
        raise VerificationError(
            "The signature does not fit the body and the secret.", reason="signature_mismatch"
        )


def _signers(secrets: Sequence[str]) -> list[Signer]:
    if not secrets:
        raise ValueError("verification needs a secret")
    return [Signer(_filled(secret)) for secret in secrets]


def _filled(secret: str) -> str:
    # An unset environment variable must not turn into a key that everybody knows.
    if not secret:
        raise ValueError("verification needs a secret that is not empty")
    return secret


def _pick(headers: Headers, names: tuple[str, ...]) -> dict[str, str]:
    """The wanted headers by lower-case name, each exactly once and not empty."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in names:
            if lower in found:
                raise VerificationError(
                    f"The header {lower} is there more than once.", reason="header_repeated"
                )
            found[lower] = value
    for name in names:
        if not found.get(name):
            raise VerificationError(f"The header {name} is missing.", reason="header_missing")
    return found


def _check_age(timestamp: str, now: datetime, tolerance: timedelta) -> None:
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise VerificationError(
            "The timestamp is not a whole number of seconds.", reason="timestamp_malformed"
        )
    late = now.timestamp() - int(timestamp)
    if late > tolerance.total_seconds():
        raise VerificationError(f"The timestamp is {late:.0f} s old.", reason="timestamp_too_old")
    if -late > tolerance.total_seconds():
        raise VerificationError(f"The timestamp is {-late:.0f} s in the future.", reason="timestamp_too_new")


def _standard_digests(text: str) -> list[bytes]:
    """The well-formed ``v1`` signatures of the list; other versions are not ours to judge."""
    digests = []
    for entry in text.split(" ")[:_MOST_SIGNATURES]:
        version, _, encoded = entry.partition(",")
        digest = _strict_base64(encoded) if version == "v1" else None
        if digest is not None and len(digest) == 32:
            digests.append(digest)
    if not digests:
        raise VerificationError(
            "No signature of the form v1,<base64> is in the header.", reason="signature_malformed"
        )
    return digests


def _agenticflow_digest(text: str) -> bytes:
    digits = text.removeprefix("sha256=")
    if digits == text or _HEX_DIGEST.fullmatch(digits) is None:
        raise VerificationError("The signature is not sha256=<64 hex digits>.", reason="signature_malformed")
    return bytes.fromhex(digits)


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
    decoded = _strict_base64(bare)
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
