"""Events that come in by a stream of NATS: stored before they are acknowledged, each once, and none is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from engine_bed import running
from nats_bed import STREAM, NatsServer

from hookline.brokers.nats import NatsBroker
from hookline.config import load_settings
from hookline.engine.manage.start import FIRST
from hookline.errors import SettingError, StorageError
from hookline.model.configuration import Organization
from hookline.model.ids import new_key, public
from hookline.model.states import DeliveryState
from hookline.ports import RequestFilter
from hookline.ports.broker import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from engine_bed import Bed

    from hookline.model.events import Delivery, Event
    from hookline.ports import Store
    from hookline.ports.broker import Arrival

pytestmark = pytest.mark.asyncio

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


def broker(server: NatsServer) -> NatsBroker:
    return NatsBroker(server.url, stream=STREAM, consumer="hookline")


def of(bed: Bed) -> dict[str, str]:
    """What says whose a message is."""
    return {"Hookline-Organization": public("organization", bed.organization_id)}


async def events(bed: Bed) -> list[Event]:
    return await bed.node.store.recent_events(bed.organization_id, before=None, limit=500)


def has_sent(number: int) -> Callable[[list[Delivery]], bool]:
    def check(found: list[Delivery]) -> bool:
        return sum(one.state is DeliveryState.SUCCEEDED for one in found) == number

    return check


async def test_a_message_becomes_an_event_and_is_delivered(store: Store, server: NatsServer) -> None:
    """P1, P4: its subject is the type, its payload the data, byte for byte; headers may say otherwise."""
    await server.make_stream("orders.>")
    async with running(store, broker=broker(server)) as bed:
        await bed.webhook(dialect="raw")
        await server.send(
            ("orders.created", b'{"n": 1.50 , "text":"\\u00eb"}', of(bed) | {"traceparent": TRACE}),
            ("orders.paid", b"7", of(bed) | {"Hookline-Type": "order.paid", "Nats-Msg-Id": "order-7"}),
            ("orders.sent", b"null", of(bed) | {"Hookline-Ordering-Key": "customer 9"}),
        )
        await server.until_all_are_settled()
        await bed.until_deliveries(has_sent(3))
        found = {event.type: event for event in await events(bed)}
        bodies = {request.body for request in bed.sender.sent}

    assert set(found) == {"orders.created", "order.paid", "orders.sent"}
    assert bodies == {b'{"n": 1.50 , "text":"\\u00eb"}', b"7", b"null"}
    assert found["order.paid"].own_id == "order-7"
    assert found["orders.sent"].ordering_key == "customer 9"
    assert (found["orders.created"].own_id or "").startswith(f"{STREAM}:")
    assert (found["orders.created"].trace, found["orders.sent"].trace) == (TRACE, None)


async def test_what_is_brought_again_is_one_event(store: Store, server: NatsServer) -> None:
    """P5: a node that dies between commit and acknowledgement leaves a message that comes again."""

    class Forgetful(NatsBroker):
        async def taken(self, arrivals: Sequence[Arrival]) -> None:
            await self.put_back(arrivals, seconds=0.05)

    await server.make_stream("orders.>")
    async with running(store, broker=Forgetful(server.url, stream=STREAM, consumer="hookline")) as bed:
        await server.send(*[("orders.created", b"%d" % number, of(bed)) for number in range(20)])
        async with asyncio.timeout(20):
            while bed.node.meter.brokered["taken"] < 60:  # noqa: ASYNC110 -- asks a figure, as a scrape does
                await asyncio.sleep(0.02)
        first = await events(bed)
    async with running(store, broker=broker(server), organization_id=bed.organization_id) as again:
        await server.until_all_are_settled()
        second = await events(again)

    assert len(first) == 20
    assert [event.key for event in second] == [event.key for event in first]


async def test_what_can_never_be_an_event_is_refused_and_stops_nothing(
    store: Store, server: NatsServer
) -> None:
    """P22: it is kept as a refused request with the reason, and is told in the log and in a figure."""
    await server.make_stream("orders.>")
    async with running(store, broker=broker(server)) as bed:
        first_one = new_key()
        await store.add(
            Organization,
            id=first_one,
            organization_id=first_one,
            document=Organization(name="First"),
            names=[FIRST],
            at=bed.node.clock.now(),
        )
        nobody = {"Hookline-Organization": public("organization", new_key())}
        await server.send(
            ("orders.created", b"not JSON", of(bed)),
            ("orders.created", b"{}", nobody),
            ("orders.created", b"{}", of(bed) | {"Hookline-Type": "*"}),
            ("orders.created", b"{}", of(bed) | {"Nats-Msg-Id": "with a space"}),
            ("orders.created", b'"\xff"', of(bed)),
            ("orders.created", b'{"good": true}', of(bed)),
        )
        await server.until_all_are_settled()
        found = await events(bed)
        counted = bed.node.meter.brokered
        refused = RequestFilter(refused=True)
        kept = await store.requests(bed.organization_id, refused, before=None, limit=9)
        whole = await store.request(kept[-1].id, organization_id=bed.organization_id)
        homeless = await store.requests(first_one, refused, before=None, limit=9)

    assert [event.data for event in found] == [b'{"good": true}']
    assert counted == {"refused": 5, "taken": 1}
    assert sorted((line.reason or "").partition(":")[0] for line in kept) == [
        "INVALID_INPUT",
        "INVALID_INPUT",
        "INVALID_JSON",
        "INVALID_UTF8",
    ]
    assert [(line.status, line.reason) for line in homeless] == [
        (404, "NOT_FOUND: There is no such organization.")
    ]
    assert {(line.method, line.path, line.remote_address.split()[0]) for line in kept} == {
        ("MESSAGE", "orders.created", STREAM)
    }
    assert whole is not None
    assert whole.body in {b"not JSON", b"{}", b'"\xff"'}


async def test_organizations_are_kept_apart(store: Store, server: NatsServer) -> None:
    """P14: the header names whose it is, by our id or by the platform's own."""
    await server.make_stream("orders.>")
    async with running(store, broker=broker(server)) as bed:
        other = new_key()
        await store.add(
            Organization,
            id=other,
            organization_id=other,
            document=Organization(name="Other", external_id="acme"),
            names=[("external_id", "acme")],
            at=bed.node.clock.now(),
        )
        await server.send(("orders.a", b"1", of(bed)), ("orders.b", b"2", {"Hookline-Organization": "acme"}))
        await server.until_all_are_settled()
        mine = await events(bed)
        theirs = await store.recent_events(other, before=None, limit=10)

    assert [event.type for event in mine] == ["orders.a"]
    assert [event.type for event in theirs] == ["orders.b"]


