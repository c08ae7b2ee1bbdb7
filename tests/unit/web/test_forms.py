"""What people type into forms, and the place at which the API found something wrong in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.web.desk import Refusal
from hookline.web.forms import excerpt, is_at, line_of, number_of, read_json, wrong_place

MOVIE = """{
  "width": 64,
  "scenes": [
    {"duration": 2,
     "elements": [
       {"type": "text"},
       {"type": "te\\"x}t", "size": -1.5e3}
     ]}
  ],
  "tags": ["a",
           "b"]
}"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 1),
        ("width", 2),
        ("scenes", 3),
        ("scenes.0", 4),
        ("scenes.0.elements", 5),
        ("scenes.0.elements.1", 7),
        ("scenes.0.elements.1.size", 7),
        ("scenes.0.elements.0.text", 6),  # is not there: the nearest that is
        ("scenes.9", 3),
        ("tags.1", 11),
        ("tags.1.inner", 11),
        ("nowhere", 1),
    ],
)
def test_a_path_leads_to_its_line(path: str, line: int) -> None:
    assert line_of(MOVIE, path) == line


@pytest.mark.parametrize("text", ["", "  ", "{", '{"a"', '{"a" 1}', "[1, ", '"'])
def test_no_json_has_no_lines_or_the_first(text: str) -> None:
    """Whatever is typed is looked at without an error."""
    assert line_of(text, "a.0.b") in {None, 1}


def paths(value: Any, below: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    if isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value)]
    return [below, *(path for name, item in items for path in paths(item, (*below, name)))]


NAMES = st.text(alphabet='ab"\\\\{}[],: \n', min_size=1).filter(lambda name: "." not in name)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_path_of_every_json_is_found_in_order(value: Any) -> None:
    """Indented JSON has each thing on a line of its own: lines rise in the order in which things are written."""
    text = json.dumps(value, indent=1)
    lines = [line_of(text, ".".join(path)) for path in paths(value)]
    assert None not in lines
    assert lines == sorted(lines, key=int)  # type: ignore[arg-type]  # none is None
    assert len(set(lines)) == len(lines)


def test_a_wrong_place_is_shown_with_what_stands_around_it() -> None:
    text = json.dumps({"workflow": [{"what": [1]}]}, indent=1)
    refusal = Refusal(400, {"message": "No.", "details": {"field": "recording.workflow.0.what.0"}})
    wrong = wrong_place(refusal, text, below="recording")
    assert wrong is not None
    assert (wrong["line"], wrong["path"]) == (5, "workflow.0.what.0")
    assert [line["number"] for line in wrong["lines"]] == [2, 3, 4, 5, 6, 7, 8]
    assert [line["text"] for line in wrong["lines"] if line["is_wrong"]] == ["    1"]

    assert wrong_place(refusal, text, below="name") is None
    assert wrong_place(None, text) is None
    assert excerpt("one", 1) == [{"number": 1, "text": "one", "is_wrong": True}]


def test_json_goes_on_byte_for_byte_and_faults_say_their_line() -> None:
    given_text = '{"a":  1.0}'
    assert bytes(read_json("x", given_text) or b"") == given_text.encode()
    assert read_json("x", "  \n") is None
    with pytest.raises(Refusal) as caught:
        read_json("conditions", '{\n"a": }')
    assert caught.value.status == 400
    assert "line 2" in caught.value.message
    assert is_at(caught.value, "conditions")
    assert not is_at(caught.value, "condition")
    assert not is_at(None, "conditions")


@pytest.mark.parametrize(
    ("text", "number"), [("", None), (" ", None), ("7", 7), ("7.5", 7.5), ("1e2", 100), ("many", "many")]
)
def test_numbers_are_read_and_what_is_none_goes_on(text: str, number: object) -> None:
    assert number_of(text) == number
