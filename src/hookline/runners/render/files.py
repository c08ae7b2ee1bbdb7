"""Which files a movie brings along, and what each of them really is.

FFmpeg guesses a format from content and name, and some formats are programs: playlists and concatenations open other
files and addresses. So the format is decided here, by the first bytes, from a short list of plain ones, and FFmpeg is
told. Names of files are made here, never taken from a movie. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

SNIFFED_BYTES: Final = 64
"""How much of a file is looked at."""


class Format(msgspec.Struct, frozen=True):
    """demuxer: FFmpeg's name for it.  is_picture: one picture, decoded once."""

    demuxer: str
    is_picture: bool = False


_PNG: Final = Format("png_pipe", is_picture=True)
_JPEG: Final = Format("jpeg_pipe", is_picture=True)
_WEBP: Final = Format("webp_pipe", is_picture=True)
_BMP: Final = Format("bmp_pipe", is_picture=True)
_GIF: Final = Format("gif")
_MOV: Final = Format("mov")
_MATROSKA: Final = Format("matroska")
_WAV: Final = Format("wav")
_AVI: Final = Format("avi")
_OGG: Final = Format("ogg")
_FLAC: Final = Format("flac")
_MP3: Final = Format("mp3")
_AAC: Final = Format("aac")

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", _JPEG),
    (b"BM", _BMP),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"\x1a\x45\xdf\xa3", _MATROSKA),
    (b"OggS", _OGG),
    (b"fLaC", _FLAC),
    (b"ID3", _MP3),
)
_RIFF: Final = {b"WEBP": _WEBP, b"WAVE": _WAV, b"AVI ": _AVI}


class MediaFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that FFmpeg reads.

    path: of the element in the movie.  name: in the working folder.  seconds: None when that is not known.
    """

    path: str
    name: str
    format: Format
    has_picture: bool = True
    has_sound: bool = False
    seconds: float | None = None


def format_of(head: bytes) -> Format | None:
    """Return what a file is by its first SNIFFED_BYTES, None for nothing that may be read."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _MOV
    for beginning, found in _BEGINNINGS:
        if head.startswith(beginning):
            return found
    if len(head) > 1 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return _AAC
        if head[1] & 0xE0 == 0xE0:
            return _MP3
    return None
