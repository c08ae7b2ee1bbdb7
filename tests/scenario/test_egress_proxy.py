"""A node that is told of an egress proxy sends everything through it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from world import world

from hookline.testing.proxy import ForwardProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def running_proxy() -> Iterator[ForwardProxy]:
    """A proxy in a thread of its own."""
    loop, proxy = asyncio.new_event_loop(), ForwardProxy()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(5)
    yield proxy
    asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def test_deliveries_and_tests_go_through_the_egress_proxy(tmp_path: Path) -> None:
    """P11: one dial site, so one door."""
    with running_proxy() as proxy:
        place = f"http://127.0.0.1:{proxy.port}"
        with world(f"sqlite:///{tmp_path}/hookline.db", tmp_path, HOOKLINE_EGRESS_PROXY=place) as one:
            webhook = one.webhook("/in", ["order.paid"])
            tested = one("POST", f"/api/v1/webhooks/{webhook['id']}/test", {}).json
            one("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
            arrived = one.inbox.wait("/in", 2)
            receiver = one.inbox.origin.removeprefix("http://")

    assert tested["success"] is True
    assert len(arrived) == 2
    assert {first for first, _ in proxy.asked} == {f"CONNECT {receiver} HTTP/1.1"}
