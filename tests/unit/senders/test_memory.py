"""P9: a hundred hostile receivers at once cost this process less than 8 MiB."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import Outgoing
from hookline.senders.http import HttpSender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.core.addresses import AddressPolicy

# In a process of their own, so that what they hold is not counted here.
RECEIVERS = """
import asyncio, json
from hookline.testing.receivers import Receiver, Reply
kinds = [Reply.endless(), Reply.drip(b"x" * 9000, seconds=0.01), Reply.bomb(), Reply.many_headers(),
         Reply.long_header(2_000_000), Reply.flood_of_hints(40_000), Reply.hang_in_body(), Reply.hang(),
         Reply(raw=b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
                   + b"1\\r\\nx\\r\\n" * 400_000)]
async def main():
    receivers = [Receiver(default=kind) for kind in kinds]
    for one in receivers:
        await one.__aenter__()
    print(json.dumps([one.url for one in receivers]), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
LIMIT = 8 * 1024 * 1024


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with subprocess.Popen([sys.executable, "-c", RECEIVERS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.kill()


@pytest.mark.asyncio
async def test_a_hundred_hostile_receivers_at_once_stay_within_8_mib(
    sender: HttpSender, urls: list[str]
) -> None:
    await asyncio.gather(*(sender.send(Outgoing(url, timeout_seconds=0.3)) for url in urls))
    gc.collect()
    before = peak = resident()
    sending = [
        asyncio.create_task(sender.send(Outgoing(urls[n % len(urls)], timeout_seconds=1.5)))
        for n in range(100)
    ]
    while not all(task.done() for task in sending):
        await asyncio.sleep(0.005)
        peak = max(peak, resident())
    outcomes = {task.result().outcome for task in sending}

    assert peak - before < LIMIT
    assert outcomes == {Is.DELIVERED, Is.TIMEOUT, Is.BAD_RESPONSE}


@pytest.mark.asyncio
async def test_a_hundred_endless_answers_kept_at_once_stay_within_8_mib(
    rule: AddressPolicy, urls: list[str]
) -> None:
    """The worst case: all of them keep the full 64 KiB."""
    sender = HttpSender(rule)
    await sender.send(Outgoing(urls[0], timeout_seconds=1.0))
    gc.collect()
    before = resident()
    answers = await asyncio.gather(*(sender.send(Outgoing(urls[0], timeout_seconds=5.0)) for _ in range(100)))
    growth = resident() - before
    await sender.close()

    assert all(answer.is_cut for answer in answers)
    assert growth < LIMIT
