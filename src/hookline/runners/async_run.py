"""Run one async function in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from hookline.context import context_for
from hookline.model.states import Kind
from hookline.runners import values
from hookline.runners.async_session import AsyncSession
from hookline.runners.ending import answer, leave
from hookline.runners.protocol import Ack, Broken
from hookline.runners.streams import flush_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookline.model.executions import JournalEntry
    from hookline.runners.link import Link
    from hookline.runners.protocol import Start


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop made ahead of need, while the process waits for its run."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def run_alone(
    loop: asyncio.AbstractEventLoop,
    link: Link,
    start: Start,
    journal: Iterable[JournalEntry],
    function: Callable[..., Any],
    workflows: frozenset[str],
) -> None:
    """Run the function to its end and send the answer; a run that suspends leaves the process instead."""
    try:
        session = AsyncSession(start, journal, link.send, loop=loop, on_suspended=lambda _: leave())
        session.workflows = workflows
        loop.add_reader(link.socket, _take_acks, link, session)
        task = loop.create_task(_call(session, Kind(start.kind), function))
        session.task = task
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        # The loop also stops for a SystemExit out of another task of the user: then that is the answer.
        result = loop.run_until_complete(task)
    except BaseException as exc:  # noqa: BLE001 -- whatever ended it is the answer
        flush_output()
        link.send(Broken(start.run, values.failure_of(exc)))
        return
    flush_output()
    answer(session, Kind(start.kind), result, link.send)


def _take_acks(link: Link, session: AsyncSession) -> None:
    for message in link.receive_waiting():
        if isinstance(message, Ack):
            session.acknowledge(message.sequence)


async def _call(session: AsyncSession, kind: Kind, function: Callable[..., Any]) -> Any:
    return await function(context_for(session, kind, asynchronous=True))
