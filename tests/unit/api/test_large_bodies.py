"""A large body of one caller does not hold up the others (PROMISES P19)."""

from __future__ import annotations

import asyncio
import time

import pytest

from hookline.api.trigger_in import read_beside
from hookline.core.bodies import read_body

pytestmark = pytest.mark.asyncio

# Six megabytes that are walked twice and written anew.
COSTLY = b"[" + b"[]," * 1_999_970 + b'{"$base64":1}]'


async def test_the_loop_goes_on_while_a_costly_body_is_read() -> None:
    reading = asyncio.create_task(read_beside(COSTLY, "application/json"))
    longest, last = 0.0, time.perf_counter()
    while not reading.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    began = time.perf_counter()
    alone = read_body(COSTLY, "application/json")
    at_once = time.perf_counter() - began

    assert reading.result() == alone
    assert longest < at_once / 2
