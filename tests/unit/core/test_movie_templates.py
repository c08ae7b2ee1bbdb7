"""PF-10: the blanks of a movie template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hookline.core.movie.template import blanks_of, fill
from hookline.errors import InputError

SCRIPT = json.dumps(
    {
        "width": 320,
        "background": "{{ colour }}",
        "scenes": [
            {
                "duration": "{{seconds}}",
                "elements": [{"type": "text", "text": "Hello {{who}}, {{count}} of {{who}}"}],
            },
            {"duration": 1},
        ],
    }
).encode()
VALUES: dict[str, Any] = {"colour": "#102030", "seconds": 2.5, "who": "Zoë {{seconds}}", "count": 3}


def test_the_blanks_are_told_once_each_in_their_order() -> None:
    assert blanks_of(SCRIPT) == ["colour", "seconds", "who", "count"]


def test_a_text_that_is_one_blank_takes_the_value_with_its_type() -> None:
    movie = json.loads(fill(SCRIPT, VALUES, {}))

    assert movie["scenes"][0]["duration"] == 2.5
    assert movie["background"] == "#102030"


def test_inside_a_text_values_stand_as_text_and_are_not_filled_again() -> None:
    movie = json.loads(fill(SCRIPT, VALUES, {}))

    assert movie["scenes"][0]["elements"][0]["text"] == "Hello Zoë {{seconds}}, 3 of Zoë {{seconds}}"
    assert movie["scenes"][1] == {"duration": 1}


def test_members_that_come_with_the_job_stand_in_place_of_the_templates() -> None:
    movie = json.loads(fill(b'{"metadata": {"a": 1}, "width": 10}', {}, {"metadata": {"b": 2}}))

    assert movie == {"metadata": {"b": 2}, "width": 10}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"who": None}, "variables.who"),
        ({"count": [1]}, "variables.count"),
        ({"count": {"a": 1}}, "variables.count"),
        ({"other": 1}, "variables.other"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        fill(SCRIPT, VALUES | changed, {})

    assert (caught.value.code, caught.value.field) == ("VALIDATION_ERROR", field)


def test_a_variable_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="needs the variable 'count'") as caught:
        fill(SCRIPT, {name: value for name, value in VALUES.items() if name != "count"}, {})

    assert caught.value.field == "variables.count"


@pytest.mark.parametrize("script", [b"[]", b'"{{a}}"', b"7"])
def test_a_template_is_an_object(script: bytes) -> None:
    with pytest.raises(InputError) as caught:
        blanks_of(script)

    assert (caught.value.code, caught.value.field) == ("SCHEMA_VALIDATION_ERROR", "script")
