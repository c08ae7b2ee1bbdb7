from __future__ import annotations

import json
from typing import Any

import pytest

from hookline.core.filters import MOST_FIELDS, compile_filter
from hookline.errors import InputError

DATA: dict[str, Any] = {
    "workflow_id": "wf_1",
    "input_data": {"card": "4111", "name": "Ann"},
    "output_data": {"order_id": 7, "debug": {"a": 1, "b": 2}},
    "items": [{"sku": "x", "price": 1, "card": "1"}, {"sku": "y"}, 5],
    "status": "success",
    "credits_used": 4.5,
}


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (None, None, DATA),
        ([], [], DATA),
        (
            ["credits_used", "workflow_id", "status", "output_data.order_id"],
            None,
            {"workflow_id": "wf_1", "output_data": {"order_id": 7}, "status": "success", "credits_used": 4.5},
        ),
        (["output_data"], None, {"output_data": DATA["output_data"]}),
        (["output_data", "output_data.order_id"], None, {"output_data": DATA["output_data"]}),
        (["output_data.order_id", "output_data"], None, {"output_data": DATA["output_data"]}),
        (["output_data.missing", "missing", "status.deeper"], None, {}),
        (["items.sku"], None, {"items": [{"sku": "x"}, {"sku": "y"}]}),
        (
            ["output_data"],
            ["output_data.debug"],
            {"output_data": {"order_id": 7}},
        ),
        (["output_data"], ["output_data.debug.a"], {"output_data": {"order_id": 7, "debug": {"b": 2}}}),
        (["items"], ["items.card", "items.price"], {"items": [{"sku": "x"}, {"sku": "y"}, 5]}),
        (["status"], ["status"], {}),
    ],
)
def test_a_filter_trims_data_and_keeps_the_order_of_keys(include: Any, exclude: Any, left: Any) -> None:
    """AF-18."""
    before = json.dumps(DATA)
    trimmed = compile_filter(include, exclude)(DATA)

    assert json.dumps(trimmed) == json.dumps(left)
    assert json.dumps(DATA) == before


def test_data_without_fields_keeps_none_when_some_are_wanted() -> None:
    others: tuple[Any, ...] = (1, "text", None)
    only, without = compile_filter(["a"]), compile_filter(None, ["a"])

    assert [only(data) for data in (*others, [])] == [{}, {}, {}, []]
    assert [without(data) for data in (*others, [{"a": 1}])] == [1, "text", None, [{}]]


@pytest.mark.parametrize(
    ("include", "exclude", "field"),
    [
        ("status", None, "filters.include_fields"),
        (None, {"a": 1}, "filters.exclude_fields"),
        (["ok", 3], None, "filters.include_fields.1"),
        (["a..b"], None, "filters.include_fields.0"),
        ([""], None, "filters.include_fields.0"),
        (None, ["x" * 600], "filters.exclude_fields.0"),
        (["a"] * 257, None, "filters.include_fields"),
    ],
)
def test_bad_fields_are_refused_with_their_place(include: Any, exclude: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_filter(include, exclude)

    assert caught.value.field == field


def test_a_path_below_one_that_takes_all_adds_nothing_elsewhere() -> None:
    """AF-18: ``a.b`` behind ``a`` is no ``b``."""
    data = {"a": {"b": 1, "c": 2}, "b": 3}

    assert compile_filter(["a", "a.b"])(data) == {"a": {"b": 1, "c": 2}}
    assert compile_filter(None, ["a", "a.b"])(data) == {"b": 3}


@pytest.mark.parametrize(
    ("paths", "field", "expected", "received"),
    [
        ("a", "filters.include_fields", "array", "string"),
        (["a"] * (MOST_FIELDS + 1), "filters.include_fields", f"at most {MOST_FIELDS}", str(MOST_FIELDS + 1)),
        (["a", 7], "filters.include_fields.1", "dotted path", "number"),
    ],
)
def test_a_refusal_says_where_what_was_wanted_and_what_came(
    paths: Any, field: str, expected: str, received: str
) -> None:
    """AF-5."""
    with pytest.raises(InputError) as caught:
        compile_filter(paths)

    assert (caught.value.field, caught.value.expected, caught.value.received) == (field, expected, received)
    assert compile_filter(["a"] * MOST_FIELDS)({"a": 1, "b": 2}) == {"a": 1}
