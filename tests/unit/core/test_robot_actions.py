"""Which actions a recording may hold and what each takes (MX-14, MX-16)."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.core.robots.extraction import Captured, FieldRule, ListRule, Pagination, Rows
from hookline.core.robots.recording import Action, parse_recording
from hookline.errors import InputError


def read(action: str, /, *arguments: Any, **more: Any) -> Action:
    """The action as a recording holds it: alone."""
    value = {"workflow": [{"what": [{"action": action, "args": list(arguments), **more}]}]}
    return parse_recording(value).pairs[0].what[0]


def refused(action: str, /, *arguments: Any, **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read(action, *arguments, **more)
    return caught.value


def place_refused(name: str, *arguments: Any) -> str:
    field = refused(name, *arguments).field
    assert field is not None
    return field.removeprefix("workflow.0.what.0.args").removeprefix(".")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("goto", ["about:blank"]),
        ("goto", ["https://shop.example/", {"waitUntil": "networkidle", "timeout": 120_000}]),
        ("goBack", []),
        ("click", ["#a", {"button": "right", "clickCount": 3, "delay": 5000, "force": True}]),
        ("click", ["#a", {"modifiers": ["Alt", "Shift"], "position": {"x": -100_000, "y": 100_000.0}}]),
        ("hover", ["#a", {"timeout": {"$param": "patience"}}]),
        ("fill", ["#a", ""]),
        ("fill", ["#a", "x" * 10_000]),
        ("selectOption", ["#a", "one"]),
        ("selectOption", ["#a", ["one", "two"]]),
        ("selectOption", ["#a", ["x"] * 100]),
        ("setViewportSize", [{"width": 100, "height": 4096}]),
        ("waitForTimeout", [0]),
        ("wait", [120_000]),
        ("wait", [0.5]),
        ("waitForLoadState", []),
        ("waitForLoadState", ["domcontentloaded", {"timeout": 0}]),
        ("waitForSelector", [".a", {"state": "hidden"}]),
        ("mouse.click", [-100_000, 100_000, {"button": "middle"}]),
        ("mouse.move", [1.5, 2, {"steps": 100}]),
        ("scroll", []),
        ("scroll", [1]),
        ("scroll", [100]),
        ("flag", ["here"]),
        ("screenshot", []),
        ("screenshot", [{"quality": 100, "scale": "css", "caret": "hide", "type": "png", "fullPage": False}]),
        ("fill", [{"$param": "where"}, {"$param": "what"}]),
    ],
)
def test_an_action_takes_what_playwright_takes(name: str, arguments: list[Any]) -> None:
    assert read(name, *arguments).arguments == tuple(arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "place"),
    [
        ("goto", [7], "0"),
        ("goto", ["about:config"], "0"),
        ("goto", [], ""),
        ("goto", ["about:blank", "about:blank"], ""),
        ("goBack", ["x"], ""),
        ("click", ["  "], "0"),
        ("click", [7], "0"),
        ("click", ["#a", {"clickCount": 4}], "1.clickCount"),
        ("click", ["#a", {"delay": True}], "1.delay"),
        ("click", ["#a", {"delay": -0.5}], "1.delay"),
        ("click", ["#a", {"force": 1}], "1.force"),
        ("click", ["#a", {"modifiers": "Alt"}], "1.modifiers"),
        ("click", ["#a", {"modifiers": ["Hyper"]}], "1.modifiers"),
        ("click", ["#a", {"modifiers": [7]}], "1.modifiers"),
        ("click", ["#a", {"position": {"x": 1}}], "1.position"),
        ("click", ["#a", {"position": [1, 2]}], "1.position"),
        ("click", ["#a", {"position": {"x": 1, "y": "2"}}], "1.position.y"),
        ("setViewportSize", [{"width": 800, "height": 600}, {"timeout": 1}], "1.timeout"),
        ("fill", ["#a"], ""),
        ("fill", ["#a", "x" * 10_001], "1"),
        ("fill", ["#a", None], "1"),
        ("selectOption", ["#a", ["one", 2]], "1.1"),
        ("selectOption", ["#a", ["x"] * 101], "1"),
        ("selectOption", ["#a", {"value": "x"}], "1"),
        ("setViewportSize", [{"width": 99, "height": 600}], "0"),
        ("setViewportSize", [{"width": 800, "height": 4097}], "0"),
        ("setViewportSize", [{"width": 800, "height": 600.0}], "0"),
        ("setViewportSize", [{"width": 800}], "0"),
        ("setViewportSize", [{"width": 800, "depth": 600}], "0"),
        ("setViewportSize", [{"width": 800, "height": 600, "depth": 600}], "0"),
        ("setViewportSize", ["ab"], "0"),
        ("setViewportSize", [7], "0"),
        ("setViewportSize", [None], "0"),
        ("wait", [True], "0"),
        ("wait", [-1], "0"),
        ("wait", [120_001], "0"),
        ("wait", [float("nan")], "0"),
        ("waitForLoadState", ["commit"], "0"),
        ("waitForLoadState", [["load"]], "0"),
        ("mouse.move", [100_001, 0], "0"),
        ("mouse.move", [0, -100_001], "1"),
        ("mouse.move", [0, "1"], "1"),
        ("scroll", [101], "0"),
        ("scroll", [1.0], "0"),
        ("scroll", [True], "0"),
        ("screenshot", [{"quality": 101}], "0.quality"),
    ],
)
def test_anything_else_is_refused_with_its_place(name: str, arguments: list[Any], place: str) -> None:
    """Whatever JSON a recording holds is read or refused; ``setViewportSize`` once failed on a number."""
    assert place_refused(name, *arguments) == place


def test_a_refusal_says_what_can_stand_there() -> None:
    assert refused("mouse.move", 1).expected == "2 arguments"
    assert refused("waitForLoadState", "load", "load").expected == "at most 1 arguments"
    assert refused("click", "#a", {"state": "visible"}).expected == (
        "button, clickCount, delay, force, modifiers, position, timeout"
    )
    assert refused("mouse.wheel", 1, 2, {"x": 1}).expected == "no options"
    assert refused("click", "#a", {"button": "side"}).message == "It must be one of left, right, middle."
    assert (refused("fill", "#a", []).expected, refused("fill", "#a", []).received) == ("string", "array")


@pytest.mark.parametrize("name", ["goto", "waitForSelector", "waitForURL", "screenshot"])
def test_a_run_depends_on_where_it_goes_and_what_it_takes(name: str) -> None:
    """MX-15: when another action fails, that is logged and the robot goes on."""
    arguments = {"goto": ["about:blank"], "screenshot": []}.get(name, ["a"])

    assert read(name, *arguments).is_decisive
    assert not read("click", "a").is_decisive
    assert read("scrapeSchema", {"A": "a"}).is_decisive


# --- how an action is written ---


def test_a_screenshot_may_have_its_name_behind_its_options() -> None:
    assert read("screenshot", "Front page").arguments == ("Front page",)
    options = {"type": "png", "fullPage": True, "animations": "allow", "caret": "hide", "scale": "device"}
    assert read("screenshot", options, "Front page").arguments == (options, "Front page")
    assert refused("screenshot", 7).field == "workflow.0.what.0.args"
    assert refused("screenshot", {"clip": {}}, "Front page").field == "workflow.0.what.0.args.0.clip"


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (7, "workflow.0.what.0"),
        ({"args": []}, "workflow.0.what.0.action"),
        ({"action": 7}, "workflow.0.what.0.action"),
        ({"action": "reload", "name": 7}, "workflow.0.what.0.name"),
        ({"action": "fill", "args": ["#a", {"$param": ""}]}, "workflow.0.what.0.args.1.$param"),
        ({"action": "fill", "args": ["#a", {"$param": 7}]}, "workflow.0.what.0.args.1.$param"),
        ({"action": "fill", "args": ["#a", {"$param": "x" * 101}]}, "workflow.0.what.0.args.1.$param"),
    ],
)
def test_a_malformed_action_is_refused_with_its_place(action: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_recording({"workflow": [{"what": [action]}]})

    assert caught.value.field == field


def test_one_argument_may_stand_alone_and_none_may_be_left_out() -> None:
    def arguments(action: dict[str, Any]) -> tuple[Any, ...]:
        return parse_recording({"workflow": [{"what": [action]}]}).pairs[0].what[0].arguments

    assert arguments({"action": "click", "args": "#a"}) == ("#a",)
    assert arguments({"action": "reload", "args": None}) == ()
    assert arguments({"action": "reload"}) == ()


def test_what_is_at_most_allowed_is_allowed() -> None:
    """The bounds of a recording: 200 pairs, 200 actions each, names of 100 characters."""
    action = {"action": "reload"}

    def pairs(count: int, actions: int) -> dict[str, Any]:
        return {"workflow": [{"what": [action] * actions}] * count}

    assert len(parse_recording(pairs(200, 1)).pairs) == 200
    assert len(parse_recording(pairs(1, 200)).pairs[0].what) == 200
    assert parse_recording(
        {"workflow": [{"what": [{"action": "fill", "args": ["#a", {"$param": "x" * 100}]}]}]}
    ).parameters == {"x" * 100}
    for value, field in ((pairs(201, 1), "workflow"), (pairs(1, 201), "workflow.0.what")):
        with pytest.raises(InputError) as caught:
            parse_recording(value)
        assert caught.value.field == field


# --- what is extracted ---

ROWS = {"listSelector": ".row", "fields": {"Name": ".name"}}


def rule(**changes: Any) -> ListRule:
    found = read("scrapeList", ROWS | changes).list
    assert found is not None
    return found


def test_a_list_is_read_with_its_defaults() -> None:
    assert rule() == ListRule(selector=".row", fields={"Name": FieldRule(selector=".name")}, limit=10)
    assert (rule().pagination, rule().next) == (Pagination.NONE, "")


@pytest.mark.parametrize(
    ("pagination", "kind", "button"),
    [
        (None, Pagination.NONE, ""),
        ({}, Pagination.NONE, ""),
        ({"type": "none"}, Pagination.NONE, ""),
        ({"type": "", "selector": ".x"}, Pagination.NONE, ""),
        ({"type": "scrollDown", "selector": ".x"}, Pagination.SCROLL_DOWN, ""),
        ({"type": "scrollUp"}, Pagination.SCROLL_UP, ""),
        ({"type": "clickNext", "selector": ".x"}, Pagination.CLICK_NEXT, ".x"),
        ({"type": "clickLoadMore", "selector": ".x"}, Pagination.CLICK_LOAD_MORE, ".x"),
    ],
)
def test_a_list_goes_on_in_maxuns_ways(pagination: Any, kind: Pagination, button: str) -> None:
    """MX-16."""
    found = rule(pagination=pagination)

    assert (found.pagination, found.next) == (kind, button)


def test_a_field_may_name_its_attribute_and_carry_what_the_recorder_saw() -> None:
    field = {"selector": "a", "tag": "A", "attribute": "href", "shadow": True, "isShadow": False}
    found = read("scrapeSchema", {"Link": field, "Text": {"selector": "b", "attribute": ""}}).schema

    assert found == {
        "Link": FieldRule(selector="a", attribute="href"),
        "Text": FieldRule(selector="b", attribute="innerText"),
    }


@pytest.mark.parametrize(
    ("name", "argument", "place"),
    [
        ("scrapeList", 7, "0"),
        ("scrapeList", ROWS | {"more": 1}, "0.more"),
        ("scrapeList", ROWS | {"listSelector": " "}, "0.listSelector"),
        ("scrapeList", ROWS | {"limit": 10_001}, "0.limit"),
        ("scrapeList", ROWS | {"limit": True}, "0.limit"),
        ("scrapeList", {"listSelector": ".row"}, "0.fields"),
        ("scrapeList", ROWS | {"fields": []}, "0.fields"),
        ("scrapeList", ROWS | {"pagination": "scrollDown"}, "0.pagination"),
        ("scrapeList", ROWS | {"pagination": {"kind": "x"}}, "0.pagination.kind"),
        ("scrapeList", ROWS | {"pagination": {"type": ["x"]}}, "0.pagination.type"),
        ("scrapeList", ROWS | {"pagination": {"type": "clickNext", "selector": ""}}, "0.pagination.selector"),
        ("scrapeSchema", [], "0"),
        ("scrapeSchema", {str(number): "a" for number in range(101)}, "0"),
        ("scrapeSchema", {"A": ""}, "0.A"),
        ("scrapeSchema", {"A": {"$param": "a"}}, "0.A"),
        ("scrapeSchema", {"A": {"selector": ""}}, "0.A.selector"),
        ("scrapeSchema", {"A": {"selector": "a", "attribute": 7}}, "0.A.attribute"),
        ("scrapeSchema", {"A": {"selector": "a", "css": "b"}}, "0.A.css"),
    ],
)
def test_a_description_that_cannot_be_followed_is_refused_with_its_place(
    name: str, argument: Any, place: str
) -> None:
    assert place_refused(name, argument) == place


def test_the_largest_descriptions_are_read() -> None:
    assert rule(limit=10_000).limit == 10_000
    assert rule(limit=1).limit == 1
    assert len(read("scrapeSchema", {str(number): "a" for number in range(100)}).schema or {}) == 100


def test_a_recorder_may_put_the_name_behind_the_description() -> None:
    assert read("scrapeSchema", {"A": "a"}, "Prices").label == "Prices"
    assert read("scrapeSchema", {"A": "a"}, "Prices", name="Mine").label == "Mine"
    assert read("scrapeSchema", {"A": "a"}).label is None
    assert read("reload", name="").label is None
    assert place_refused("scrapeSchema", {"A": "a"}, 7) == ""
    assert refused("scrapeList", ROWS, "a", "b").received == "3"


# --- what was found ---


def test_what_was_captured_counts_and_shows_itself() -> None:
    captured = Captured()

    assert captured.next_screenshot(None) == "Screenshot 1"
    assert captured.next_screenshot("Front") == "Front"
    captured.add_texts("Prices", {"A": "1"})
    captured.add_list(None, [{"B": "2"}])
    captured.add_list("list_0", [{"B": "3"}])

    assert repr(captured) == "Captured(1 texts, 1 lists, 2 screenshots)"
    assert captured.output() == {
        "captured_texts": {"Prices": [{"A": "1"}]},
        "captured_lists": {"list_0": [{"B": "2"}, {"B": "3"}]},
        "screenshots_count": 2,
    }


def test_any_one_thing_makes_it_no_longer_empty() -> None:
    nothing, texts, lists, screenshots = (Captured() for _ in range(4))
    texts.add_texts(None, {"A": "1"})
    lists.add_list(None, [])
    screenshots.next_screenshot(None)

    assert [one.is_empty for one in (nothing, texts, lists, screenshots)] == [True, False, False, False]


def test_a_copy_is_not_touched_by_what_follows() -> None:
    """A page that has to be tried again goes back to it."""
    captured = Captured()
    captured.add_texts("Prices", {"A": "1"})
    captured.add_list("Rows", [{"B": "2"}])
    captured.next_screenshot(None)
    before = captured.copy()

    captured.add_texts("Prices", {"C": "3"})
    captured.add_list("Rows", [{"B": "4"}])
    captured.next_screenshot(None)

    assert before.output() == {
        "captured_texts": {"Prices": [{"A": "1"}]},
        "captured_lists": {"Rows": [{"B": "2"}]},
        "screenshots_count": 1,
    }


def test_a_list_is_full_at_its_limit_and_not_before() -> None:
    rows = Rows(2, is_growing=True)
    told = [(rows.add(page), rows.is_full) for page in ([{"a": "1"}], [{"a": "1"}, {"a": "2"}, {"a": "3"}])]

    assert told == [(1, False), (1, True)]
    assert rows.rows == [{"a": "1"}, {"a": "2"}]
