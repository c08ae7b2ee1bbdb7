"""Where the end of a render job is told: its own ``webhook_uri`` (SEEDS PF-1), through one hidden target.

Each organization has one, made when its first job names an address. As with callbacks, the target holds what is the
same for all jobs (dialect, limits, the secret that signs) and each delivery its own address, so jobs configure nothing.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Protocol

from hookline.core.signing import new_secret
from hookline.engine.vault import SIGNING_SECRET
from hookline.errors import ConflictError
from hookline.model.configuration import Webhook
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
