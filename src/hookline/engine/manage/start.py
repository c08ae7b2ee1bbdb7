"""The first start: a default organization, an admin key, and the mark of the key that seals secrets.

Safe to run on every start and by several nodes at once: each step is a unique name in the registry, so whoever comes
second finds what the first one made.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.engine.manage.keys import DIGESTS, new_key_text
from hookline.engine.vault import token_digest
from hookline.errors import ConflictError, SettingError
from hookline.model.configuration import ApiKey, Organization, Stored
from hookline.model.ids import Key, new_key
from hookline.model.states import Scope

if TYPE_CHECKING:
    from hookline.engine.vault import Vault
    from hookline.ports import Clock, Registry

_KEY_CHECK: Final = "secret_key_check"
_DIGEST_KEY: Final = "digest_key"
"""The key of digests, sealed, once a secret key has taken over from the one it was derived from."""
_MARK: Final = "mark"
"""Name space of things of which there is one."""
FIRST: Final = (_MARK, "default")
"""Unique name of the first organization."""
_FIRST_KEY: Final = "first_admin_key"
_FIXED: Final = "HOOKLINE_ADMIN_KEY"


async def prepare(
    registry: Registry, vault: Vault, *, clock: Clock, fixed_admin_key: str | None = None
) -> None:
    """Prepare the store: what every later step of a start rests on. Repeats nothing that is there.

    fixed_admin_key: valid from now on instead of the one that was fixed before.
    Raises SettingError when the store was sealed with another secret key.
    """
    await _check_secret_key(registry, vault)
    organization = await _default_organization(registry, clock)
    if fixed_admin_key is not None:
        await _fix_admin_key(registry, clock, organization.id, fixed_admin_key)


async def first_admin_key(registry: Registry, *, clock: Clock) -> str | None:
    """Return the admin key that this call made, to be printed once; None when there is a key. After ``prepare``.

    The last step of a start: a key that was made by a start that failed would never be shown to anybody.
    """
    organization = await _default_organization(registry, clock)
    if await registry.list(ApiKey, organization_id=organization.id, limit=1):
        return None
    text = new_key_text(secrets.token_bytes(32))
    try:
        await _add(registry, clock, organization.id, text, name="First admin key", mark=_FIRST_KEY)
    except ConflictError:
        return None  # another node made it in this moment, and printed it
    return text


async def default_organization(registry: Registry) -> Key | None:
    """Return the installation's first organization; None before the first start."""
    stored = await registry.find(Organization, *FIRST)
    return None if stored is None else stored.id


async def _check_secret_key(registry: Registry, vault: Vault) -> None:
    known = await registry.meta(_KEY_CHECK)
    if known is None:
        await registry.set_meta(_KEY_CHECK, vault.check_value)
    elif not (vault.is_same_key(known) or vault.is_previous_key(known)):
        raise SettingError(
            "HOOKLINE_SECRET_KEY must be the key that this database was made with, got another one",
            field="secret_key",
            expected="the key of this database",
            received="another key",
        )
    kept = await registry.meta(_DIGEST_KEY)
    if kept is not None:
        vault.take_digest_key(kept)
    elif known is not None and vault.is_previous_key(known):
        await registry.set_meta(_DIGEST_KEY, vault.keep_digest_key())


async def forget_previous_key(registry: Registry, vault: Vault) -> None:
    """Make the present key the one that the store was made with: nothing sealed with the previous one is left.

    The last step of a change of keys; what it writes first can still be read with both.
    """
    kept = await registry.meta(_DIGEST_KEY)
    again = None if kept is None else vault.take_digest_key(kept)
    if again is not None:
        await registry.set_meta(_DIGEST_KEY, again)
    await registry.set_meta(_KEY_CHECK, vault.check_value)


async def _default_organization(registry: Registry, clock: Clock) -> Stored[Organization]:
    found = await registry.find(Organization, *FIRST)
    if found is not None:
        return found
    id = new_key()
    try:
        return await registry.add(
            Organization,
            id=id,
            organization_id=id,
            document=Organization(name="Default"),
            names=[FIRST],
            at=clock.now(),
        )
    except ConflictError:
        found = await registry.find(Organization, *FIRST)
        assert found is not None
        return found


async def _fix_admin_key(registry: Registry, clock: Clock, organization_id: Key, text: str) -> None:
    """Make the fixed key valid, and the one that was fixed before it not."""
    digest = token_digest(text)
    known = await registry.find(ApiKey, DIGESTS, digest.hex())
    for stored in await registry.list(ApiKey, organization_id=organization_id):
        if stored.document.name == _FIXED and stored.document.digest != digest:
            await _set_revoked(registry, clock, stored, is_revoked=True)
    if known is not None:
        await _set_revoked(registry, clock, known, is_revoked=False)
        return
    try:
        await _add(registry, clock, organization_id, text, name=_FIXED)
    except ConflictError:
        return  # another node with the same settings was faster


async def _set_revoked(registry: Registry, clock: Clock, stored: Stored[ApiKey], *, is_revoked: bool) -> None:
    if (stored.document.revoked_at is not None) == is_revoked:
        return
    revoked_at = clock.now() if is_revoked else None
    document = msgspec.structs.replace(stored.document, revoked_at=revoked_at)
    try:
        await registry.put(msgspec.structs.replace(stored, document=document), at=clock.now())
    except ConflictError:
        return  # another node with the same settings did it


async def _add(
    registry: Registry, clock: Clock, organization_id: Key, text: str, *, name: str, mark: str | None = None
) -> None:
    digest = token_digest(text)
    # A fixed key is the operator's own text and may be short, so no character of it is shown.
    key = ApiKey(name=name, digest=digest, hint=text[:8] if mark else "", scopes=(Scope.ADMIN,))
    names = [(DIGESTS, digest.hex()), *([(_MARK, mark)] if mark else [])]
    await registry.add(
        ApiKey, id=new_key(), organization_id=organization_id, document=key, names=names, at=clock.now()
    )
