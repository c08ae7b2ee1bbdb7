"""How a server's own log lines look: short text in a terminal, one JSON object a line elsewhere.

Lines go to standard error, so that what ``serve`` prints for people and scripts stays alone on standard output.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor


def configure(*, level: str, form: str) -> None:
    """Set up structlog for this process. level, form: as the settings log_level and log_format."""
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    last: Processor = (
        # Plain tracebacks: the renderer's own would print local variables, and with them secrets (P13).
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if is_text
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not is_text:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
