"""Keep secrets unreadable at rest, and sign links, with keys derived from ``HOOKLINE_SECRET_KEY``.

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
    """One per process. secret_key: the operator's text, any length that the settings accept."""

    __slots__ = ("_digest_key", "_link_key", "_seal_key", "check_value")

    def __init__(self, secret_key: str) -> None:
        material = secret_key.encode()
        self._seal_key = _derive(material, b"hookline/seal/1")
        self._link_key = _derive(material, b"hookline/link/1")
        self._digest_key = _derive(material, b"hookline/digest/1")
        self.check_value = _derive(material, b"hookline/check/1")
        """Stored beside the data, so that a node with another key refuses to start. Tells nothing of the key."""

    def __repr__(self) -> str:
        return "Vault(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Vault stays in its process")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return what may be stored. The same value never looks the same twice."""
        head = _VERSION + os.urandom(_LABEL_BYTES + _NONCE_BYTES)
        return head + self._cipher(head).encrypt(head[-_NONCE_BYTES:], plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed with this context. Raises SealBrokenError."""
        head = sealed[:_HEAD]
        if head[:1] != _VERSION or len(sealed) < _HEAD + _TAG_BYTES:
            raise SealBrokenError("A stored secret is not in the form that this version writes.")
        try:
            return self._cipher(head).decrypt(head[-_NONCE_BYTES:], sealed[_HEAD:], context)
        except InvalidTag:
            # The cause is dropped on purpose: it would add nothing, and it must not carry any bytes along.
            raise SealBrokenError("A stored secret does not open with this HOOKLINE_SECRET_KEY.") from None

    def _cipher(self, head: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._seal_key, head[1 : 1 + _LABEL_BYTES], "sha256"))

    def is_same_key(self, check_value: bytes) -> bool:
        """Say whether a stored check value was made with this key."""
        return hmac.compare_digest(self.check_value, check_value)

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
        return f"{seconds}.{self._link_mac(path, seconds)}"

    def verify_link(self, path: str, token: str, now: datetime) -> bool:
        """Say whether the token was made for this path and has not expired."""
        match = _LINK.fullmatch(token)
        if match is None:
            return False
        is_equal = hmac.compare_digest(self._link_mac(path, match[1]), match[2])
        return is_equal and now.timestamp() < int(match[1])

    def _link_mac(self, path: str, seconds: str) -> str:
        mac = hmac.digest(self._link_key, f"{seconds}\n{path}".encode("utf-8", "surrogatepass"), "sha256")
        return urlsafe_b64encode(mac).decode().rstrip("=")


def _derive(material: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(material)


def token_digest(token: str) -> bytes:
    """Return the SHA-256 under which a random token or key is stored: it has too many bits to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
