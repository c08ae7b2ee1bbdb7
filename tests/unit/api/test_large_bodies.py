"""A large body of one caller does not hold up the others (PROMISES P19)."""

from __future__ import annotations

import asyncio

import pytest

from hookline.api.beside import beside
from hookline.core.bodies import read_body

pytestmark = pytest.mark.asyncio

# Six megabytes that are walked twice and written anew.
COSTLY = b"[" + b"[]," * 1_999_970 + b'{"$base64":1}]'


async def test_the_loop_goes_on_while_a_costly_body_is_read() -> None:
    reading = asyncio.create_task(beside(len(COSTLY), read_body, COSTLY, "application/json"))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert reading.result() == read_body(COSTLY, "application/json")
    assert turns > 10, "read on the loop itself, there is one turn before it and one after"
