"""Which addresses are dialled (P11), how names become addresses, and that none of it can hold us up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from hookline.core.addresses import AddressPolicy
from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import Answer, Outgoing
from hookline.senders.dns import NameFailedError, NameMissingError, Resolver
from hookline.senders.http import HttpSender
from hookline.testing.receivers import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.asyncio


class Names:
    """A name server: addresses, or an error, by name; what is not there hangs until ``release``."""

    def __init__(self, **known: Sequence[str] | Exception) -> None:
        self.known = {name.replace("_", "."): value for name, value in known.items()}
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.release = threading.Event()

    def __call__(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        if host not in self.known:
            self.release.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "late")
        found = self.known[host]
        if isinstance(found, Exception):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


async def send_to(
    names: Names, host: str, port: int, *, allowed: tuple[str, ...] = ("127.0.0.0/8",), seconds: float = 1.0
) -> Answer:
    sender = HttpSender(AddressPolicy(allowed), resolver=Resolver(getaddrinfo=names))
    try:
        return await sender.send(Outgoing(f"http://{host}:{port}/", connect_timeout_seconds=seconds))
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "100.64.0.1", "[::1]", "[::ffff:10.0.0.1]", "192.168.1.1", "[fe80::1]"]
)
async def test_a_literal_that_is_not_allowed_is_not_dialled(
    host: str, dialled: list[tuple[str, int]]
) -> None:
    answer = await send_to(Names(), host, 80)

    assert answer.outcome is Is.ADDRESS_REFUSED
    assert answer.address is not None
    assert dialled == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "[::1%lo]",
    ],
)
async def test_a_spelling_that_hides_an_address_is_not_even_resolved(
    host: str, dialled: list[tuple[str, int]]
) -> None:
    names = Names()
    answer = await send_to(names, host, 80)

    assert answer.outcome is Is.NOT_SENT
    assert names.asked == []
    assert dialled == []


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1"] * 999 + ["10.0.0.1"], ["fe80::1%lo"]]
)
async def test_one_bad_address_refuses_the_name(addresses: list[str], dialled: list[tuple[str, int]]) -> None:
    answer = await send_to(Names(some_test=addresses), "some.test", 80)

    assert answer.outcome is Is.ADDRESS_REFUSED
    assert dialled == []


async def test_a_name_that_turns_inward_is_refused_at_the_next_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved while it was public, private when it is dialled: judged at each dial, never once for all."""
    monkeypatch.setattr("hookline.senders.dns._FRESH_SECONDS", -1.0)
    names = Names(flip_test=["127.0.0.1"])
    sender = HttpSender(AddressPolicy(("127.0.0.1/32",)), resolver=Resolver(getaddrinfo=names))
    async with Receiver() as receiver:
        request = Outgoing(f"http://flip.test:{receiver.port}/")
        first = await sender.send(request)
        names.known["flip.test"] = ["127.0.0.2"]
        sender.drop_idle()
        second = await sender.send(request)
        await sender.close()

    assert (first.outcome, second.outcome) == (Is.DELIVERED, Is.ADDRESS_REFUSED)
    assert receiver.count == 1


async def test_the_address_that_was_checked_is_the_one_dialled(dialled: list[tuple[str, int]]) -> None:
    async with Receiver() as receiver:
        answer = await send_to(Names(here_test=["127.0.0.1"]), "here.test", receiver.port)

    assert (answer.outcome, answer.address) == (Is.DELIVERED, "127.0.0.1")
    assert receiver.received[0].header("host") == f"here.test:{receiver.port}"
    assert dialled == [("127.0.0.1", receiver.port)]


async def test_a_thousand_records_cost_a_few_connects(dialled: list[tuple[str, int]]) -> None:
    names = Names(many_test=[f"127.0.{n // 250}.{n % 250 + 1}" for n in range(1000)])
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        answer = await send_to(names, "many.test", taken.getsockname()[1])

    assert answer.outcome is Is.CONNECT_FAILED
    assert len(dialled) == 4


async def test_the_next_address_is_tried_when_one_fails() -> None:
    async with Receiver() as receiver:
        answer = await send_to(Names(two_test=["127.0.0.9", "127.0.0.1"]), "two.test", receiver.port)

    assert (answer.outcome, answer.address) == (Is.DELIVERED, "127.0.0.1")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), Is.DNS_NOT_FOUND),
        (socket.gaierror(socket.EAI_NODATA, "no"), Is.DNS_NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "servfail"), Is.DNS_FAILED),
        (socket.gaierror(socket.EAI_FAIL, "refused"), Is.DNS_FAILED),
        (TimeoutError(), Is.DNS_FAILED),
        (UnicodeError("label too long"), Is.DNS_NOT_FOUND),
    ],
)
async def test_failures_of_names_have_two_classes(error: Exception, outcome: Is) -> None:
    answer = await send_to(Names(bad_test=error), "bad.test", 80)

    assert (answer.outcome, answer.status, answer.address) == (outcome, None, None)


