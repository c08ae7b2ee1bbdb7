"""Recordings in Maxun's format are read, or refused with the path to the fault (MX-14, MX-16)."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.core.robots.extraction import Captured, Pagination, Rows
from hookline.core.robots.recording import bind, parse_recording
from hookline.core.robots.where import PageState, matches, selectors_of
from hookline.errors import InputError


def recording(*actions: dict[str, Any], where: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"workflow": [{"where": where or {}, "what": list(actions)}]}


LIST = {"listSelector": ".row", "fields": {"Name": {"selector": ".name", "attribute": "innerText"}}}


def test_a_recording_of_maxuns_own_is_read() -> None:
    """MX-14: as its recorder writes one."""
    read = parse_recording(
        {
            "meta": {"name": "Shop", "id": "1", "params": []},
            "workflow": [
                {
                    "where": {"url": "https://shop.example/", "selectors": ["#list"]},
                    "what": [
                        {
                            "action": "scrapeList",
                            "args": [LIST | {"limit": 20}],
                            "name": "Laptops",
                            "actionId": "a",
                        },
                        {"action": "scrapeSchema", "args": [{"Price": ".price"}]},
                        {"action": "screenshot", "args": [{"type": "png", "fullPage": True}]},
                    ],
                },
                {
                    "id": "start",
                    "where": {"url": "about:blank"},
                    "what": [
                        {"action": "goto", "args": ["https://shop.example/"]},
                        {"action": "waitForLoadState", "args": ["networkidle"]},
                        {"action": "click", "args": ["#more", {"button": "left", "timeout": 5000}]},
                        {"action": "keyboard.press", "args": ["Enter"]},
                    ],
                },
            ],
        }
    )

    assert [pair.id for pair in read.pairs] == ["0", "start"]
    laptops, price, _ = read.pairs[0].what
    assert laptops.list is not None
    assert (laptops.label, laptops.list.limit, laptops.list.pagination) == ("Laptops", 20, Pagination.NONE)
    assert price.schema is not None
    assert price.schema["Price"].attribute == "innerText"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "recording"),
        ({}, "workflow"),
        ({"workflow": []}, "workflow"),
        ({"workflow": [{}]}, "workflow.0.what"),
        ({"workflow": [1]}, "workflow.0"),
        ({"workflow": [{"what": [{"action": "reload"}], "when": {}}]}, "workflow.0.when"),
        ({"recording": {}, "workflow": []}, "recording"),
        (recording({"action": "goto"}), "workflow.0.what.0.args"),
        (recording({"action": "goto", "args": ["file:///etc/passwd"]}), "workflow.0.what.0.args.0"),
        (recording({"action": "goto", "args": ["javascript:alert(1)"]}), "workflow.0.what.0.args.0"),
        (recording({"action": "goto", "args": ["http://u:p@host/"]}), "workflow.0.what.0.args.0"),
        (recording({"action": "goto", "args": ["http://169.254.169.254/"]}), "workflow.0.what.0.args.0"),
        (recording({"action": "click", "args": [""]}), "workflow.0.what.0.args.0"),
        (
            recording({"action": "click", "args": ["a", {"button": "side"}]}),
            "workflow.0.what.0.args.1.button",
        ),
        (recording({"action": "click", "args": ["a", {"x": 1}]}), "workflow.0.what.0.args.1.x"),
        (recording({"action": "click", "args": ["a", {"timeout": -1}]}), "workflow.0.what.0.args.1.timeout"),
        (recording({"action": "wait", "args": ["soon"]}), "workflow.0.what.0.args.0"),
        (recording({"action": "wait", "args": [float("inf")]}), "workflow.0.what.0.args.0"),
        (recording({"action": "scroll", "args": [0]}), "workflow.0.what.0.args.0"),
        (recording({"action": "screenshot", "args": [{"path": "/x"}]}), "workflow.0.what.0.args.0.path"),
        (recording({"action": "reload", "extra": 1}), "workflow.0.what.0.extra"),
        (recording({"action": "scrapeSchema", "args": [{}]}), "workflow.0.what.0.args.0"),
        (
            recording({"action": "scrapeSchema", "args": [{"A": {"tag": "P"}}]}),
            "workflow.0.what.0.args.0.A.selector",
        ),
        (recording({"action": "scrapeSchema", "args": {"A": 7}}), "workflow.0.what.0.args.A"),
        (
            recording({"action": "scrapeList", "args": [{"fields": {}}]}),
            "workflow.0.what.0.args.0.listSelector",
        ),
        (
            recording({"action": "scrapeList", "args": [LIST | {"limit": 0}]}),
            "workflow.0.what.0.args.0.limit",
        ),
        (
            recording({"action": "scrapeList", "args": [LIST | {"pagination": {"type": "clickNext"}}]}),
            "workflow.0.what.0.args.0.pagination.selector",
        ),
        (
            recording({"action": "scrapeList", "args": [LIST | {"pagination": {"type": "swipe"}}]}),
            "workflow.0.what.0.args.0.pagination.type",
        ),
        (recording({"action": "reload"}, where={"title": "x"}), "workflow.0.where.title"),
        (recording({"action": "reload"}, where={"url": {"$regex": "("}}), "workflow.0.where.url.$regex"),
        (
            recording({"action": "reload"}, where={"$or": [{"selectors": [""]}]}),
            "workflow.0.where.$or.0.selectors.0",
        ),
    ],
)
def test_a_fault_is_named_by_its_path(value: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recording(value)

    assert caught.value.field == field


@pytest.mark.parametrize(
    "name",
    [
        "script",
        "evaluate",
        "route",
        "addScriptTag",
        "setContent",
        "exposeFunction",
        "setInputFiles",
        "pdf",
        "on",
        "__class__",
        "keyboard",
        "context.close",
        "mouse.__init__",
        "crawl",
        "scrapeListAuto",
    ],
)
def test_what_is_not_listed_cannot_be_called(name: str) -> None:
    """MX-16: ``script`` evaluates code inside the server, never support it that way."""
    with pytest.raises(InputError) as caught:
        parse_recording(recording({"action": name, "args": ["1 + 1"]}))

    assert caught.value.code == "ACTION_NOT_ALLOWED"
    assert caught.value.field == "workflow.0.what.0.action"
    assert name in caught.value.message


def test_a_fault_is_told_where_it_stands_in_the_request() -> None:
    with pytest.raises(InputError) as caught:
        parse_recording({"workflow": [{}]}, field="recording")

    assert caught.value.field == "recording.workflow.0.what"


# --- parameters (MX-14) ---

SEARCH = recording(
    {"action": "goto", "args": [{"$param": "site"}]},
    {"action": "fill", "args": ["#q", {"$param": "words"}]},
)


def test_parameters_take_the_place_of_what_a_run_brings() -> None:
    assert parse_recording(SEARCH).parameters == {"site", "words"}

    bound = bind(SEARCH, {"site": "https://shop.example/", "words": "lap top"})

    assert [action.arguments for action in bound.pairs[0].what] == [
        ("https://shop.example/",),
        ("#q", "lap top"),
    ]
    assert not bound.parameters


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"site": "https://shop.example/"}, "input.words"),
        ({"site": "https://shop.example/", "words": "x", "more": 1}, "input.more"),
        ({"site": "file:///etc/passwd", "words": "x"}, "workflow.0.what.0.args.0"),
        ({"site": "https://shop.example/", "words": {"$param": "site"}}, "input.words"),
        ({"site": "https://shop.example/", "words": 7}, "workflow.0.what.1.args.1"),
    ],
)
def test_parameters_must_match_and_cannot_say_more_than_a_recording(
    given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        bind(SEARCH, given)

    assert caught.value.field == field


# --- where ---

STATE = PageState(
    url="https://shop.example/list?page=2",
    selectors=frozenset({"#list", ".next"}),
    cookies={"session": "abc"},
    done=frozenset({"start"}),
)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({}, True),
        ({"url": "https://shop.example/list?page=2"}, True),
        ({"url": "https://shop.example/list"}, False),
        ({"url": {"$regex": r"page=\d+$"}}, True),
        ({"url": {"$regex": r"^page"}}, False),
        ({"selectors": ["#list", ".next"]}, True),
        ({"selectors": ["#list", "#banner"]}, False),
        ({"cookies": {"session": "abc"}}, True),
        ({"cookies": {"session": {"$regex": "^b"}}}, False),
        ({"cookies": {"user": "abc"}}, False),
        ({"$after": "start"}, True),
        ({"$before": "start"}, False),
        ({"$before": "later"}, True),
        ({"$after": "later"}, False),
        ({"$and": [{"selectors": ["#list"]}, {"$after": "start"}]}, True),
        ({"$or": [{"selectors": ["#banner"]}, {"url": {"$regex": "list"}}]}, True),
        ({"$or": []}, False),
        ({"$not": {"selectors": ["#banner"]}}, True),
        ({"selectors": ["#list"], "$not": {"$after": "start"}}, False),
    ],
)
def test_where_says_whether_a_pair_is_for_the_page(where: dict[str, Any], holds: bool) -> None:
    """MX-14."""
    parse_recording(recording({"action": "reload"}, where=where))

    assert matches(where, STATE) is holds


def test_an_origin_matches_with_and_without_its_slash() -> None:
    assert matches({"url": "https://shop.example"}, PageState(url="https://shop.example/"))


def test_every_selector_of_a_condition_is_asked_for() -> None:
    where = {"selectors": ["a"], "$or": [{"selectors": ["b"]}, {"$not": {"selectors": ["c"]}}], "$after": "x"}

    assert set(selectors_of(where)) == {"a", "b", "c"}


# --- what was found ---


def test_repeated_fields_begin_a_new_record() -> None:
    """MX-16."""
    captured = Captured()
    for record in ({"Name": "A"}, {"Price": "1"}, {"Name": "B"}, {"Price": "2"}, {"Price": "3"}):
        captured.add_texts(None, record)

    assert captured.output()["captured_texts"] == {
        "Texts": [{"Name": "A", "Price": "1"}, {"Name": "B", "Price": "2"}, {"Price": "3"}]
    }


def test_lists_without_a_name_are_numbered_as_the_seed_does() -> None:
    """MX-4."""
    captured = Captured()
    captured.add_list(None, [{"a": "1"}])
    captured.add_list("Prices", [])
    captured.add_list(None, [{"b": "2"}])

    assert list(captured.output()["captured_lists"]) == ["list_0", "Prices", "list_2"]


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def test_a_list_that_grows_is_taken_once() -> None:
    found = Rows(10, is_growing=True)

    assert [found.add(rows(*names)) for names in ("ab", "abbc", "abbc", "xab")] == [2, 2, 0, 1]
    assert found.rows == rows(*"abbcx")


def test_a_list_that_drops_what_scrolled_away_is_taken_once() -> None:
    found = Rows(10, is_growing=True)

    assert [found.add(rows(*names)) for names in ("abc", "bcd", "def")] == [3, 1, 2]
    assert found.rows == rows(*"abcdef")


def test_pages_of_a_list_end_when_one_shows_itself_again() -> None:
    found = Rows(10, is_growing=False)

    assert [found.add(rows(*names)) for names in ("ab", "bc", "bc")] == [2, 2, 0]
    assert found.rows == rows(*"abbc")


def test_a_list_ends_at_its_limit() -> None:
    found = Rows(3, is_growing=False)
    found.add(rows(*"ab"))

    assert found.add(rows(*"cd")) == 1
    assert found.is_full
    assert found.rows == rows(*"abc")
