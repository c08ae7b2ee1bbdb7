"""Run user code: the process that the runner host starts, ``python -m hookline.runners.child``.

    child PLACE --fd N --lifeline M            imports the app, waits for one Start, runs it, ends
    child PLACE --fd N --lifeline M --shared   imports the app, runs many async executions side by side
    child PLACE --fd N --lifeline M --calls    imports the app, calls its handlers one after the other
    child PLACE --manifest                     prints what the app declares as JSON and ends

It has no database handle and no engine secret, and imports as little as it can: it is started for every
execution that does not share. ``asyncio`` is loaded only for an app that needs it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import msgspec

from hookline.context import Cancelled, context_for, is_async
from hookline.model.states import Kind
from hookline.runners import values
from hookline.runners.ending import answer, leave, missing
from hookline.runners.link import Link, guard
from hookline.runners.loading import NoAppError, load_app
from hookline.runners.plain_session import PlainSession
from hookline.runners.protocol import Ack, Broken, Journal, ProtocolError, Ready, Start, Unready
from hookline.runners.streams import flush_output, make_output_timely, tell_runs_apart

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from hookline.model.executions import JournalEntry
    from hookline.sdk import App


def main(arguments: list[str]) -> None:
    """Do what the arguments say; see the top of this module."""
    place = arguments[0]
    if "--manifest" in arguments:
        manifest = msgspec.json.encode(load_app(place).automations)
        sys.stdout.write(msgspec.json.format(manifest).decode() + "\n")
        return
    options = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    link = Link(int(options["--fd"]))
    guard(link, int(options["--lifeline"]) if "--lifeline" in options else None)
    make_output_timely()
    if "--shared" in arguments:
        tell_runs_apart()
    app = _load(link, place)
    if "--shared" in arguments:
        from hookline.runners.shared_child import serve

        serve(link, app)
    elif "--calls" in arguments:
        from hookline.runners.call_child import serve_calls

        serve_calls(link, app)
    else:
        _run_one(link, app)


def _load(link: Link, place: str) -> App:
    try:
        return load_app(place)
    except NoAppError as exc:
        link.send(Unready(values.failure(exc.message)))
        leave()
    except BaseException as exc:  # noqa: BLE001 -- a user's file may even call sys.exit
        link.send(Unready(values.failure_of(exc)))
        leave()


def _run_one(link: Link, app: App) -> NoReturn:
    """Wait for a Start and run it in this process."""
    loop = None
    if any(is_async(app.function(each.kind, each.id) or print) for each in app.automations):
        from hookline.runners.async_run import new_loop

        loop = new_loop()
    link.send(Ready(os.getpid(), list(app.automations), list(app.integrations)))
    journal: list[JournalEntry] = []
    while not isinstance(message := link.receive(), Start):
        if isinstance(message, Journal):
            journal += message.entries
    function = app.function(Kind(message.kind), message.automation_id)
    if function is None:
        link.send(Broken(message.run, missing(message)))
    elif is_async(function) and loop is not None:
        from hookline.runners.async_run import run_alone

        run_alone(loop, link, message, journal, function, app.workflows)
    else:
        _run_plain(link, message, journal, function, app.workflows)
    leave()


def _run_plain(
    link: Link,
    start: Start,
    journal: list[JournalEntry],
    function: Callable[..., Any],
    workflows: frozenset[str],
) -> None:
    def receive() -> Ack:
        message = link.receive()
        if not isinstance(message, Ack):
            raise ProtocolError(f"expected an Ack, got {type(message).__name__}")
        return message

    try:
        signal.signal(signal.SIGTERM, _raise_cancelled)
        session = PlainSession(start, journal, link.send, receive=receive, leave=leave)
        session.workflows = workflows
        result = function(context_for(session, Kind(start.kind), asynchronous=False))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the answer is made: nothing is left to cancel
    except BaseException as exc:  # noqa: BLE001 -- whatever ended it is the answer
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        flush_output()
        link.send(Broken(start.run, values.failure_of(exc)))
        return
    flush_output()
    answer(session, Kind(start.kind), result, link.send)


def _raise_cancelled(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled("the execution was cancelled")


if __name__ == "__main__":
    main(sys.argv[1:])
