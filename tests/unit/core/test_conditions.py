from __future__ import annotations

from typing import Any

import pytest

from hookline.core.conditions import MOST_CHOICES, MOST_PATHS, OPERATORS, compile_conditions
from hookline.errors import InputError

DATA: dict[str, Any] = {
    "n": 3,
    "f": 3.0,
    "s": "abc",
    "t": True,
    "z": None,
    "l": [1, "a", True, {"x": 1}],
    "o": {"p": {"q": "deep"}},
    "big": 2**60 + 1,
}


@pytest.mark.parametrize(
    ("spec", "holds"),
    [
        ({}, True),
        ({"n": {"eq": 3}}, True),
        ({"n": {"eq": 3.0}}, True),
        ({"n": {"eq": "3"}}, False),
        ({"t": {"eq": True}}, True),
        ({"t": {"eq": 1}}, False),
        ({"n": {"eq": True}}, False),
        ({"s": {"eq": "abc"}}, True),
        ({"missing": {"eq": "x"}}, False),
        ({"z": {"eq": "x"}}, False),
        ({"o": {"eq": "x"}}, False),
        ({"big": {"eq": 2**60 + 1}}, True),
        ({"big": {"eq": 2**60}}, False),
        ({"n": {"ne": 4}}, True),
        ({"n": {"ne": 3}}, False),
        ({"missing": {"ne": 3}}, True),
        ({"z": {"ne": 3}}, True),
        ({"s": {"ne": 3}}, True),
        ({"n": {"lt": 4}}, True),
        ({"n": {"lt": 3}}, False),
        ({"n": {"lte": 3}}, True),
        ({"n": {"gt": 2.5}}, True),
        ({"n": {"gte": 3.5}}, False),
        ({"s": {"lt": "abd"}}, True),
        ({"s": {"gt": 1}}, False),
        ({"n": {"gt": "1"}}, False),
        ({"t": {"gte": 0}}, False),
        ({"l": {"gt": 0}}, False),
        ({"missing": {"lt": 3}}, False),
        ({"z": {"lt": 3}}, False),
        ({"n": {"in": [1, 3]}}, True),
        ({"f": {"in": [3]}}, True),
        ({"t": {"in": [1]}}, False),
        ({"t": {"in": [True]}}, True),
        ({"n": {"in": [True, "3"]}}, False),
        ({"n": {"in": []}}, False),
        ({"l": {"in": [1]}}, False),
        ({"missing": {"in": [1]}}, False),
        ({"n": {"nin": [1, 3]}}, False),
        ({"n": {"nin": [1]}}, True),
        ({"missing": {"nin": [1]}}, True),
        ({"z": {"nin": [1]}}, True),
        ({"l": {"nin": [1]}}, True),
        ({"s": {"contains": "b"}}, True),
        ({"s": {"contains": "x"}}, False),
        ({"s": {"contains": 1}}, False),
        ({"l": {"contains": "a"}}, True),
        ({"l": {"contains": 1}}, True),
        ({"l": {"contains": True}}, True),
        ({"l": {"contains": False}}, False),
        ({"o": {"contains": "p"}}, False),
        ({"n": {"contains": "3"}}, False),
        ({"missing": {"contains": "a"}}, False),
        ({"n": {"exists": True}}, True),
        ({"n": {"exists": False}}, False),
        ({"missing": {"exists": True}}, False),
        ({"missing": {"exists": False}}, True),
        ({"z": {"exists": True}}, False),
        ({"z": {"exists": False}}, True),
        ({"o.p.q": {"eq": "deep"}}, True),
        ({"o.p.x": {"exists": False}}, True),
        ({"o.x.q": {"exists": False}}, True),
        ({"s.x": {"exists": False}}, True),
        ({"l.0": {"exists": True}}, False),
        ({"n": {"gt": 1, "lt": 5}}, True),
        ({"n": {"gt": 1, "lt": 3}}, False),
        ({"n": {"gt": 1}, "s": {"eq": "abc"}, "t": {"eq": True}}, True),
        ({"n": {"gt": 1}, "s": {"eq": "xyz"}}, False),
    ],
)
def test_operators_mean_what_the_contract_says(spec: Any, holds: bool) -> None:
    """AF-17, CONTRACT section 5."""
    assert compile_conditions(spec)(DATA) is holds


def test_the_seeds_example_picks_unhappy_long_conversations() -> None:
    """AF-17."""
    wanted = compile_conditions({"satisfaction_score": {"lt": 3}, "message_count": {"gt": 10}})

    assert wanted({"satisfaction_score": 2.5, "message_count": 11})
    assert not wanted({"satisfaction_score": 4.5, "message_count": 11})
    assert not wanted({"satisfaction_score": None, "message_count": 11})


