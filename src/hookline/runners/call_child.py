"""Call handlers one after the other in one process, until the node closes the line.

An async handler runs in an event loop that stands still between calls: what it leaves running does not go on.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from hookline.context import is_async
from hookline.core.octets import wrapped
from hookline.handling import HandlerContext, Payload, plain, route_answer, trigger_answer
from hookline.model.integrations import Handler
from hookline.ports.runner import LogDraft
from hookline.runners import values
from hookline.runners.protocol import Broken, Call, Finished, Ready, Recorded
from hookline.runners.streams import flush_output

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hookline.runners.link import Link
    from hookline.sdk import App


class CallServer:
    """The handlers of an app, and the line to the node."""

    def __init__(self, link: Link, app: App) -> None:
        self._link, self._app = link, app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sequence = 0

    def answer(self, call: Call) -> None:
        """Call a handler and send what it returned, or why it failed."""
        self._sequence = 0
        try:
            value = values.encode(wrapped(plain(self._called(call))), f"what {call.handler} returned")
            flush_output()
            self._link.send(Finished(call.run, value, None))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 -- whatever ended it is the answer
            flush_output()
            self._link.send(Broken(call.run, values.failure_of(exc)))

    def _called(self, call: Call) -> Any:
        function = self._app.handler(call.integration_id, call.flow, call.handler)
        if function is None:
            raise LookupError(f"the app has no {call.handler} for {call.flow or call.integration_id!r}")
        if call.handler is Handler.ROUTE:
            return route_answer(self._call(function, Payload(values.decode_trigger(call.payload))))
        context = HandlerContext(
            values.decode_trigger(call.context), lambda *line: self._log(call.run, *line)
        )
        if call.handler is not Handler.ON_TRIGGER:
            return self._call(function, context)
        payload = Payload(values.decode_trigger(call.payload))
        return trigger_answer(self._call(function, context, payload), payload)

    def _call(self, function: Callable[..., Any], *given: Any) -> Any:
        if not is_async(function):
            return function(*given)
        if self._loop is None:
            from hookline.runners.async_run import new_loop

            self._loop = new_loop()
        return self._loop.run_until_complete(function(*given))

    def _log(self, run: int, text: str, level: str, fields: dict[str, Any]) -> None:
        self._sequence += 1
        draft = LogDraft(
            at=datetime.now(UTC),
            stream="log",
            level=level,
            text=values.clean(text[: values.MAX_MESSAGE]),
            fields=values.encode_fields(fields),
        )
        self._link.send(Recorded(run, self._sequence, logs=[draft]))


def serve_calls(link: Link, app: App) -> NoReturn:
    """Answer calls until the node closes the line, which ends the process."""
    server = CallServer(link, app)
    link.send(Ready(os.getpid(), list(app.automations), list(app.integrations)))
    while True:
        message = link.receive()
        if isinstance(message, Call):
            server.answer(message)
