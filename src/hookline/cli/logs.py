"""How a server's own log lines look: short text in a terminal, one JSON object a line elsewhere.

Lines go to standard error, so that what ``serve`` prints for people and scripts stays alone on standard output. What
libraries say through the standard library's logging, from warnings on, becomes lines like ours. Whoever wrote a line,
what looks like a secret in it is taken out on the way (P13).
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

from hookline.core.redact import redact_text
from hookline.engine.tracing import current_trace_id

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import Processor


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
    structlog.configure(
        processors=[*processors, last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_in_others(processors, last, max(least, logging.WARNING))


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