@pytest.mark.parametrize(
    ("spec", "field", "received"),
    [
        (None, "conditions", "null"),
        ([], "conditions", "array"),
        ({"a": 3}, "conditions.a", "number"),
        ({"a": {}}, "conditions.a", "an empty object"),
        ({"": {"eq": 1}}, "conditions.", "string"),
        ({"a..b": {"eq": 1}}, "conditions.a..b", "string"),
        ({"a": {"regex": ".*"}}, "conditions.a.regex", "regex"),
        ({"a": {"eq": None}}, "conditions.a.eq", "null"),
        ({"a": {"eq": [1]}}, "conditions.a.eq", "array"),
        ({"a": {"lt": True}}, "conditions.a.lt", "boolean"),
        ({"a": {"lt": None}}, "conditions.a.lt", "null"),
        ({"a": {"in": 3}}, "conditions.a.in", "number"),
        ({"a": {"in": [1, None]}}, "conditions.a.in.1", "null"),
        ({"a": {"nin": [[1]]}}, "conditions.a.nin.0", "array"),
        ({"a": {"in": list(range(1001))}}, "conditions.a.in", "1001"),
        ({"a": {"contains": {}}}, "conditions.a.contains", "object"),
        ({"a": {"exists": 1}}, "conditions.a.exists", "number"),
        ({str(number): {"eq": 1} for number in range(65)}, "conditions", "65"),
    ],
)
def test_a_bad_condition_is_refused_with_field_expected_and_received(
    spec: Any, field: str, received: str
) -> None:
    """AF-5."""
    with pytest.raises(InputError) as caught:
        compile_conditions(spec)

    assert (caught.value.field, caught.value.received) == (field, received)
    assert caught.value.expected


def test_every_operator_exists() -> None:
    """AF-17: the contract's list."""
    assert OPERATORS == ("eq", "ne", "lt", "lte", "gt", "gte", "in", "nin", "contains", "exists")


LONGEST = "p" * 512
KNOWN = "one of " + " ".join(OPERATORS)
MORE = {str(number): {"eq": 1} for number in range(MOST_PATHS + 1)}


@pytest.mark.parametrize(
    ("spec", "field", "expected", "received"),
    [
        ([], "conditions", "object", "array"),
        (MORE, "conditions", "at most 64 paths", "65"),
        ({7: {"eq": 1}}, "conditions.7", "dotted path", "number"),
        ({"a..b": {"eq": 1}}, "conditions.a..b", "dotted path", "string"),
        ({LONGEST + "p": {"eq": 1}}, f"conditions.{LONGEST}p", "dotted path", "string"),
        ({"a": {}}, "conditions.a", 'object such as {"lt": 3}', "an empty object"),
        ({"a": []}, "conditions.a", 'object such as {"lt": 3}', "array"),
        ({"a": {"exists": 1}}, "conditions.a.exists", "boolean", "number"),
        ({"a": {"like": 1}}, "conditions.a.like", KNOWN, "like"),
        ({"a": {"x" * 41: 1}}, f"conditions.a.{'x' * 41}", KNOWN, "x" * 40),
        ({"a": {"eq": None}}, "conditions.a.eq", "string, number or boolean", "null"),
        ({"a": {"contains": {}}}, "conditions.a.contains", "string, number or boolean", "object"),
        ({"a": {"lt": True}}, "conditions.a.lt", "number or string", "boolean"),
        ({"a": {"in": "x"}}, "conditions.a.in", "array", "string"),
        ({"a": {"in": [1, None]}}, "conditions.a.in.1", "string, number or boolean", "null"),
        ({"a": {"nin": [1] * 1001}}, "conditions.a.nin", "at most 1000 values", "1001"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_what_was_wanted_and_what_came(
    spec: Any, field: str, expected: str, received: str
) -> None:
    """AF-5."""
    with pytest.raises(InputError) as caught:
        compile_conditions(spec)

    assert (caught.value.field, caught.value.expected, caught.value.received) == (field, expected, received)


def test_what_is_just_allowed_is_compiled() -> None:
    assert compile_conditions({LONGEST: {"eq": 1}})({LONGEST: 1})
    assert compile_conditions({"n": {"in": list(range(MOST_CHOICES))}})(DATA)
    assert not compile_conditions({str(number): {"exists": True} for number in range(MOST_PATHS)})(DATA)
