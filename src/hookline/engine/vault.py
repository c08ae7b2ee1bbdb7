"""Keep secrets unreadable at rest, and sign links, with keys derived from ``HOOKLINE_SECRET_KEY``.

While one secret key takes over from another, both open, and the new one seals (``engine/reseal.py``).

A sealed value opens only with the same key and the same context, so a value moved to another column does not open.
Keys never leave this object: it has no repr of them, cannot be pickled, and no error repeats what it read.

Sealed: version byte, 12 bytes that derive the value's own key, 12 bytes of nonce, AES-256-GCM text with its tag.
The extra 12 bytes lift the limit of 2^32 values that one AES-GCM key with random nonces has.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hookline.errors import StorageError

if TYPE_CHECKING:
    from datetime import datetime

SIGNING_SECRET: Final = b"signing-secret"
"""Context of a webhook's signing secret."""
SIGNING_KEY: Final = b"signing-key"
"""Context of a webhook's private key."""
AUTHENTICATION: Final = b"authentication"
CERTIFICATES: Final = b"certificates"
"""Context of what a delivery authenticates with: a bearer token, base64 of user:password, or a header's value."""
TRIGGER_OPTIONS: Final = b"trigger-options"
"""Context of the secrets of a trigger."""
INSTANCE_CONFIG: Final = b"instance-config"
"""Context of the secret config values of an instance."""
INSTANCE_KEYS: Final = b"instance-keys"
"""Context of the API keys of an instance's flows: running code may see them."""
INSTANCE_STATES: Final = b"instance-states"
"""Context of what ``on_deploy`` returned: remote systems hand out secrets when a webhook is registered."""
ANSWER: Final = b"answer"
"""Context of a remembered answer to a request with an Idempotency-Key."""
SESSION: Final = b"session"
"""Context of a dashboard session, in its cookie."""

_DIGEST_KEY: Final = b"digest-key"

_VERSION: Final = b"\x01"
_LABEL_BYTES: Final = 12
_NONCE_BYTES: Final = 12
_HEAD: Final = len(_VERSION) + _LABEL_BYTES + _NONCE_BYTES
_TAG_BYTES: Final = 16
_LINK: Final = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


class SealBrokenError(StorageError):
    """A stored secret does not open: another key sealed it, or the row was changed."""

    code = "SEAL_BROKEN"


class Vault:
    """One per process. secret_key: the operator's text, any length that the settings accept.

    previous: another key that still opens what it sealed and verifies its links, while one takes over from the other.
    """

    __slots__ = ("_digest_key", "_keys", "_previous")

    def __init__(self, secret_key: str, previous: str | None = None) -> None:
        self._keys = _Keys(secret_key)
        self._previous = _Keys(previous) if previous not in {None, secret_key} else None
        self._digest_key = self._keys.digest

    def __repr__(self) -> str:
        return "Vault(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Vault stays in its process")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return what may be stored. The same value never looks the same twice."""
        head = _VERSION + os.urandom(_LABEL_BYTES + _NONCE_BYTES)
        return head + _cipher(self._keys, head).encrypt(head[-_NONCE_BYTES:], plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed with this context. Raises SealBrokenError."""
        return self._open(sealed, context)[0]

    def reseal(self, sealed: bytes, context: bytes) -> bytes | None:
        """Return a value that the previous key sealed as the present one seals it; None when that one did already.

        Raises SealBrokenError.
        """
        plain, keys = self._open(sealed, context)
        return None if keys is self._keys else self.seal(plain, context)

    def _open(self, sealed: bytes, context: bytes) -> tuple[bytes, _Keys]:
        head = sealed[:_HEAD]
        if head[:1] != _VERSION or len(sealed) < _HEAD + _TAG_BYTES:
            raise SealBrokenError("A stored secret is not in the form that this version writes.")
        for keys in (self._keys, self._previous):
            if keys is None:
                continue
            try:
                return _cipher(keys, head).decrypt(head[-_NONCE_BYTES:], sealed[_HEAD:], context), keys
            except InvalidTag:
                continue  # the cause is dropped on purpose: it must not carry any bytes along
        raise SealBrokenError("A stored secret does not open with this HOOKLINE_SECRET_KEY.")

    @property
    def has_previous_key(self) -> bool:
        return self._previous is not None

    @property
    def check_value(self) -> bytes:
        """Stored beside the data, so that a node with another key refuses to start. Tells nothing of the key."""
        return self._keys.check

    def is_same_key(self, check_value: bytes) -> bool:
        """Say whether a stored check value was made with this key."""
        return hmac.compare_digest(self._keys.check, check_value)

    def is_previous_key(self, check_value: bytes) -> bool:
        """Say whether it was made with the previous one."""
        return self._previous is not None and hmac.compare_digest(self._previous.check, check_value)

    # Digests cannot be made anew without the credential, so their key stays when the secret key changes.

    def keep_digest_key(self) -> bytes:
        """Go on with the previous key's digests. Returns their key, sealed, to be stored."""
        assert self._previous is not None
        self._digest_key = self._previous.digest
        return self.seal(self._digest_key, _DIGEST_KEY)

    def take_digest_key(self, sealed: bytes) -> bytes | None:
        """Go on with the stored key of digests. Returns it resealed when the previous key sealed it, else None.

        Raises SealBrokenError.
        """
        self._digest_key = self.open(sealed, _DIGEST_KEY)
        return self.reseal(sealed, _DIGEST_KEY)

    def digest(self, *parts: str) -> str:
        """Return a keyed digest, hex, by which a low-entropy credential can be found but not guessed from a copy
        of the database: whoever could compute it has the key that opens everything else, too.
        """
        mac = hmac.new(self._digest_key, digestmod="sha256")
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            mac.update(len(data).to_bytes(8, "big") + data)
        return mac.hexdigest()

    def sign_link(self, path: str, expires_at: datetime) -> str:
        """Return a token that lets whoever holds it read this path until then."""
        seconds = str(int(expires_at.timestamp()))
        return f"{seconds}.{_link_mac(self._keys, path, seconds)}"

    def verify_link(self, path: str, token: str, now: datetime) -> bool:
        """Say whether the token was made for this path and has not expired."""
        match = _LINK.fullmatch(token)
        if match is None:
            return False
        is_equal = False
        for keys in (self._keys, self._previous):
            is_equal |= keys is not None and hmac.compare_digest(_link_mac(keys, path, match[1]), match[2])
        return is_equal and now.timestamp() < int(match[1])


class _Keys:
    """What is derived from one secret key."""

    __slots__ = ("check", "digest", "link", "seal")

    def __init__(self, secret_key: str) -> None:
        material = secret_key.encode()
        self.seal = _derive(material, b"hookline/seal/1")
        self.link = _derive(material, b"hookline/link/1")
        self.digest = _derive(material, b"hookline/digest/1")
        self.check = _derive(material, b"hookline/check/1")


def _cipher(keys: _Keys, head: bytes) -> AESGCM:
    return AESGCM(hmac.digest(keys.seal, head[1 : 1 + _LABEL_BYTES], "sha256"))


def _link_mac(keys: _Keys, path: str, seconds: str) -> str:
    mac = hmac.digest(keys.link, f"{seconds}\n{path}".encode("utf-8", "surrogatepass"), "sha256")
    return urlsafe_b64encode(mac).decode().rstrip("=")


def _derive(material: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(material)


def token_digest(token: str) -> bytes:
    """Return the SHA-256 under which a random token or key is stored: it has too many bits to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
