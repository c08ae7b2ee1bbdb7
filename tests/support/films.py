"""Small films for tests: files to render with, and what can be seen and heard in what was rendered."""

from __future__ import annotations

import array
import base64
import struct
import subprocess
import zlib
from functools import cache
from typing import TYPE_CHECKING

from hookline.runners.render.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path

RGB = tuple[int, int, int]


@cache
def ffmpeg() -> str:
    """The FFmpeg that renders use."""
    found = Programs().choose_ffmpeg()
    assert found.place is not None, "pip install 'hookline[render]'"
    return found.place


def run_ffmpeg(*arguments: str) -> bytes:
    command = [ffmpeg(), "-nostdin", "-hide_banner", "-v", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@cache
def clip(seconds: int = 1) -> bytes:
    """A film, 64x36: blue, with a tone."""
    source, sound = f"color=c=0x0000FF:s=64x36:r=10:d={seconds}", f"sine=f=440:d={seconds}"
    return run_ffmpeg(
        *("-f", "lavfi", "-i", source, "-f", "lavfi", "-i", sound),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"),
        *("-movflags", "+frag_keyframe+empty_moov", "-f", "mp4", "pipe:1"),
    )


@cache
def tone() -> bytes:
    """A sound of two seconds."""
    return run_ffmpeg("-f", "lavfi", "-i", "sine=f=880:d=2", "-c:a", "libmp3lame", "-f", "mp3", "pipe:1")


def png(
    width: int, height: int, colour: RGB = (255, 0, 0), *, claims: tuple[int, int] | None = None
) -> bytes:
    """A picture of one colour. claims: the size that its header tells instead."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", *(claims or (width, height)), 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(colour) * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Picture:
    """One decoded picture."""

    def __init__(self, width: int, height: int, pixels: bytes) -> None:
        assert len(pixels) == width * height * 3
        self.width = width
        self.height = height
        self._pixels = pixels

    def at(self, x: int, y: int) -> RGB:
        start = (y * self.width + x) * 3
        red, green, blue = self._pixels[start : start + 3]
        return red, green, blue

    def brightest(self, left: int, top: int, right: int, bottom: int) -> int:
        """The highest value of any channel within a rectangle."""
        return max(
            max(self._pixels[(y * self.width + left) * 3 : (y * self.width + right) * 3])
            for y in range(top, bottom)
        )


def pictures(video: Path, width: int, height: int) -> list[Picture]:
    """Every picture of a video."""
    raw = run_ffmpeg("-i", str(video), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    size = width * height * 3
    return [Picture(width, height, raw[start : start + size]) for start in range(0, len(raw), size)]


def loudness(video: Path) -> list[float]:
    """The loudest sample of each tenth of a second, from 0.0 to 1.0; empty without sound."""
    said = subprocess.run([ffmpeg(), "-i", str(video)], check=False, capture_output=True).stderr
    if b"Audio:" not in said:
        return []
    raw = run_ffmpeg("-i", str(video), "-vn", "-ac", "1", "-ar", "8000", "-f", "s16le", "pipe:1")
    samples = array.array("h", raw)
    return [
        max(abs(sample) for sample in samples[start : start + 800]) / 32768
        for start in range(0, len(samples), 800)
    ]


def is_near(one: RGB, other: RGB, by: int = 30) -> bool:
    """Say whether two colours look the same: encoding and subsampling change them a little."""
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))
