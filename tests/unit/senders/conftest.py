"""A sender that may dial this machine, on both event loops that Hookline runs on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from hookline.core.addresses import AddressPolicy
from hookline.ports.sender import Answer, Outgoing
from hookline.senders.http import HttpSender

Send = Callable[..., Any]

_recorders: list[list[tuple[str, int]]] = []


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _recorders and isinstance(arguments[1], tuple):
        _recorders[-1].append(arguments[1][:2])


# Python's own audit sees every connect of the process, whichever library makes it.
sys.addaudithook(_record)


@pytest.fixture
def dialled() -> Iterator[list[tuple[str, int]]]:
    """Every address that was dialled during the test."""
    _recorders.append([])
    yield _recorders[-1]
    _recorders.pop()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def rule() -> AddressPolicy:
    """Loopback only, as an operator would allow it for development."""
    return AddressPolicy(("127.0.0.0/8", "::1/128"))


@pytest_asyncio.fixture
async def sender(rule: AddressPolicy) -> AsyncIterator[HttpSender]:
    one = HttpSender(rule)
    yield one
    await one.close()
    await asyncio.sleep(0)


@pytest.fixture
def send(sender: HttpSender) -> Send:
    """``await send(url, timeout_seconds=1.0, …)`` with a small body."""

    async def run(url: str, **options: Any) -> Answer:
        settings = {"body": b'{"a":1}', "timeout_seconds": 2.0, **options}
        return await sender.send(Outgoing(url, **settings))

    return run
