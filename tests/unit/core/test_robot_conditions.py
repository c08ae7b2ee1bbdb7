"""What a condition of a recording may say (MX-14)."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.core.robots.where import PageState, check_where, matches
from hookline.errors import InputError


def nested(levels: int) -> dict[str, Any]:
    return {"$not": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("where", "field"),
    [
        (7, "where"),
        ({"url": 7}, "where.url"),
        ({"url": {"$regex": 7}}, "where.url.$regex"),
        ({"url": {"$regex": "x" * 1001}}, "where.url.$regex"),
        ({"url": {"$regex": "a", "flags": "i"}}, "where.url"),
        ({"selectors": "#a"}, "where.selectors"),
        ({"selectors": ["#a", ""]}, "where.selectors.1"),
        ({"cookies": ["a"]}, "where.cookies"),
        ({"cookies": {"a": 7}}, "where.cookies.a"),
        ({"$before": 7}, "where.$before"),
        ({"$after": ["a"]}, "where.$after"),
        ({"$not": {"$and": {}}}, "where.$not.$and"),
        ({"$and": [{"$or": [7]}]}, "where.$and.0.$or.0"),
        (nested(9), "where" + ".$not" * 9),
        ({"$and": [nested(8)]}, "where.$and.0" + ".$not" * 8),
    ],
)
def test_what_a_condition_cannot_say_is_refused_with_its_place(where: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        check_where(where, "where")

    assert caught.value.field == field


@pytest.mark.parametrize(
    "where",
    [
        nested(8),
        {"url": {"$param": "site"}},
        {"url": {"$regex": "x" * 1000}},
        {"cookies": {"a": {"$regex": "b"}, "c": "d"}},
        {"$before": "a", "$after": "b"},
    ],
)
def test_what_a_condition_can_say_is_accepted(where: Any) -> None:
    check_where(where, "where")


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"$and": [{"url": "https://a.test/"}, {"url": "https://b.test/"}]}, False),
        ({"$and": [{"url": "https://a.test/"}, {"$before": "x"}]}, True),
        ({"$or": [{"url": "https://b.test/"}, {"url": "https://c.test/"}]}, False),
        ({"cookies": {"a": "b/", "c": "d"}}, False),
        ({"cookies": {"a": "b", "c": "d"}}, True),
        ({"cookies": {"a": "b", "c": "e"}}, False),
    ],
)
def test_all_and_any_and_cookies_mean_what_they_say(where: dict[str, Any], holds: bool) -> None:
    """A slash at the end makes no difference to a URL, and does to a cookie."""
    assert matches(where, PageState(url="https://a.test", cookies={"a": "b", "c": "d"})) is holds
