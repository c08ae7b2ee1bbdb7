"""Bring a movie's files into the folder of its render, through the node's one dial site, and look at what they are."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.movie import element_paths
from hookline.core.movie.definition import Audio, Image, Text, Video
from hookline.core.movie.read import inline_file
from hookline.model.states import AttemptOutcome
from hookline.runners.render.command import probe_command
from hookline.runners.render.files import SNIFFED_BYTES, MediaFile, format_of
from hookline.runners.render.progress import cause_of, streams_of

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.core.movie.definition import AnyElement, Movie
    from hookline.ports.sender import Fetcher
    from hookline.runners.render.programs import Programs
    from hookline.runners.render.workshop import Workshop

_AT_ONCE: Final = 4
"""Files fetched at the same time for one render."""


class RenderFailedError(Exception):
    """The render cannot succeed; the message is for whoever asked for it."""


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large the files of one movie may be, each and together, and how long each may take to come."""

    file_bytes: int = 512 << 20
    all_bytes: int = 1 << 30
    seconds: float = 60.0


class Assets:
    """The files of one movie, on their way into a workshop."""

    def __init__(
        self, movie: Movie, workshop: Workshop, *, fetcher: Fetcher, ffmpeg: str, limits: FetchLimits
    ) -> None:
        self._elements: list[tuple[str, Image | Video | Audio]] = [
            (path, element)
            for path, _, element in element_paths(movie)
            if isinstance(element, Image | Video | Audio)
        ]
        self._workshop = workshop
        self._fetcher = fetcher
        self._ffmpeg = ffmpeg
        self._limits = limits
        self._left = limits.all_bytes
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def bring(self) -> dict[str, MediaFile]:
        """Return every file by the path of its element. A source that is named twice comes once.

        Raises RenderFailedError.
        """
        first: dict[str, str] = {}
        for path, element in self._elements:
            first.setdefault(element.src, path)
        names = {source: f"media-{number}" for number, source in enumerate(first)}
        coming = [
            asyncio.ensure_future(self._fetch(source, first[source], names[source])) for source in first
        ]
        try:
            await asyncio.gather(*coming)
        finally:
            for each in coming:
                each.cancel()
            await asyncio.gather(*coming, return_exceptions=True)
        return {
            path: await self._looked_at(path, element, names[element.src]) for path, element in self._elements
        }

    async def _fetch(self, source: str, path: str, name: str) -> None:
        place = self._workshop.folder / name
        inline = inline_file(source)
        if inline is not None:
            place.write_bytes(inline)
            return
        async with self._turns:
            most = min(self._limits.file_bytes, self._left)
            with place.open("wb", buffering=1 << 18) as file:
                answer = await self._fetcher.fetch(
                    source, file, most_bytes=most, timeout_seconds=self._limits.seconds
                )
            self._left -= place.stat().st_size
        if self._left <= 0:
            raise RenderFailedError(
                f"The movie's files are larger than {self._limits.all_bytes} bytes together."
            )
        if answer.outcome is not AttemptOutcome.DELIVERED:
            raise RenderFailedError(f"{path}.src could not be fetched: {answer.error}")

    async def _looked_at(self, path: str, element: Image | Video | Audio, name: str) -> MediaFile:
        """Find out what a file is. Raises RenderFailedError when it is not what its element needs."""
        with (self._workshop.folder / name).open("rb") as file:
            format_ = format_of(file.read(SNIFFED_BYTES))
        if format_ is None:
            raise RenderFailedError(f"{path}.src is no picture, film or sound of a format that is read here.")
        ended = await self._workshop.run(probe_command(self._ffmpeg, format_, name))
        streams = streams_of(ended.said)
        is_good = streams.has_sound if isinstance(element, Audio) else streams.has_picture
        if not is_good:
            what = "sound" if isinstance(element, Audio) else "picture"
            cause = cause_of(ended.said, {name: f"{path}.src"}, default=f"there is no {what} in it")
            raise RenderFailedError(f"{ended.sentence}: {path}.src: {cause}")
        return MediaFile(
            path=path,
            name=name,
            format=format_,
            has_picture=streams.has_picture,
            has_sound=streams.has_sound,
            seconds=streams.seconds,
        )


def bring_fonts(movie: Movie, folder: Path, programs: Programs) -> dict[str, str]:
    """Copy the fonts of a movie's texts into the folder; return the file's name by the path of each text.

    Raises RenderFailedError when one is not here.
    """
    names: dict[Path, str] = {}
    fonts: dict[str, str] = {}
    for path, _, element in element_paths(movie):
        if isinstance(element, Text):
            font = programs.find_font(element.font_family)
            if font is None:
                raise RenderFailedError(_no_font(path, element))
            if font not in names:
                names[font] = f"font-{len(names)}{font.suffix.lower()}"
                # A copy under a name of ours: a font's own may hold what a filter graph gives a meaning to.
                shutil.copyfile(font, folder / names[font])
            fonts[path] = names[font]
    return fonts


def _no_font(path: str, element: AnyElement) -> str:
    family = element.font_family if isinstance(element, Text) else None
    if family is None:
        return f"{path}: no font was found on this server to write with."
    return f"{path}.font_family: there is no font {family!r} on this server."
