"""How a server's own log lines look: short text in a terminal, one JSON object a line elsewhere.

Lines go to standard error, so that what ``serve`` prints for people and scripts stays alone on standard output. What
libraries say through the standard library's logging, from warnings on, becomes lines like ours. Whoever wrote a line,
what looks like a secret in it is taken out on the way (P13).

Lines of attempts go a way of their own where they are JSON: there are thousands a second, and the general way costs a
tenth of a delivery. They are written together, a moment later, so a line of another kind may stand before one that is
older; timestamps tell.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog

from hookline.core.redact import redact_text
from hookline.engine.tracing import current_trace_id
from hookline.engine.watch import LOGGER as ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import TextIO

    from structlog.typing import Processor

_TOGETHER_SECONDS: Final = 0.05
"""How long a line of an attempt waits for others; a kill -9 takes those that wait with it."""
_MOST_TOGETHER: Final = 1_000


def configure(*, level: str, form: str) -> None:
    """Set up logging for this process. level, form: as the settings log_level and log_format."""
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    last: Processor = (
        # Tracebacks are text by then: the renderer's own would print local variables, and with them secrets (P13).
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if is_text
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _traced,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    least = logging.getLevelNamesMapping()[level.upper()]
    general: type[Any] = structlog.make_filtering_bound_logger(least)

    def bound(logger: Any, processors: Any, context: Any) -> Any:
        return logger if isinstance(logger, AttemptLines) else general(logger, processors, context)

    def lines_of(name: str | None = None) -> Any:
        is_apart = name == ATTEMPTS and not is_text and least <= logging.INFO
        return AttemptLines(sys.stderr) if is_apart else structlog.PrintLogger(sys.stderr)

    structlog.configure(
        processors=[*processors, last],
        wrapper_class=cast("type[Any]", bound),
        logger_factory=lines_of,
        cache_logger_on_first_use=True,
    )
    _take_in_others(processors, last, max(least, logging.WARNING))


class AttemptLines:
    """A logger for lines that hold ids, states and numbers alone, so there is nothing in them to take out."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        atexit.register(self.flush)

    def __repr__(self) -> str:
        return f"AttemptLines({len(self._lines)} waiting)"

    def info(self, event: str, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._lines.append(self._encode({**fields, "event": event, "level": "info", "timestamp": now}))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self.flush)
        elif len(self._lines) >= _MOST_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._out.write(b"\n".join(lines).decode() + "\n")
            self._out.flush()


def _take_in_others(processors: list[Any], last: Processor, least: int) -> None:
    """Word what libraries log like our own lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *processors],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(least)


def _traced(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say to which trace a line belongs that is written while a request is answered."""
    if "trace_id" not in line:
        trace_id = current_trace_id()
        if trace_id is not None:
            line["trace_id"] = trace_id
    return line


def _redacted(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = redact_text(value)
    return line
