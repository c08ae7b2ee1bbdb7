"""The whole API over a running node and a real store, spoken to in ASGI."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from described import DescribedClient
from engine_bed import ORDERS, SUPPORT, Bed, running

from hookline.api.app import build_application
from hookline.api.services import ApiSettings
from hookline.core.addresses import AddressPolicy
from hookline.core.retry import POLICY_MAX_RETRIES
from hookline.engine.manage import first_admin_key, prepare
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asgi import Client

    from hookline.api.front import Front
    from hookline.model.executions import Automation
    from hookline.ports import Store
    from hookline.ports.runner import RunJob, RunListener
    from hookline.testing.fakes import FakeSender, Work

PUBLIC_URL = "https://hooks.example.com"


class Api:
    """A server without a socket.

    key: the first admin key.  admin: a client with it.  bed: the node beneath.
    """

    def __init__(self, front: Front, bed: Bed, key: str) -> None:
        self.front = front
        self.bed = bed
        self.key = key
        self.anyone = DescribedClient(front)
        self.admin = DescribedClient(front, {"Authorization": f"Bearer {key}"})

    def __repr__(self) -> str:
        return "Api()"

    async def client(self, *scopes: str, organization: str | None = None) -> DescribedClient:
        """Return a client with a new key of these scopes, of the first or another organization."""
        maker = self.admin if organization is None else self.admin.having(Hookline_Organization=organization)
        made = await maker("POST", "/api/v1/keys", {"name": "-".join(scopes), "scopes": list(scopes)})
        assert made.status == 201, made
        return DescribedClient(self.front, {"Authorization": f"Bearer {made.json['key']}"})

    async def organization(self, name: str, external_id: str | None = None) -> str:
        body = {"name": name, "external_id": external_id}
        made = await self.admin("POST", "/api/v1/organizations", body)
        assert made.status == 201, made
        return str(made.json["id"])

    async def webhook(self, client: Client | None = None, **fields: Any) -> dict[str, Any]:
        body = {"url": "https://receiver.example.com/hook", "events": ["*"], **fields}
        made = await (client or self.admin)("POST", "/api/v1/webhooks", body)
        assert made.status == 201, made
        found: dict[str, Any] = made.json
        return found

    async def trigger(
        self, client: Client | None = None, kind: str = "workflow", **fields: Any
    ) -> dict[str, Any]:
        """Make a trigger; ``path`` of the answer is its URL without the server."""
        id = {"workflow": "orders", "agent": "support"}[kind]
        body = {"automation": {"kind": kind, "id": id}, "auth": {"type": "token"}, **fields}
        made = await (client or self.admin)("POST", "/api/v1/triggers", body)
        assert made.status == 201, made
        found: dict[str, Any] = made.json
        return found | {"path": found["url"].removeprefix(PUBLIC_URL)}


async def echo(job: RunJob, _: RunListener) -> Succeeded:
    """Return the input."""
    return Succeeded(output=job.input or b"null")


WORK: dict[Automation, Work] = {ORDERS: echo, SUPPORT: echo}


@asynccontextmanager
async def serving(
    store: Store,
    *,
    sender: FakeSender | None = None,
    work: dict[Automation, Work] | None = None,
    key: str | None = None,
    **bed_settings: Any,
) -> AsyncIterator[Api]:
    """Start a node over an open store, and the API over it.

    key: the admin key, when another node over the same database has printed it.  bed_settings: as of ``running``.
    """
    async with running(
        store, sender=sender, work=WORK if work is None else work, public_url=PUBLIC_URL, **bed_settings
    ) as bed:
        await prepare(store, bed.node.vault, clock=bed.node.clock)
        made = await first_admin_key(store, clock=bed.node.clock)
        admin_key = made or key
        assert admin_key is not None
        await bed.node.directory.refresh()
        settings = ApiSettings(
            version="0.0",
            public_url=PUBLIC_URL,
            max_body_bytes=65_536,
            max_retries=(bed_settings.get("limits") or {}).get("max_retries", POLICY_MAX_RETRIES),
        )
        policy = AddressPolicy(["10.1.0.0/16"])
        yield Api(build_application(bed.node, settings, policy), bed, admin_key)
