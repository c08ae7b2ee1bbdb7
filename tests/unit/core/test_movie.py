"""Movies: what a render job may ask for, and the path of what is wrong when it does not (PF-1, PF-8, PF-9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.movie import (
    fade_of,
    movie_components,
    movie_schema,
    read_movie,
    shown_seconds,
    transition_of,
)
from hookline.core.movie.colours import RGBA, colour_of
from hookline.core.movie.definition import MOST_ELEMENTS, Fade, Text, Transition
from hookline.core.movie.read import inline_file, metadata_of
from hookline.errors import InputError

SEED: dict[str, Any] = {
    "width": 1920,
    "height": 1080,
    "webhook_uri": "https://your-server.com/webhooks/phantomflow",
    "scenes": [
        {
            "duration": 5,
            "elements": [{"type": "text", "text": "Hello World", "font_size": 48, "position": "center"}],
        }
    ],
}
"""The movie of the seed's own page."""


def refused(movie: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_movie(movie if isinstance(movie, bytes) else msgspec.json.encode(movie))
    return caught.value


def scene(**fields: Any) -> dict[str, Any]:
    return {"scenes": [{"duration": 2, **fields}]}


def element(**fields: Any) -> dict[str, Any]:
    return scene(elements=[fields])


def test_the_seeds_own_movie_is_read_with_the_documented_defaults() -> None:
    """PF-1, PF-8."""
    movie = read_movie(msgspec.json.encode(SEED))

    (text,) = movie.scenes[0].elements
    assert isinstance(text, Text)
    assert (text.text, text.font_size, text.position) == ("Hello World", 48, "center")
    assert (movie.width, movie.height, movie.fps, movie.quality) == (1920, 1080, 30, "high")
    assert movie.webhook_uri == "https://your-server.com/webhooks/phantomflow"
    assert movie.seconds == 5


@pytest.mark.parametrize(
    ("movie", "path"),
    [
        ({}, "scenes"),
        ({"scenes": []}, "scenes"),
        ([], None),
        ({"scenes": {}}, "scenes"),
        (scene(duration=0), "scenes.0.duration"),
        (scene(duration="5"), "scenes.0.duration"),
        (scene(duration=True), "scenes.0.duration"),
        (scene(duration=1e7), "scenes.0.duration"),
        ({"scenes": [{"duration": 1}, {}]}, "scenes.1.duration"),
        ({**SEED, "width": 17}, "width"),
        ({**SEED, "height": 100_000}, "height"),
        ({**SEED, "fps": 0}, "fps"),
        ({**SEED, "quality": "best"}, "quality"),
        ({**SEED, "exports": []}, "exports"),
        (scene(transition="explode"), "scenes.0.transition"),
        (element(type="html"), "scenes.0.elements.0.type"),
        (element(text="x"), "scenes.0.elements.0.type"),
        (element(type="image"), "scenes.0.elements.0.src"),
        (element(type="text", text=""), "scenes.0.elements.0.text"),
        (element(type="text", text="x", position="middle"), "scenes.0.elements.0.position"),
        (element(type="text", text="x", position={"x": 1}), "scenes.0.elements.0.position.y"),
        (
            element(type="text", text="x", position={"x": "50", "y": 1}),
            "scenes.0.elements.0.position.x",
        ),
        (element(type="text", text="x", opacity=2), "scenes.0.elements.0.opacity"),
        (element(type="text", text="x", color="#12"), "scenes.0.elements.0.color"),
        (element(type="text", text="x", font_family="../x"), "scenes.0.elements.0.font_family"),
        (element(type="shape"), "scenes.0.elements.0.size"),
        (element(type="audio", src="https://a.example/x", opacity=1), "scenes.0.elements.0.opacity"),
    ],
)
def test_what_the_schema_refuses_is_named_by_its_path(movie: Any, path: str | None) -> None:
    """PF-9: ``scenes.0.duration``."""
    error = refused(movie)

    assert (error.code, error.field) == ("SCHEMA_VALIDATION_ERROR", path)
    assert "`" not in error.message
    assert "$." not in error.message


@pytest.mark.parametrize(
    ("movie", "path"),
    [
        ({"scenes": [{"duration": 500}, {"duration": 500}]}, "scenes"),
        (
            {"scenes": [{"duration": 1, "elements": [{"type": "text", "text": "x"}] * 101}] * 2},
            "scenes",
        ),
        (
            scene(elements=[{"type": "image", "src": "https://a.example/x.png"}] * 51),
            "scenes",
        ),
        ({**SEED, "background": "blurple"}, "background"),
        (scene(background="blurple"), "scenes.0.background"),
        (element(type="text", text="x", color="blurple"), "scenes.0.elements.0.color"),
        (scene(transition={"duration": 3}), "scenes.0.transition.duration"),
        (element(type="text", text="x", start=2), "scenes.0.elements.0.start"),
        (element(type="text", text="x", fade=1.5), "scenes.0.elements.0.fade"),
        (
            element(type="text", text="x", duration=1, fade={"in": 0.6, "out": 0.6}),
            "scenes.0.elements.0.fade",
        ),
        (element(type="image", src="file:///etc/passwd"), "scenes.0.elements.0.src"),
        (element(type="image", src="ftp://a.example/x"), "scenes.0.elements.0.src"),
        (element(type="video", src="concat:a|b"), "scenes.0.elements.0.src"),
        (element(type="video", src="http://2130706433/x"), "scenes.0.elements.0.src"),
        (element(type="image", src="data:image/png;base64,%%%"), "scenes.0.elements.0.src"),
        (element(type="image", src="data:image/png,raw"), "scenes.0.elements.0.src"),
    ],
)
def test_what_needs_more_than_one_field_to_be_judged_is_named_by_its_path(movie: Any, path: str) -> None:
    error = refused(movie)

    assert (error.code, error.field) == ("VALIDATION_ERROR", path)


@pytest.mark.parametrize("text", [b"", b"{", b'{"scenes": [}', b"\xff", b'{"a":"\x00"}', b"[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: bytes) -> None:
    assert refused(text).code == "INVALID_JSON"


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(text: bytes) -> None:
    with pytest.raises(InputError):
        read_movie(text)


def test_as_many_elements_as_are_allowed_are_taken() -> None:
    read_movie(msgspec.json.encode(scene(elements=[{"type": "text", "text": "x"}] * MOST_ELEMENTS)))


def test_short_forms_mean_their_long_forms() -> None:
    movie = read_movie(
        msgspec.json.encode(
            {
                "scenes": [
                    {
                        "duration": 2,
                        "transition": "wipeleft",
                        "elements": [
                            {"type": "text", "text": "x", "fade": 0.5, "start": 1, "duration": 5},
                            {"type": "text", "text": "x", "fade": {"in": 1}},
                        ],
                    },
                    {"duration": 0.2, "transition": "fade"},
                    {"duration": 1},
                ]
            }
        )
    )

    first, second, third = movie.scenes
    assert [fade_of(one) for one in first.elements] == [Fade(in_=0.5, out=0.5), Fade(in_=1)]
    assert [shown_seconds(first, one) for one in first.elements] == [1, 2]
    assert transition_of(first) == Transition(type="wipeleft", duration=0.5)
    assert transition_of(second) == Transition(type="fade", duration=0.2)
    assert transition_of(third) is None


def test_metadata_are_kept_to_the_letter() -> None:
    """PF-11: they are echoed."""
    movie = read_movie(b'{"scenes":[{"duration":1}],"metadata":{"order": 17.0, "n":[1e2]}}')

    assert bytes(movie.metadata) == b'{"order": 17.0, "n":[1e2]}'


def test_the_published_schema_is_that_of_the_types() -> None:
    """PF-9: the schema can be had."""
    schema = movie_schema()

    movie = schema["$defs"]["Movie"]
    assert schema["$ref"] == "#/$defs/Movie"
    assert movie["required"] == ["scenes"]
    assert movie["additionalProperties"] is False
    assert movie["properties"]["fps"] == {"type": "integer", "minimum": 1, "maximum": 60, "default": 30}
    kinds = schema["$defs"]["Scene"]["properties"]["elements"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {"text", "image", "video", "audio", "shape"}


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        (b'{"metadata":{"n":1.0},"scenes":7}', b'{"n":1.0}'),
        (b'{"metadata":"x"}', b'"x"'),
        (b'{"metadata":null}', None),
        (b"{}", None),
        (None, None),
        (b"", None),
        (b"no movie", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_metadata_of_a_job_come_back_even_when_its_movie_is_not_sound(
    text: bytes | None, metadata: bytes | None
) -> None:
    """PF-11, P4: byte for byte."""
    found = metadata_of(text)

    assert (None if found is None else bytes(found)) == metadata


def test_the_description_of_a_movie_names_its_parts() -> None:
    """CONTRACT section 2: the OpenAPI document holds the schema of what a render job is asked with."""
    components = movie_components()

    assert {"Movie", "Scene"} <= components.keys()
    assert "#/components/schemas/Scene" in msgspec.json.encode(components["Movie"]).decode()


def test_a_file_may_stand_in_the_movie_itself() -> None:
    """PF-9."""
    assert inline_file("data:image/png;base64,iVBORw==") == b"\x89PNG"
    assert inline_file("https://example.com/a.png") is None
    movie = element(type="image", src="data:image/png;base64,iVBORw==")
    assert len(read_movie(msgspec.json.encode(movie)).scenes[0].elements) == 1
    for source in ("data:image/png,x", "data:image/png;base64,%%", "data:image/png;base64,iVBORw="):
        error = refused(element(type="image", src=source))
        assert error.field == "scenes.0.elements.0.src"
        assert error.message.startswith("The source cannot be read: ")


@pytest.mark.parametrize(
    ("colour", "seen"),
    [
        ("#ff8000", RGBA("FF8000")),
        ("#FF800080", RGBA("FF8000", 0.502)),
        ("#00000000", RGBA("000000", 0.0)),
        ("White", RGBA("FFFFFF", 1.0)),
    ],
)
def test_a_colour_is_a_name_or_six_or_eight_digits(colour: str, seen: RGBA) -> None:
    assert colour_of(colour) == seen


@pytest.mark.parametrize(
    "colour", ["", "#", "#fff", "#ff80001", "#gg0000", "ff8000", "no such colour", "#ff8000800"]
)
def test_another_colour_is_refused(colour: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        colour_of(colour)
    assert refused(scene(background=colour)).field == "scenes.0.background"
