"""Turn what user code prints into log lines, up to a limit.

The limit is per execution and covers stdout and stderr together; what is beyond it is dropped and one line
says so. The caller keeps reading all the same: a full pipe would stop the user's program.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from hookline.ports.runner import LogDraft

MAX_OUTPUT: Final = 1024 * 1024
"""Bytes of stdout and stderr that one execution may leave in its log."""

MAX_LINE: Final = 16 * 1024
"""Bytes after which a line is cut, so that output without line ends is seen too."""

LEVELS: Final = {"stdout": "info", "stderr": "warning"}


class OutputLines:
    """Collects the output of one run."""

    __slots__ = ("_left", "_rests")

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._left = limit
        self._rests: dict[str, bytes] = {}

    @property
    def is_full(self) -> bool:
        """Whether all that follows is dropped."""
        return self._left <= 0

    def feed(self, stream: str, data: bytes) -> list[LogDraft]:
        """Take a piece of ``stdout`` or ``stderr``; return the lines that are complete."""
        if self._left <= 0:
            return []
        kept = data[: self._left]
        self._left -= len(data)
        *lines, rest = (self._rests.pop(stream, b"") + kept).split(b"\n")
        while len(rest) > MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        if rest:
            self._rests[stream] = rest
        drafts = [_draft(stream, piece) for line in lines for piece in _pieces(line)]
        if self._left <= 0:
            drafts += self.close()
            drafts.append(_draft("stderr", b"too much was printed: the rest is dropped"))
        return drafts

    def close(self) -> list[LogDraft]:
        """Return what was printed without a line end."""
        rests, self._rests = self._rests, {}
        return [_draft(stream, rest) for stream, rest in rests.items()]


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= MAX_LINE:
        return [line]
    return [line[start : start + MAX_LINE] for start in range(0, len(line), MAX_LINE)]


def _draft(stream: str, line: bytes) -> LogDraft:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return LogDraft(at=datetime.now(UTC), stream=stream, level=LEVELS[stream], text=text)
