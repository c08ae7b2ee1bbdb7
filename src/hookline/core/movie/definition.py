"""What a movie is: the JSON of a render job (SEEDS PF-1, PF-8), as types that check themselves.

The published JSON Schema is made from these types, so what is documented and what is accepted cannot differ. Times
are seconds, sizes are pixels of the picture, or percent of it as a text such as ``"50%"``. Nothing here is ever put
into a command as it came: numbers are printed anew, texts go into files, and names are looked up.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

MOST_SECONDS: Final = 900.0
"""Of a whole movie: a quarter of an hour is far more than a generated video has, and bounds what one job can cost."""
MOST_SCENES: Final = 100
MOST_ELEMENTS: Final = 200
"""Of a whole movie: the filter graph of so many still fits into one argument of a program."""
MOST_ASSETS: Final = 50
"""Files of one movie, each an input that the encoder holds open."""
LONGEST_TEXT: Final = 5_000
LONGEST_SOURCE: Final = 1 << 20
"""Characters: a ``data:`` URL holds the file itself."""

Seconds = Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
Length = Annotated[float, Meta(gt=0, le=MOST_SECONDS)]
Share = Annotated[float, Meta(ge=0, le=1)]
Pixels = Annotated[float, Meta(ge=-10_000, le=10_000)]
Percent = Annotated[str, Meta(pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,3})?%$")]
Colour = Annotated[
    str,
    Meta(
        pattern=r"^(#[0-9A-Fa-f]{6}|#[0-9A-Fa-f]{8}|[A-Za-z]{3,10})$",
        description="#RRGGBB, #RRGGBBAA, or one of the sixteen colour names of HTML 4.",
    ),
]
Source = Annotated[
    str,
    Meta(min_length=1, max_length=LONGEST_SOURCE, description="An http, https or data: URL."),
]
Anchor = Literal[
    "center",
    "top",
    "bottom",
    "left",
    "right",
    "top-left",
    "top-right",
    "bottom-left",
    "bottom-right",
]


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the upper left corner of an element is, from the upper left corner of the picture."""

    x: Pixels | Percent
    y: Pixels | Percent


class Size(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large an element is. One of the two is enough: the other follows from what the file has."""

    width: Annotated[float, Meta(ge=1, le=8192)] | Percent | None = None
    height: Annotated[float, Meta(ge=1, le=8192)] | Percent | None = None


class FullSize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a shape is."""

    width: Annotated[float, Meta(ge=1, le=8192)] | Percent
    height: Annotated[float, Meta(ge=1, le=8192)] | Percent


class Fade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"in_": "in"}):
    """How long an element takes to appear and to vanish."""

    in_: Seconds = 0
    out: Seconds = 0


class Transition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scene takes over from the one before, whose last picture stays until it has."""

    type: TransitionName = "fade"
    duration: Length = 0.5


TransitionName = Literal[
    "fade",
    "fadeblack",
    "fadewhite",
    "dissolve",
    "wipeleft",
    "wiperight",
    "wipeup",
    "wipedown",
    "slideleft",
    "slideright",
    "slideup",
    "slidedown",
]


class Element(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What all elements have. start: within the scene.  duration: to the scene's end when it is left out."""

    start: Seconds = 0
    duration: Length | None = None
    fade: Seconds | Fade = 0


class Visible(Element, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What an element that can be seen has."""

    position: Anchor | Point = "center"
    opacity: Share = 1


class Text(Visible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text", tag_field="type"):
    """Words. font_family: a font of the server by its file's name, such as ``DejaVu Sans``; None for its default."""

    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
    font_size: Annotated[float, Meta(ge=1, le=1000)] = 48
    color: Colour = "#FFFFFF"
    font_family: Annotated[str, Meta(pattern=r"^[A-Za-z0-9 ._-]{1,80}$")] | None = None


class Image(Visible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image", tag_field="type"):
    """A picture; of a moving one the first. Without a size it keeps its own, made smaller when the movie is."""

    src: Source
    size: Size | None = None
    fit: Literal["contain", "cover", "fill"] = "contain"


class Video(Visible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="video", tag_field="type"):
    """A film with its sound. volume: 1 leaves the sound as it is, 0 silences it."""

    src: Source
    size: Size | None = None
    fit: Literal["contain", "cover", "fill"] = "contain"
    volume: Annotated[float, Meta(ge=0, le=10)] = 1


class Audio(Element, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="audio", tag_field="type"):
    """Sound."""

    src: Source
    volume: Annotated[float, Meta(ge=0, le=10)] = 1


class Shape(Visible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="shape", tag_field="type"):
    """A filled form."""

    size: FullSize
    shape: Literal["rectangle", "ellipse"] = "rectangle"
    color: Colour = "#FFFFFF"


AnyElement = Text | Image | Video | Audio | Shape


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the movie. elements: drawn in order, later ones above earlier ones.

    background: None for the movie's.  transition: from the scene before; the first scene comes out of black.
    """

    duration: Length
    background: Colour | None = None
    transition: TransitionName | Transition | None = None
    elements: Annotated[tuple[AnyElement, ...], Meta(max_length=MOST_ELEMENTS)] = ()


class Movie(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A render job. quality: how closely the video is kept to what was drawn; it decides the file's size.

    webhook_uri: where the end of the job is told (PF-1).  metadata: any JSON, echoed in the job and its webhook; empty
    when it was left out.
    """

    scenes: Annotated[tuple[Scene, ...], Meta(min_length=1, max_length=MOST_SCENES)]
    width: Annotated[int, Meta(ge=16, le=4096, multiple_of=2)] = 1920
    height: Annotated[int, Meta(ge=16, le=4096, multiple_of=2)] = 1080
    fps: Annotated[int, Meta(ge=1, le=60)] = 30
    quality: Literal["low", "medium", "high"] = "high"
    background: Colour = "#000000"
    webhook_uri: Annotated[str, Meta(max_length=4096)] | None = None
    metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)

    @property
    def seconds(self) -> float:
        """Its length."""
        return sum(scene.duration for scene in self.scenes)


def movie_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a movie."""
    schema = msgspec.json.schema(Movie)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Movie", **schema}


def movie_components() -> dict[str, Any]:
    """Return the same as components of an OpenAPI 3.1 document, by name."""
    _, components = msgspec.json.schema_components((Movie,), ref_template="#/components/schemas/{name}")
    return components
