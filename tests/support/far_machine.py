"""A receiver on a machine of its own, which is cut off from the network in the middle of its work.

``unshare --net --map-root-user python far_machine.py`` makes the near machine and tells what became of its
deliveries, as one line of JSON; ``far_machine.py far`` is the other one. A pair of virtual network cards joins the two.
When the far one goes down no FIN and no RST leaves it, so its connections are half-open: what the near one sends is
lost, and nothing tells it so.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NEAR, FAR, PORT = "10.99.0.1", "10.99.0.2", 8080
KEPT_OPEN = 3
EVENTS = 20
TIMEOUT_MS = 1500


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


# --- the far machine ----------------------------------------------------------------------------------------


async def far() -> None:
    """Answer the first request, then so many together that as many connections stay open; go when told to."""
    sys.stdin.readline()  # its card has arrived
    _ip("address", "add", f"{FAR}/24", "dev", "far")
    _ip("link", "set", "far", "up")
    arrived, answered = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while await reader.readuntil(b"\r\n\r\n"):
            arrived += 1
            if arrived > KEPT_OPEN:
                answered.set()
            if arrived > 1:
                await answered.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await asyncio.start_server(serve, FAR, PORT)
    _say("listens")
    await asyncio.to_thread(sys.stdin.readline)
    _ip("link", "set", "far", "down")
    _say("gone")
    await asyncio.to_thread(sys.stdin.read)


# --- the near machine ---------------------------------------------------------------------------------------


class Far:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "--net", sys.executable, __file__, "far"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def told(self, words: str = "") -> str:
        """Tell it to go on, and wait until it says that it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(words + "\n")
        return self._process.stdout.readline().strip()

    def join(self) -> None:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        _ip("address", "add", f"{NEAR}/24", "dev", "near")
        _ip("link", "set", "near", "up")
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._process.pid}/ns/net").readlink() == ours:
            time.sleep(0.01)  # until unshare has made its namespace
        _ip("link", "set", "far", "netns", str(self._process.pid))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


async def near(far: Far, folder: Path) -> dict[str, object]:
    from engine_bed import policy, running

    from hookline.core.addresses import AddressPolicy
    from hookline.engine.clock import SystemClock
    from hookline.senders.http import HttpSender
    from hookline.stores.sqlite.store import SqliteStore
    from hookline.testing.receivers import Receiver

    store = SqliteStore(folder / "hookline.db", clock=SystemClock())
    await store.open()
    sender = HttpSender(AddressPolicy(("127.0.0.0/8", "10.99.0.0/24")))
    async with running(store, sender=sender) as bed, Receiver() as healthy:  # type: ignore[arg-type]
        await bed.webhook(
            url=f"http://{FAR}:{PORT}/", events=("far",), retry_policy=policy(0), timeout_ms=TIMEOUT_MS
        )
        await bed.webhook(url=healthy.url, events=("healthy",))
        for count in (1, KEPT_OPEN):
            for _ in range(count):
                await bed.publish("far")
            await bed.until_deliveries(lambda found: all(one.state == "succeeded" for one in found))
        far.told()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(EVENTS):
            await bed.publish("far")
            await bed.publish("healthy")
        await healthy.wait_for(EVENTS, seconds=20)
        under_way = sum(one.ended_at is None for one in await bed.deliveries() if one.event_type == "far")
        found = await bed.until_deliveries(lambda found: all(one.ended_at for one in found), within=30)
        attempts = [
            attempt
            for one in found
            if one.event_type == "far" and one.state != "succeeded"
            for attempt in await store.attempts(one.id)
        ]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    await store.close()
    return {
        "outcomes": sorted({one.outcome for one in attempts}),
        "ended": len(attempts),
        "under_way": under_way,
        "longest_ms": max(one.duration_ms for one in attempts),
        "grown_mb": grown,
    }


def main() -> None:
    far_machine = Far()
    try:
        far_machine.join()
        assert far_machine.told() == "listens"
        with tempfile.TemporaryDirectory() as folder:
            _say(json.dumps(asyncio.run(near(far_machine, Path(folder)))))
    finally:
        far_machine.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["far"]:
        asyncio.run(far())
    else:
        main()
