"""An integration with scripted handlers, its instances, and a store that dies under them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from api_bed import PUBLIC_URL, WORK, Api, echo, serving

from hookline.errors import StorageError
from hookline.model.executions import Automation
from hookline.model.integrations import Endpoint, Flow, Handler, Integration, Variable
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asgi import Client, Reply

    from hookline.ports import Store
    from hookline.ports.runner import CallJob

ALL = (Handler.ON_TRIGGER, Handler.ON_DEPLOY, Handler.ON_REMOVE)
LIFE = (Handler.ON_DEPLOY, Handler.ON_REMOVE)

ACME_ORDERS = Automation(kind=Kind.WORKFLOW, id="acme.orders", name="orders")
ACME_INVOICES = Automation(kind=Kind.WORKFLOW, id="acme.invoices", name="invoices")
ACME_SETUP = Automation(kind=Kind.WORKFLOW, id="acme.setup", name="setup")

ACME = Integration(
    id="acme",
    name="Acme",
    flows=(
        Flow(name="orders", automation_id="acme.orders", handlers=LIFE),
        Flow(name="invoices", automation_id="acme.invoices", handlers=LIFE),
        Flow(name="setup", automation_id="acme.setup", runs_on_deploy=True),
    ),
    variables=(
        Variable(name="region", default="eu"),
        Variable(name="limit", type="number"),
        Variable(name="token", is_secret=True),
    ),
)


class Remote:
    """A system that handlers register webhooks with.

    registered: URL by flow name, as it is there now.  said: every call, in order.  fails: calls that fail, by handler
    and flow.
    """

    def __init__(self) -> None:
        self.registered: dict[str, str] = {}
        self.said: list[str] = []
        self.fails: set[tuple[str, str]] = set()
        self.contexts: list[dict[str, Any]] = []

    async def on_deploy(self, job: CallJob) -> bytes:
        context = self._took(job)
        flow = str(job.flow)
        self.registered[flow] = context["webhook_urls"][flow]
        return msgspec.json.encode({"webhook_id": f"remote-{flow}"})

    async def on_remove(self, job: CallJob) -> bytes:
        context = self._took(job)
        assert context["instance_state"] == {"webhook_id": f"remote-{job.flow}"}
        self.registered.pop(str(job.flow), None)  # it may be called twice, as any handler
        return b"null"

    def _took(self, job: CallJob) -> dict[str, Any]:
        self.said.append(f"{job.handler} {job.flow}")
        self.contexts.append(msgspec.json.decode(job.context))
        if (job.handler, job.flow) in self.fails:
            raise RuntimeError(f"no room for {job.flow}")
        return self.contexts[-1]

    @property
    def handlers(self) -> dict[Handler, Any]:
        return {Handler.ON_DEPLOY: self.on_deploy, Handler.ON_REMOVE: self.on_remove}


class Instances:
    """An API over a node whose app declares an integration, and the remote system behind it."""

    def __init__(self, api: Api, remote: Remote, integration: Integration) -> None:
        self.api = api
        self.remote = remote
        self.integration = integration

    async def create(self, of: str = "c-1", *, client: Client | None = None, **fields: Any) -> Reply:
        body = {"integration": self.integration.id, "customer": {"external_id": of}, **fields}
        return await (client or self.api.admin)("POST", "/api/v1/instances", body)

    async def made(self, of: str = "c-1", **fields: Any) -> dict[str, Any]:
        """Create one that becomes active."""
        answer = await self.create(of, **fields)
        assert (answer.status, answer.json["status"]) == (201, "active"), answer
        found: dict[str, Any] = answer.json
        return found

    async def act(
        self, instance: dict[str, Any], action: str = "", body: Any = b"", method: str = "POST"
    ) -> Reply:
        place = f"/api/v1/instances/{instance['id']}"
        return await self.api.admin(method, f"{place}/{action}" if action else place, body)

    async def shown(self, instance: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.act(instance, method="GET")).json
        return found

    async def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api.admin("GET", "/api/v1/instances")).json["instances"]
        return found

    def path(self, instance: dict[str, Any], flow: str = "orders") -> str:
        return str(instance["webhook_urls"][flow]).removeprefix(PUBLIC_URL)

    async def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api.admin("GET", "/api/v1/executions")).json["executions"]
        return found


@asynccontextmanager
async def integrated(
    store: Store, integration: Integration = ACME, *, remote: Remote | None = None, **settings: Any
) -> AsyncIterator[Instances]:
    """Start a node whose app declares this integration."""
    remote = remote or Remote()
    handlers = remote.handlers | settings.pop("handlers", {})
    work = WORK | {
        Automation(kind=Kind.WORKFLOW, id=flow.automation_id, name=flow.name): echo
        for flow in integration.flows
    }
    work |= settings.pop("work", {})
    async with serving(store, work=work, integrations=(integration,), handlers=handlers, **settings) as api:
        yield Instances(api, remote, integration)


SHARED = msgspec.structs.replace(
    ACME, endpoint=Endpoint.SHARED, flow_name_field="headers.x-flow", customer_id_field="body.data.tenant"
)
SINGLE = msgspec.structs.replace(ACME, endpoint=Endpoint.INSTANCE, flow_name_field="headers.x-flow")


class DyingStore:
    """A store that takes a number of registry changes and then stores nothing any more, as for a process that was
    killed there.

    writes_left: how many it still takes; it counts down.
    """

    def __init__(self, store: Store, writes: int) -> None:
        self._store = store
        self.writes_left = writes

    def __getattr__(self, name: str) -> Any:
        if name in _WRITES and self.writes_left <= 0:
            return _dead
        if name in _CHANGES:
            self.writes_left -= 1
        return getattr(self._store, name)


_CHANGES = {"add", "put", "delete"}
_WRITES = _CHANGES | {"commit", "reserve", "finish", "forget"}


async def _dead(*_: Any, **__: Any) -> Any:
    raise StorageError("The process is dead.")
