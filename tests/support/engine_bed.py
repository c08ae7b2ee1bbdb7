"""A node over a real store, with fakes where the world begins: what the engine's scenarios stand on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.engine.clock import SystemClock
from hookline.engine.node import ROLES, Node
from hookline.engine.parts import Limits
from hookline.engine.publish import EventDraft
from hookline.engine.receive import ExecutionStart
from hookline.engine.vault import SIGNING_SECRET, Vault
from hookline.model.configuration import Organization, RetryPolicy, Webhook
from hookline.model.executions import Automation
from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports import DeliveryFilter
from hookline.testing.fakes import FakeRunner, FakeSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from hookline.engine.definitions import DataKind
    from hookline.engine.tracing import Tracing
    from hookline.model.configuration import Stored
    from hookline.model.events import Delivery
    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.model.integrations import Handler, Integration
    from hookline.ports import Mailer, Store
    from hookline.ports.blobs import Blobs
    from hookline.ports.broker import Broker
    from hookline.testing.fakes import Answerer, Work

VAULT = Vault("a key that only tests know")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORDERS = Automation(kind=Kind.WORKFLOW, id="orders", name="Orders")
RESUMABLE = Automation(kind=Kind.WORKFLOW, id="resumable", name="Resumable", is_resumable=True)
SUPPORT = Automation(kind=Kind.AGENT, id="support", name="Support")


class StandingClock(SystemClock):
    """Its time of day stands until it is moved; leases run by the other reading, which is real."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        return self._now

    def move_to(self, instant: datetime) -> None:
        self._now = instant


class Bed:
    """A node, its organization, and short ways to ask of them."""

    def __init__(self, node: Node, sender: FakeSender, runner: FakeRunner, organization_id: Key) -> None:
        self.node = node
        self.sender = sender
        self.runner = runner
        self.organization_id = organization_id

    async def webhook(self, **settings: Any) -> Stored[Webhook]:
        fields: dict[str, Any] = {
            "name": "w",
            "url": "http://receiver.test/hook",
            "events": ("*",),
            "dialect": "standard",
            "sealed_secret": VAULT.seal(SECRET.encode(), SIGNING_SECRET),
            **settings,
        }
        stored = await self.node.store.add(
            Webhook,
            id=new_key(),
            organization_id=self.organization_id,
            document=Webhook(**fields),
            names=(),
            at=self.node.clock.now(),
        )
        await self.node.directory.refresh()
        return stored

    async def publish(self, type_: str = "order.paid", data: bytes = b"{}", **draft: Any) -> str:
        published = await self.node.publish(
            self.organization_id, [EventDraft(type=type_, data=data, **draft)]
        )
        assert isinstance(published, list)
        return published[0].public_id

    async def start(self, automation: Automation = ORDERS, data: bytes = b"{}", **more: Any) -> Execution:
        execution = await self.node.start_execution(
            ExecutionStart(
                organization_id=self.organization_id,
                kind=automation.kind,
                automation_id=automation.id,
                input=data,
                **more,
            )
        )
        assert not hasattr(execution, "is_same")
        return execution

    async def deliveries(self) -> list[Delivery]:
        return await self.node.store.deliveries(
            self.organization_id, DeliveryFilter(), before=None, limit=500
        )

    async def until_deliveries(
        self, holds: Callable[[list[Delivery]], bool], *, within: float = 8.0
    ) -> list[Delivery]:
        async with asyncio.timeout(within):
            while not holds(found := await self.deliveries()):  # noqa: ASYNC110 -- asks the store, as a user would
                await asyncio.sleep(0.01)
        return found

    async def until_status(self, execution: Execution, *statuses: str, within: float = 8.0) -> Execution:
        async with asyncio.timeout(within):
            while True:
                found = await self.node.store.execution(execution.id, organization_id=self.organization_id)
                if found is not None and found.status in statuses:
                    return found
                await asyncio.sleep(0.01)

    async def event_types(self, execution: Execution) -> list[str]:
        return [event.type for event in await self.node.store.execution_events(execution.id)]


@asynccontextmanager
async def running(
    store: Store,
    *,
    sender: FakeSender | None = None,
    work: dict[Automation, Work] | None = None,
    organization_id: Key | None = None,
    time_scale: float = 0.0005,
    stop: bool = True,
    roles: tuple[str, ...] = ROLES,
    clock: SystemClock | None = None,
    public_url: str = "",
    vault: Vault = VAULT,
    integrations: tuple[Integration, ...] = (),
    handlers: dict[Handler, Answerer] | None = None,
    mailer: Mailer | None = None,
    kinds: dict[Kind, DataKind] | None = None,
    limits: dict[str, Any] | None = None,
    blobs: Blobs | None = None,
    tracing: Tracing | None = None,
    broker: Broker | None = None,
) -> AsyncIterator[Bed]:
    """A started node over an open store. stop=False leaves it as a kill would: its tasks just cease.

    kinds: set up as data; automations of ``work`` that are of these are none of the app's.
    """
    clock = clock if clock is not None else SystemClock()
    sender = sender if sender is not None else FakeSender()
    runner = FakeRunner(clock, work, integrations=integrations, handlers=handlers)
    node = Node(
        name="test",
        store=store,
        runner=runner,
        sender=sender,
        vault=vault,
        clock=clock,
        limits=Limits(retry_time_scale=time_scale, grace_seconds=5, **(limits or {})),
        roles=roles,
        public_url=public_url,
        mailer=mailer,
        blobs=blobs,
        tracing=tracing,
    )
    if kinds is not None:
        node.definitions._kinds.update(kinds)
        runner.automations = tuple(each for each in runner.automations if each.kind not in kinds)
    if broker is not None:
        node.take_from(broker)
    await node.start()
    if organization_id is None:
        organization_id = new_key()
        await store.add(
            Organization,
            id=organization_id,
            organization_id=organization_id,
            document=Organization(name="Test"),
            names=(),
            at=clock.now(),
        )
    try:
        yield Bed(node, sender, runner, organization_id)
    finally:
        if stop:
            await node.stop()
        else:
            kill(node)


def kill(node: Node) -> None:
    """Cancel every task of a node at once: what a kill -9 leaves of it is what is on disk."""
    mine = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not mine and task.get_coro().__qualname__.split(".")[0] in _PARTS:  # type: ignore[union-attr]
            task.cancel()


_PARTS = {
    "Batcher",
    "Alerts",
    "Committer",
    "Endings",
    "Deliverer",
    "Executor",
    "Supervisor",
    "Outbox",
    "FakeRunner",
    "Deployer",
    "Replayer",
}


def policy(retries: int, multiplier: float = 1.0) -> RetryPolicy:
    return RetryPolicy(max_retries=retries, backoff_multiplier=multiplier)


def parsed(body: bytes) -> Any:
    return msgspec.json.decode(body)