async def test_a_store_that_is_away_loses_no_message(
    store: Store, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: what could not be committed is not acknowledged."""
    await server.make_stream("orders.>")
    async with running(store, broker=broker(server)) as bed:
        publish = bed.node._publisher.publish
        failures = iter(range(2))

        async def sometimes(*arguments: object, **named: object) -> object:
            if next(failures, None) is not None:
                raise StorageError("The database is away.")
            return await publish(*arguments, **named)  # type: ignore[arg-type]

        assert bed.node._intake is not None
        monkeypatch.setattr(bed.node._intake, "_publish", sometimes)
        await server.send(*[("orders.created", b"%d" % number, of(bed)) for number in range(5)])
        await server.until_all_are_settled()
        found = await events(bed)

    assert {event.data for event in found} == {b"%d" % number for number in range(5)}


async def test_a_server_that_comes_back_is_read_on(store: Store, server: NatsServer) -> None:
    """The node starts, serves and stops without it."""
    await server.make_stream("orders.>")
    server.stop()
    async with running(store, broker=broker(server)) as bed:
        await bed.publish()
        server.start()
        await server.send(("orders.created", b"1", of(bed)))
        await server.until_all_are_settled()
        server.stop()
        server.start()
        await server.send(("orders.created", b"2", of(bed)))
        await server.until_all_are_settled()
        found = await events(bed)

    assert {event.data for event in found} == {b"{}", b"1", b"2"}


async def test_the_doctor_says_what_is_there(server: NatsServer) -> None:
    with pytest.raises(BrokerError, match="no stream ORDERS"):
        await broker(server).check()
    await server.make_stream("orders.>")
    assert await broker(server).check() == "stream ORDERS, 0 messages, 1 replicas"
    server.stop()
    with pytest.raises(BrokerError, match=r"NATS at 127\.0\.0\.1:\d+ cannot be asked"):
        await broker(server).check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"HOOKLINE_NATS_URL": "nats://u:hunter2@127.0.0.1"}, "HOOKLINE_NATS_STREAM must be set"),
        ({"HOOKLINE_NATS_STREAM": "ORDERS"}, "HOOKLINE_NATS_URL must be set"),
        (
            {"HOOKLINE_NATS_URL": "http://u:hunter2@127.0.0.1", "HOOKLINE_NATS_STREAM": "A"},
            "HOOKLINE_NATS_URL must be nats://",
        ),
        (
            {"HOOKLINE_NATS_URL": "nats://127.0.0.1", "HOOKLINE_NATS_STREAM": "a.b"},
            "HOOKLINE_NATS_STREAM must be the name",
        ),
    ],
)
async def test_settings_that_do_not_fit_stop_the_start(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    """P13: and never show the password."""
    with pytest.raises(SettingError, match=said) as caught:
        load_settings(environ=given, directory=tmp_path)

    assert "hunter2" not in str(caught.value)
