"""Read a movie: the JSON text of a render job to a ``Movie``, or the path of what is wrong with it (PF-9).

What a type can say is checked by the types (``SCHEMA_VALIDATION_ERROR``); here is what needs more than one field to
be judged (``VALIDATION_ERROR``). Paths are dotted, with positions counted from 0: ``scenes.0.duration``.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.addresses import parse_target
from hookline.core.canonical import decode
from hookline.core.movie.colours import colour_of
from hookline.core.movie.definition import (
    MOST_ASSETS,
    MOST_ELEMENTS,
    MOST_SECONDS,
    Audio,
    Fade,
    Image,
    Movie,
    Shape,
    Text,
    Transition,
    Video,
)
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.core.movie.definition import AnyElement, Scene

_read: Final = msgspec.json.Decoder(Movie).decode

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_MEMBER: Final = re.compile(r"field `(?P<name>[^`]*)`")
_STEP: Final = re.compile(r"\[(\d+|\.\.\.)\]")
_DATA: Final = re.compile(r"data:[^,]{0,100};base64,(?P<text>[A-Za-z0-9+/]*={0,2})", re.ASCII)
_WORDS: Final = {
    "`float`": "number",
    "`int`": "integer",
    "`str`": "string",
    "`bool`": "boolean",
    "`object`": "object",
    "`array`": "array",
    "`null`": "null",
}


def read_movie(text: bytes) -> Movie:
    """Return the movie. Raises InputError with the code ``INVALID_JSON``, ``SCHEMA_VALIDATION_ERROR`` or
    ``VALIDATION_ERROR`` and the path of what is wrong.
    """
    try:
        decode(text)
    except InputError as exc:
        raise InputError(exc.message, code="INVALID_JSON") from exc
    try:
        movie = _read(text)
    except msgspec.ValidationError as exc:
        raise _outside_schema(str(exc)) from exc
    _check(movie)
    return movie


def element_paths(movie: Movie) -> Iterator[tuple[str, Scene, AnyElement]]:
    """Every element with its path and its scene, in order."""
    for place, scene in enumerate(movie.scenes):
        for number, element in enumerate(scene.elements):
            yield f"scenes.{place}.elements.{number}", scene, element


def fade_of(element: AnyElement) -> Fade:
    """How an element fades, in its long form."""
    fade = element.fade
    return fade if isinstance(fade, Fade) else Fade(in_=fade, out=fade)


def transition_of(scene: Scene) -> Transition | None:
    """How a scene begins, in its long form; None for a cut."""
    given = scene.transition
    return Transition(type=given, duration=min(0.5, scene.duration)) if isinstance(given, str) else given


def shown_seconds(scene: Scene, element: AnyElement) -> float:
    """How long an element lasts: never past the end of its scene."""
    left = scene.duration - element.start
    return left if element.duration is None else min(element.duration, left)


def inline_file(source: str) -> bytes | None:
    """Return the file that a ``data:`` URL holds; None for another URL. Raises ValueError."""
    if not source.startswith("data:"):
        return None
    match = _DATA.fullmatch(source)
    if match is None:
        raise ValueError("a data: URL holds base64 here: data:image/png;base64,…")
    return b64decode(match["text"], validate=True)


class _Echoed(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_read_echoed: Final = msgspec.json.Decoder(_Echoed).decode


def metadata_of(text: bytes | None) -> msgspec.Raw | None:
    """Return the metadata of a job, whether or not its movie is sound; None for none (PF-11)."""
    try:
        found = _read_echoed(text or b"{}").metadata
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if bytes(found) not in (b"", b"null") else None


# --- what needs more than one field -------------------------------------------------------------------------


def _check(movie: Movie) -> None:
    if movie.seconds > MOST_SECONDS:
        raise _invalid(
            "scenes", f"The scenes last {movie.seconds:g} seconds together; {MOST_SECONDS:g} are allowed."
        )
    elements = list(element_paths(movie))
    if len(elements) > MOST_ELEMENTS:
        raise _invalid("scenes", f"There are {len(elements)} elements; {MOST_ELEMENTS} are allowed.")
    if sum(isinstance(element, Image | Video | Audio) for _, _, element in elements) > MOST_ASSETS:
        raise _invalid("scenes", f"There are more than {MOST_ASSETS} images, videos and sounds.")
    _check_colour(movie.background, "background")
    for place, scene in enumerate(movie.scenes):
        _check_scene(scene, f"scenes.{place}")
    for path, scene, element in elements:
        _check_times(scene, element, path)
        _check_content(element, path)


def _check_scene(scene: Scene, path: str) -> None:
    if scene.background is not None:
        _check_colour(scene.background, f"{path}.background")
    transition = transition_of(scene)
    if transition is not None and transition.duration > scene.duration:
        raise _invalid(f"{path}.transition.duration", "The transition lasts longer than its scene.")


def _check_times(scene: Scene, element: AnyElement, path: str) -> None:
    if element.start >= scene.duration:
        raise _invalid(
            f"{path}.start", f"The element starts when its scene of {scene.duration:g} seconds is over."
        )
    fade = fade_of(element)
    if fade.in_ + fade.out > shown_seconds(scene, element) + 1e-9:
        raise _invalid(f"{path}.fade", "The fades together last longer than the element.")


def _check_content(element: AnyElement, path: str) -> None:
    if isinstance(element, Text | Shape):
        _check_colour(element.color, f"{path}.color")
    else:
        _check_source(element.src, f"{path}.src")


def _check_colour(colour: str, path: str) -> None:
    try:
        colour_of(colour)
    except ValueError as exc:
        raise _invalid(path, f"{str(exc).capitalize()}.") from exc


def _check_source(source: str, path: str) -> None:
    try:
        if inline_file(source) is None:
            parse_target(source, field=path)
    except InputError as exc:
        raise _invalid(path, exc.message) from exc
    except ValueError as exc:
        raise _invalid(path, f"The source cannot be read: {exc}.") from exc


def _invalid(path: str, message: str) -> InputError:
    return InputError(message, code="VALIDATION_ERROR", field=path)


def _outside_schema(said: str) -> InputError:
    """Turn the decoder's sentence into a path and a sentence without its notation."""
    match = _AT.match(said)
    assert match is not None
    what, path = match["what"], match["path"] or ""
    path = _STEP.sub(r".\1", path).replace("....", ".").strip(".")
    member = _MEMBER.search(what)
    if member is not None:
        path = f"{path}.{member['name']}".strip(".")
        is_unknown = "unknown" in what
        message = f"There is no field '{path}'." if is_unknown else f"Required field '{path}' is missing."
    else:
        for word, plain in _WORDS.items():
            what = what.replace(word, plain)
        place = f"Field '{path}'" if path else "The movie"
        message = f"{place}: {what.replace('`', chr(39))}."
    return InputError(message, code="SCHEMA_VALIDATION_ERROR", field=path or None)
