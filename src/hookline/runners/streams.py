"""Lead what user code prints out of its process.

In a process of its own it goes through the pipes of stdout and stderr, which the node reads. In a shared one the
text of each execution is told apart by the task, or the thread started from it, that printed it; text of no
execution, and what other programs print, goes to the pipe.
"""

from __future__ import annotations

import contextlib
import io
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from hookline.runners.output import OutputLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.ports.runner import LogDraft


class SharedOutput:
    """What one execution in a shared process prints. log: takes the lines."""

    __slots__ = ("_lines", "_log")

    def __init__(self, log: Callable[[list[LogDraft]], None]) -> None:
        self._log = log
        self._lines: OutputLines | None = None

    def feed(self, stream: str, text: str) -> None:
        if self._lines is None:
            self._lines = OutputLines()
        drafts = self._lines.feed(stream, text.encode("utf-8", "backslashreplace"))
        if drafts:
            self._log(drafts)

    def close(self) -> None:
        """Log what was printed without a line end."""
        if self._lines is not None and (drafts := self._lines.close()):
            self._log(drafts)


current_output: Final[ContextVar[SharedOutput | None]] = ContextVar("hookline_current_output", default=None)
"""The output of the execution that this task or thread belongs to."""


class SharedStream(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr`` in a shared process."""

    def __init__(self, name: str, real: Any) -> None:
        self._name, self._real = name, real

    def write(self, text: str, /) -> int:
        output = current_output.get()
        if output is None:
            self._real.write(text)
        else:
            output.feed(self._name, text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def fileno(self) -> int:
        return int(self._real.fileno())

    def writable(self) -> bool:
        return True


def make_output_timely() -> None:
    """Let each printed line reach the log at once, and never fail on a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def tell_runs_apart() -> None:
    """Replace stdout and stderr; before the app is loaded, whose logging handlers keep what they find."""
    sys.stdout, sys.stderr = SharedStream("stdout", sys.stdout), SharedStream("stderr", sys.stderr)


def flush_output() -> None:
    """Hand over what user code printed; it may have replaced or closed the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
