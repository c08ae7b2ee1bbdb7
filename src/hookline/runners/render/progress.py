"""Read what FFmpeg says while and after it runs: progress, streams of a file, and why it failed. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_PICTURE: Final = re.compile(r"^.*Stream #0:\d+.*?: Video: .*?[ ,]\d+x\d+", re.MULTILINE)
_SOUND: Final = re.compile(r"^.*Stream #0:\d+.*?: Audio: .*?\d+ Hz", re.MULTILINE)
_DURATION: Final = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ERROR: Final = re.compile(
    r"^(?:\[[^\]]* @ 0x[0-9a-f]+\]\s*)*\[(?:error|fatal|panic)\]\s*(?P<what>.*)$", re.MULTILINE
)
_EMPTY_WORDS: Final = (
    "At least one output file",
    "Error opening input",
    "Error opening output",
    "Conversion failed",
    "Invalid image size",
)
"""Beginnings of lines that say less than another line does."""

LONGEST_CAUSE: Final = 300


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a render is. frame: pictures encoded.  eta_seconds: None while nothing is known of the speed."""

    percent: float
    frame: int
    frames: int
    eta_seconds: float | None


class ProgressReader:
    """Turns FFmpeg's ``-progress`` lines into ``Progress``. frames: pictures of the whole video."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._rest = b""
        self._frame = 0
        self.last_frame = 0

    def feed(self, data: bytes, elapsed: float) -> Progress | None:
        """Take what was printed; return the newest state if it tells one. elapsed: seconds since the start."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-1024:]
        is_told = False
        for line in lines:
            key, _, value = line.strip().partition(b"=")
            if key == b"frame" and value.strip().isdigit():
                self._frame = min(int(value), self._frames)
            elif key == b"progress":
                self.last_frame = self._frame
                is_told = True
        return self._state(elapsed) if is_told else None

    def _state(self, elapsed: float) -> Progress:
        frame = self.last_frame
        eta = None if frame == 0 else round(elapsed * (self._frames - frame) / frame, 1)
        return Progress(
            percent=round(100 * frame / self._frames, 1), frame=frame, frames=self._frames, eta_seconds=eta
        )


class Streams(msgspec.Struct, frozen=True):
    """What a file holds. seconds: None when FFmpeg does not know."""

    has_picture: bool
    has_sound: bool
    seconds: float | None


def streams_of(said: str) -> Streams:
    """Read what FFmpeg says of the file that it was asked to open. A stream that it cannot decode is none."""
    match = _DURATION.search(said)
    seconds = None
    if match is not None:
        hours, minutes, rest = match.groups()
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    has_picture, has_sound = (kind.search(said) is not None for kind in (_PICTURE, _SOUND))
    return Streams(has_picture, has_sound, seconds or None)


def cause_of(said: str, names: Mapping[str, str], default: str | None = None) -> str:
    """Return the line that tells why FFmpeg failed, without addresses and with the user's words for the files.

    said: printed with ``-loglevel level+…``.  names: path of the element by our name of its file.  default: what to
    say when no line says anything, None for whatever it said last.
    """
    lines = [match["what"].strip() for match in _ERROR.finditer(said)]
    telling = (line for line in lines if line and not line.startswith(_EMPTY_WORDS))
    cause = next(telling, default) or next(reversed(lines), "") or "it gave no reason"
    for name, path in names.items():
        cause = cause.replace(f"./{name}", path).replace(name, path)
    return cause[:LONGEST_CAUSE].rstrip(".")
