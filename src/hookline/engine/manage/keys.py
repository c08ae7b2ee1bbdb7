"""API keys: made, listed, revoked. A key's text exists once, in the answer to the call that made it."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.times import rfc3339
from hookline.engine.vault import token_digest
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import ApiKey
from hookline.model.ids import new_key
from hookline.model.states import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.ports import Registry

DIGESTS: Final = "digest"
"""Name space of keys, by SHA-256 of their text in hex."""

_PREFIX: Final = "hlk_"
_HINT_CHARACTERS: Final = 8


def new_key_text(random32: bytes) -> str:
    """Return the text of a key made of 32 random bytes; ValueError for another length."""
    if len(random32) != 32:
        raise ValueError("a key is made of 32 random bytes")
    return _PREFIX + urlsafe_b64encode(random32).decode().rstrip("=")


async def create_key(
    registry: Registry,
    organization_id: Key,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    now: datetime,
) -> tuple[Stored[ApiKey], str]:
    """Make a key. Returns it with its text, which is shown once. Raises InputError."""
    if not scopes:
        raise InputError(
            "A key has at least one scope.",
            field="scopes",
            expected="one of admin, write, read, trigger",
            received="none",
        )
    if expires_at is not None and expires_at <= now:
        raise InputError(
            "expires_at must lie in the future.",
            field="expires_at",
            expected="a time to come",
            received=rfc3339(expires_at),
        )
    text = new_key_text(secrets.token_bytes(32))
    digest = token_digest(text)
    key = ApiKey(
        name=name,
        digest=digest,
        hint=text[:_HINT_CHARACTERS],
        scopes=tuple(scope for scope in Scope if scope in scopes),
        expires_at=expires_at,
    )
    stored = await registry.add(
        ApiKey,
        id=new_key(),
        organization_id=organization_id,
        document=key,
        names=[(DIGESTS, digest.hex())],
        at=now,
    )
    return stored, text


async def revoke_key(
    registry: Registry, organization_id: Key, id: Key, *, now: datetime, is_forced: bool = False
) -> Stored[ApiKey]:
    """Refuse a key from now on. One that is revoked already stays as it is. Raises MissingError.

    Raises ConflictError for an organization's last admin key, unless forced: nobody could make another.
    """
    stored = await registry.get(ApiKey, id, organization_id=organization_id)
    if stored is None:
        raise MissingError("There is no such key.")
    if stored.document.revoked_at is not None:
        return stored
    if not is_forced and Scope.ADMIN in stored.document.scopes:
        others = await registry.list(ApiKey, organization_id=organization_id)
        if not any(_is_admin(one, now) for one in others if one.id != id):
            raise ConflictError(
                "This is the last admin key: make another first, or force it.", code="LAST_ADMIN_KEY"
            )
    revoked = msgspec.structs.replace(stored.document, revoked_at=now)
    try:
        return await registry.put(msgspec.structs.replace(stored, document=revoked), at=now)
    except ConflictError:
        # The only change a key knows is this one: somebody else has made it.
        return await revoke_key(registry, organization_id, id, now=now, is_forced=is_forced)


def _is_admin(stored: Stored[ApiKey], now: datetime) -> bool:
    """Say whether a key may still do everything."""
    key = stored.document
    is_over = key.expires_at is not None and key.expires_at <= now
    return Scope.ADMIN in key.scopes and key.revoked_at is None and not is_over
