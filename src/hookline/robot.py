"""Wire one robot: the process that a node starts for each run, ``python -m hookline.robot --fd N --lifeline M``.

Like ``adapters.py`` it knows concrete parts on both sides: the browser, and the relay that is its only way out. It has
no database and no engine secret. It ends when its work is done, when the node is gone, and when the browser uses more
memory than it may; whatever ends it, no process of the run and nothing of its folder is left.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from hookline.core.addresses import AddressPolicy
from hookline.core.robots.recording import bind
from hookline.errors import InputError
from hookline.model.executions import Failure
from hookline.runners.robot.messages import (
    MOST_BYTES,
    TO_ROBOT,
    Begin,
    Broken,
    Done,
    Moved,
    Setup,
    Shot,
    Told,
    Unready,
    line,
    open_line,
    receive,
)
from hookline.runners.robot.processes import adopt_orphans, end_sessions, private_bytes, sessions_under
from hookline.senders.proxy import parse_proxy
from hookline.senders.relay import PageRelay

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

    from hookline.runners.robot.messages import ToNode

_MEMORY_SECONDS: Final = 0.5
"""Between two looks at the browser's memory: it grows by some hundred megabytes a second at worst."""

_CLEANING: Final = Lock()

_MOST_OUTPUT_BYTES: Final = MOST_BYTES // 2


class Wire:
    """The robot's end of the socket; also the ``Reports`` of its interpreter."""

    def __init__(self, writer: asyncio.StreamWriter, relay: PageRelay) -> None:
        self._writer = writer
        self._relay = relay

    def send(self, message: ToNode) -> None:
        self._writer.write(line(message))

    def tell(self, level: str, text: str) -> None:
        self.send(Told(level, _storable(text[:2000])))

    def move(self, percent: int, label: str) -> None:
        self.send(Moved(percent, label))

    def shot(self, file: str, name: str) -> None:
        self.send(Shot(file, _storable(name[:200])))

    def why(self, host: str) -> str | None:
        return self._relay.why(host)


async def main(number: int, lifeline: int) -> None:
    """Serve one run over the socket of that number."""
    adopt_orphans()
    reader, writer = await open_line(number)
    setup = await receive(reader, TO_ROBOT)
    if not isinstance(setup, Setup):
        return
    folder = Path(setup.folder)
    Thread(target=_watch, args=(lifeline, folder), daemon=True).start()
    egress = None if setup.egress is None else parse_proxy(setup.egress)
    relay = PageRelay(AddressPolicy(setup.networks), egress)
    wire = Wire(writer, relay)
    try:
        port = await relay.start()
        await _with_browser(setup, port, reader, wire)
    finally:
        await relay.close()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        if _is_closed(lifeline, wait=False):
            # The browser's end ended us first: who leaves now would leave the folder behind.
            _clean(folder)


async def _with_browser(setup: Setup, port: int, reader: asyncio.StreamReader, wire: Wire) -> None:
    try:
        from hookline.runners.robot.browser import StartError, running_browser
    except ImportError:
        wire.send(Unready("Robots need Playwright: pip install 'hookline[robot]'"))
        return
    try:
        async with running_browser(setup, port) as (context, ready):
            wire.send(ready)
            begin = await receive(reader, TO_ROBOT)
            if isinstance(begin, Begin):
                await _within_memory(
                    _run(setup, begin, context, wire), ready.sessions, setup.memory_bytes, wire
                )
    except StartError as exc:
        wire.send(Unready(str(exc)))


async def _run(setup: Setup, begin: Begin, context: BrowserContext, wire: Wire) -> ToNode:
    """Return how the run ended."""
    from hookline.runners.robot.interpreter import Interpreter, RunFailedError

    try:
        recording = bind(msgspec.json.decode(begin.recording), begin.parameters)
    except InputError as exc:
        return Broken(Failure(code="FAILED", message=f"{exc.field}: {exc.message}", type="InputError"), False)
    interpreter = Interpreter(
        context,
        recording,
        wire,
        Path(setup.folder),
        matching=begin.matching,
        pause_ms=begin.pause_ms,
        max_repeats=begin.max_repeats,
    )
    try:
        await interpreter.run()
    except RunFailedError as exc:
        failure = msgspec.structs.replace(
            exc.failure,
            message=_storable(exc.failure.message),
            stack=None if exc.failure.stack is None else _storable(exc.failure.stack),
        )
        return Broken(failure, not interpreter.captured.is_empty)
    output = msgspec.json.encode(interpreter.captured.output())
    if len(output) > _MOST_OUTPUT_BYTES:
        message = f"The robot captured {len(output)} bytes; a run may capture {_MOST_OUTPUT_BYTES}."
        return Broken(Failure(code="FAILED", message=message, type="Error"), True)
    return Done(msgspec.Raw(output))


def _storable(text: str) -> str:
    """Words that a page may have a part in, as every store can hold them."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def _within_memory(run: object, sessions: list[int], most: int, wire: Wire) -> None:
    """Wait for the run's end and tell it; end it when it takes more memory than it may, this process's counted, too:
    what a page answers has to be held here.
    """
    assert asyncio.iscoroutine(run)
    counted = [*sessions, os.getsid(0)]
    task = asyncio.create_task(run)
    while not (await asyncio.wait({task}, timeout=_MEMORY_SECONDS))[0]:
        if private_bytes(counted) > most:
            task.cancel()
            end_sessions(sessions)
            message = f"The browser used more than {most >> 20} MB."
            wire.send(Broken(Failure(code="FAILED", message=message, type="MemoryError"), False))
            return
    wire.send(task.result())


def _watch(lifeline: int, folder: Path) -> NoReturn:
    """In a thread: wait for the node's end, then leave nothing."""
    _is_closed(lifeline, wait=True)
    _clean(folder)
    with suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(70)


def _is_closed(lifeline: int, *, wait: bool) -> bool:
    """Say whether the node is gone; with ``wait``, return when it is."""
    closing = select.poll()
    closing.register(lifeline, select.POLLIN | select.POLLHUP)
    return bool(closing.poll(None if wait else 0))


def _clean(folder: Path) -> None:
    """End the browser and delete what the run has written. Two threads may come here; both leave when it is done."""
    with _CLEANING:
        end_sessions(sessions_under(os.getpid()))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    asyncio.run(main(int(options["--fd"]), int(options["--lifeline"])))
