"""Word the commands: what FFmpeg is asked to do, argument by argument. Pure.

Never a shell. Every file is opened by a format that we chose, through protocols that know only files and pipes, and
with a bound on the size of its pictures before they are decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.core.movie.definition import Movie
    from hookline.runners.render.files import Format, MediaFile
    from hookline.runners.render.graph import Graph

OUTPUT: Final = "movie.mp4"
CONTENT_TYPE: Final = "video/mp4"

MOST_PIXELS: Final = 64 * 1024 * 1024
"""Of one picture of a file: 8192 x 8192, which takes 256 MB decoded."""

_RATE_FACTORS: Final = {"low": 30, "medium": 24, "high": 18}
"""x264's constant rate factor: 18 can hardly be told from the original."""

_ALWAYS: Final = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error")
_READING: Final = ("-protocol_whitelist", "file,pipe", "-max_pixels", str(MOST_PIXELS))


def render_command(ffmpeg: str, movie: Movie, media: Iterable[MediaFile], graph: Graph) -> list[str]:
    """Return the command that makes the video, to be run in the folder of the files."""
    command = [ffmpeg, *_ALWAYS, "-stats_period", "0.25", "-progress", "pipe:1"]
    for file in media:
        command += [*_opening(file.format), *_timing(file, movie), "-i", f"./{file.name}"]
    command += ["-filter_complex", graph.text, "-map", "[v]"]
    if graph.has_sound:
        command += ["-map", "[a]", "-c:a", "aac", "-b:a", "160k"]
    return [
        *command,
        *("-map_metadata", "-1", "-c:v", "libx264", "-preset", "veryfast"),
        *("-crf", str(_RATE_FACTORS[movie.quality]), "-pix_fmt", "yuv420p", "-r", str(movie.fps)),
        *("-movflags", "+faststart", "-f", "mp4", "-y", f"./{OUTPUT}"),
    ]


def probe_command(ffmpeg: str, format_: Format, name: str) -> list[str]:
    """Return the command that tells which streams a file has; it writes nothing and exits with 1."""
    return [
        ffmpeg,
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "level+info",
        *_opening(format_),
        "-i",
        f"./{name}",
    ]


def _opening(format_: Format) -> list[str]:
    return [*_READING, "-f", format_.demuxer]


def _timing(file: MediaFile, movie: Movie) -> list[str]:
    return ["-framerate", str(movie.fps)] if file.format.is_picture else []