async def test_a_name_without_records_does_not_exist() -> None:
    assert (await send_to(Names(empty_test=[]), "empty.test", 80)).outcome is Is.DNS_NOT_FOUND


async def test_a_name_server_that_hangs_ends_with_the_connect_deadline() -> None:
    names = Names()
    started = time.monotonic()
    answer = await send_to(names, "hang.test", 80, seconds=0.2)
    names.release.set()

    assert answer.outcome is Is.DNS_FAILED
    assert 0.19 <= time.monotonic() - started <= 0.26


async def test_a_name_is_looked_up_once_for_all_who_wait() -> None:
    names = Names(one_test=["127.0.0.1"])
    resolver = Resolver(getaddrinfo=names)
    found = await asyncio.gather(*(resolver.resolve("one.test", seconds=1) for _ in range(100)))
    await resolver.resolve("one.test", seconds=1)
    resolver.close()

    assert set(found) == {("127.0.0.1",)}
    assert names.asked == ["one.test"]


async def test_a_known_name_never_touches_a_thread() -> None:
    names = Names(one_test=["127.0.0.1"])
    resolver = Resolver(getaddrinfo=names)
    await resolver.resolve("one.test", seconds=1)
    resolver._fast.submit = resolver._slow.submit = None  # type: ignore[method-assign,assignment]

    assert resolver.cached("one.test") == ("127.0.0.1",)
    assert await resolver.resolve("one.test", seconds=1) == ("127.0.0.1",)


async def test_names_that_do_not_exist_are_remembered_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(no_test=socket.gaierror(socket.EAI_NONAME, "no"))
    resolver = Resolver(getaddrinfo=names)
    for _ in range(3):
        with pytest.raises(NameMissingError):
            await resolver.resolve("no.test", seconds=1)
    now = time.monotonic()
    monkeypatch.setattr("hookline.senders.dns.time.monotonic", lambda: now + 2)
    with pytest.raises(NameMissingError):
        await resolver.resolve("no.test", seconds=1)
    resolver.close()

    assert len(names.asked) == 2


async def test_names_that_hang_use_a_bounded_number_of_threads_and_spare_the_others() -> None:
    names = Names(good_test=["127.0.0.1"], late_test=["127.0.0.1"])
    resolver = Resolver(getaddrinfo=names, threads=4)

    async def fails(host: str) -> None:
        with pytest.raises(NameFailedError):
            await resolver.resolve(host, seconds=0.1)

    dead = [f"dead{n}.test" for n in range(3)]
    await asyncio.gather(*map(fails, dead))
    # Their threads still hang. A name that is well gets the fourth.
    assert await resolver.resolve("good.test", seconds=1) == ("127.0.0.1",)

    names.release.set()
    await asyncio.sleep(0.05)
    names.release.clear()
    # Known to be slow: from now on they wait for each other, in a lane of their own.
    await asyncio.gather(*map(fails, dead), fails("dead3.test"))
    assert await resolver.resolve("late.test", seconds=1) == ("127.0.0.1",)
    names.release.set()
    resolver.close()

    assert len(names.threads) <= 8
    assert {name.rsplit("-", 1)[0] for name in names.threads} == {"dns", "dns-slow"}


async def test_a_lookup_that_nobody_waits_for_is_not_begun() -> None:
    names = Names()
    resolver = Resolver(getaddrinfo=names, threads=1)

    async def fails(host: str) -> None:
        with pytest.raises(NameFailedError):
            await resolver.resolve(host, seconds=0.1)

    await asyncio.gather(fails("a.test"), fails("b.test"))
    names.release.set()
    await asyncio.sleep(0.05)
    resolver.close()

    assert names.asked == ["a.test"]
    assert resolver._flights == {}


async def test_a_cancelled_wait_leaves_the_lookup_to_the_others() -> None:
    names = Names()
    resolver = Resolver(getaddrinfo=names)
    first = asyncio.create_task(resolver.resolve("x.test", seconds=2))
    second = asyncio.create_task(resolver.resolve("x.test", seconds=2))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.sleep(0)
    names.release.set()
    with pytest.raises(NameFailedError):
        await second
    resolver.close()

    assert first.cancelled()


async def test_a_hanging_name_server_does_not_keep_the_process_alive(
    record_property: Callable[[str, object], None],
) -> None:
    names = Names()
    resolver = Resolver(getaddrinfo=names)
    with pytest.raises(NameFailedError):
        await resolver.resolve("x.test", seconds=0.05)
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("dns-")]
    names.release.set()

    assert hanging
    assert all(thread.daemon for thread in hanging)
