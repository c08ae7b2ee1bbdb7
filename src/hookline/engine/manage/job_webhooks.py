"""Where the end of a render job is told: its own ``webhook_uri`` (SEEDS PF-1), through one hidden target.

Each organization has one, made when its first job names an address. As with callbacks, the target holds what is the
same for all jobs (dialect, limits, the secret that signs) and each delivery its own address, so jobs configure nothing.
The secret is shown when it is rotated, which is how receivers of these webhooks get one: no answer to a job shows it,
because whoever may start a job need not be who may read secrets.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Protocol

from hookline.core.signing import new_secret
from hookline.engine.manage.webhooks import finish_rotation, rotate_secret
from hookline.engine.vault import SIGNING_SECRET
from hookline.errors import ConflictError
from hookline.model.configuration import Stored, Webhook
from hookline.model.ids import new_key
from hookline.model.states import Origin

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.engine.vault import Vault
    from hookline.model.ids import Key
    from hookline.ports import Registry

_SPACE: Final = "job_webhooks"
_MOST_IN_FLIGHT: Final = 64
"""Of one organization on one node: one address that hangs holds up its own jobs' others at most."""


class Cache(Protocol):
    """What is configured, as the engine holds it."""

    async def refresh(self) -> None:
        """Take in what was just written."""


async def target_of(
    organization_id: Key, *, registry: Registry, cache: Cache, vault: Vault, now: datetime
) -> Key:
    """Return the hidden target of an organization's jobs, made if need be. Raises StorageError."""
    name = (_SPACE, organization_id.hex())
    found = await registry.find(Webhook, *name)
    if found is not None:
        return found.id
    id_ = new_key()
    target = Webhook(
        name="webhooks of render jobs",
        # Never used: each delivery has its own.
        url="https://job.invalid/",
        events=(),
        origin=Origin.RENDER,
        dialect="phantomflow",
        sealed_secret=vault.seal(new_secret(secrets.token_bytes(32)).encode(), SIGNING_SECRET),
        max_in_flight=_MOST_IN_FLIGHT,
    )
    try:
        await registry.add(
            Webhook, id=id_, organization_id=organization_id, document=target, names=[name], at=now
        )
    except ConflictError:  # another request was faster
        made = await registry.find(Webhook, *name)
        if made is None:
            raise
        id_ = made.id
    await cache.refresh()
    return id_


async def find_target(organization_id: Key, *, registry: Registry) -> Stored[Webhook] | None:
    """Return the hidden target, None before the first job that named an address and the first rotation."""
    return await registry.find(Webhook, _SPACE, organization_id.hex())


async def rotate_target(
    organization_id: Key, *, registry: Registry, cache: Cache, vault: Vault, own: str | None, now: datetime
) -> tuple[Stored[Webhook], str]:
    """Give the target a new secret. Returns both; the secret is shown this once. own: what the owner brings, or None.

    Raises InputError, or ConflictError while another rotation is under way.
    """
    id_ = await target_of(organization_id, registry=registry, cache=cache, vault=vault, now=now)
    rotated = await rotate_secret(
        registry, vault, organization_id, id_, own=own, origin=Origin.RENDER, now=now
    )
    await cache.refresh()
    return rotated


async def finish_target(
    organization_id: Key, *, registry: Registry, cache: Cache, now: datetime
) -> Stored[Webhook] | None:
    """Drop the old secret now; None when there is no target."""
    found = await find_target(organization_id, registry=registry)
    if found is None:
        return None
    finished = await finish_rotation(registry, organization_id, found.id, origin=Origin.RENDER, now=now)
    await cache.refresh()
    return finished
