"""Read a large body beside the event loop: six megabytes of empty lists take a second and more to decode."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE_BYTES: Final = 256 * 1024
"""Smaller bodies are read at once: handing one to a thread costs more than most of them."""

Given = ParamSpec("Given")
Read = TypeVar("Read")


async def beside(size: int, read: Callable[Given, Read], *given: Given.args, **named: Given.kwargs) -> Read:
    """Return ``read(*given)``; above AT_ONCE_BYTES in a thread, so that other callers are served meanwhile.

    size: bytes of what is read.  Raises what that raises.
    """
    if size <= AT_ONCE_BYTES:
        return read(*given, **named)
    return await asyncio.to_thread(read, *given, **named)
