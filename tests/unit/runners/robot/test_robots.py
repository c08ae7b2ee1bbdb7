"""Robots do what their recordings say, in a real browser (MX-14 to MX-16, MX-X5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from robot_bed import Heard, goto, job
from robot_site import TOTAL, product

from hookline.ports.runner import Failed, Succeeded
from hookline.runners.robot.messages import TO_ROBOT, Begin, line

if TYPE_CHECKING:
    from robot_site import Site

    from hookline.runners.robot.host import RobotRunner

pytestmark = pytest.mark.asyncio

FIELDS = {"Name": {"selector": ".name", "attribute": "innerText"}, "Price": ".price"}


async def captured(
    runner: RobotRunner, *actions: Any, heard: Heard | None = None, **options: Any
) -> dict[str, Any]:
    outcome = await runner.run(job(*actions, **options), heard or Heard())
    assert isinstance(outcome, Succeeded), outcome
    found: dict[str, Any] = msgspec.json.decode(outcome.output)
    return found


async def test_a_robot_reads_types_clicks_and_takes_pictures(runner: RobotRunner, site: Site) -> None:
    """MX-16: schema, with a link, an attribute, an XPath, a shadow tree and what comes late; PNG screenshots."""
    heard = Heard()
    schema = {
        "Name": {"selector": "h1.title", "tag": "H1", "attribute": "innerText"},
        "Photo": {"selector": "img.photo", "attribute": "src"},
        "Alt": {"selector": "img.photo", "attribute": "alt"},
        "Rating": "//p[@class='rating']",
        "Inside": {"selector": "b.inside", "shadow": "true"},
        "Late": "#late",
        "Said": "#out",
    }

    found = await captured(
        runner,
        [goto(f"{site.url}/"), {"action": "waitForLoadState", "args": ["load"]}],
        [
            {"action": "click", "args": ["#q"]},
            {"action": "type", "args": ["#q", "good "]},
            {"action": "keyboard.type", "args": ["day"]},
            {"action": "click", "args": ["#say", {"timeout": 2000}]},
            {"action": "scroll", "args": [1]},
            {"action": "scrapeSchema", "args": [schema], "name": "Laptop"},
            {"action": "screenshot", "args": [{"fullPage": True}]},
            {"action": "screenshot", "name": "../The end"},
        ],
        heard=heard,
    )

    assert found["captured_texts"] == {
        "Laptop": [
            {
                "Name": "MacBook Pro 16-inch M3 Max",
                "Photo": f"{site.url}/photo.png",
                "Alt": "The laptop",
                "Rating": "4.8/5 stars",
                "Inside": "In the shadow",
                "Late": "Late",
                "Said": "GOOD DAY",
            }
        ]
    }
    assert found["screenshots_count"] == 2
    assert sorted(heard.files) == ["Screenshot-1.png", "The-end.png"]
    width, height = struct.unpack(">II", heard.files["The-end.png"][16:24])
    assert (width, height) == (1280, 720)
    assert heard.progress[0]["percent"] == 0
    assert heard.progress[-1]["label"].endswith("screenshot")


PAGINATIONS: dict[str, dict[str, str] | None] = {
    "/list": None,
    "/next": {"type": "clickNext", "selector": ".next"},
    "/more": {"type": "clickLoadMore", "selector": ".more"},
    "/scroll": {"type": "scrollDown", "selector": ""},
    "/upwards": {"type": "scrollUp"},
}


async def test_a_list_is_read_to_its_end_however_it_goes_on(runner: RobotRunner, site: Site) -> None:
    """MX-16: every pagination, in one run."""
    rule = {"listSelector": "li.item", "fields": FIELDS, "limit": 100}
    walks = [
        [
            goto(site.url + path),
            {"action": "scrapeList", "args": [rule | {"pagination": pagination}], "name": path},
        ]
        for path, pagination in PAGINATIONS.items()
    ]

    found = await captured(runner, *walks)

    assert list(found["captured_lists"]) == list(PAGINATIONS)
    for path, rows in found["captured_lists"].items():
        in_order = sorted(rows, key=lambda row: int(row["Name"].split()[1]))
        assert in_order == [product(number) for number in range(1, TOTAL + 1)], path


async def test_a_list_stops_at_its_limit_and_lists_are_named(runner: RobotRunner, site: Site) -> None:
    """MX-16: ten records unless it says otherwise; links come whole."""
    short = {
        "listSelector": "li.item",
        "fields": {"Link": {"selector": "a", "attribute": "href"}},
        "limit": 12,
    }
    usual = {"listSelector": "//li", "fields": FIELDS}

    found = await captured(
        runner,
        [goto(f"{site.url}/next")],
        [
            {
                "action": "scrapeList",
                "args": [short | {"pagination": {"type": "clickNext", "selector": ".next"}}],
                "name": "Links",
            },
            {"action": "scrapeList", "args": usual},
        ],
    )

    assert [len(rows) for rows in found["captured_lists"].values()] == [12, 10]
    assert list(found["captured_lists"]) == ["Links", "list_1"]
    assert found["captured_lists"]["Links"][0] == {"Link": f"{site.url}/product/1"}


async def test_pairs_run_from_the_last_to_the_first(runner: RobotRunner, site: Site) -> None:
    """MX-15, and a click that fails is left out."""
    heard = Heard()
    recording = {
        "workflow": [
            {"where": {"url": "nowhere"}, "what": [{"action": "scrapeSchema", "args": [{"Said": "#out"}]}]},
            {
                "where": {},
                "what": [
                    {"action": "fill", "args": ["#q", {"$param": "words"}]},
                    {"action": "click", "args": ["#not-there", {"timeout": 200}]},
                    {"action": "click", "args": ["#say"]},
                ],
            },
            {"where": {"url": "about:blank"}, "what": [goto(f"{site.url}/")]},
        ]
    }

    found = await captured(runner, heard=heard, recording=recording, given={"words": "quiet"})

    assert found["captured_texts"] == {"Texts": [{"Said": "QUIET"}]}
    (warning,) = heard.texts("warning")
    assert warning.startswith("workflow.1.what.1 (click) failed and was left out: Timeout 200ms exceeded")


async def test_where_chooses_the_pair_when_a_robot_asks_for_it(runner: RobotRunner, site: Site) -> None:
    """MX-14."""
    recording = {
        "workflow": [
            {"where": {"url": "about:blank"}, "what": [goto(f"{site.url}/")]},
            {"where": {"selectors": ["#banner"]}, "what": [{"action": "click", "args": ["#banner"]}]},
            {
                "where": {"$and": [{"url": {"$regex": "/$"}}, {"selectors": ["#late"]}]},
                "what": [{"action": "scrapeSchema", "args": [{"Late": "#late"}]}, {"action": "goBack"}],
            },
        ]
    }
    heard = Heard()

    found = await captured(runner, heard=heard, recording=recording, matching="where")

    assert found["captured_texts"] == {"Texts": [{"Late": "Late"}]}
    assert any("1 pairs were not run" in text for text in heard.texts("info"))


async def test_what_does_not_come_is_a_timeout_error_as_the_seed_shows(
    runner: RobotRunner, site: Site
) -> None:
    """MX-5."""
    outcome = await runner.run(
        job(
            [goto(f"{site.url}/"), {"action": "scrapeSchema", "args": [{"Name": "h1"}]}],
            {"action": "waitForSelector", "args": ["#not-there", {"timeout": 300}]},
        ),
        Heard(),
    )

    assert isinstance(outcome, Failed)
    failure = outcome.failure
    assert (failure.code, failure.type) == ("FAILED", "TimeoutError")
    assert failure.message == 'Timeout 300ms exceeded while waiting for locator("#not-there") to be visible'
    assert failure.stack is not None
    assert failure.stack.startswith("TimeoutError: ")
    assert "\n    at async Page.waitForSelector (workflow.0.what.0)" in failure.stack
    assert outcome.facts is not None
    assert outcome.facts.partial_data_extracted  # type: ignore[union-attr]


async def test_a_pair_that_fails_is_tried_again(runner: RobotRunner, site: Site) -> None:
    """MX-15; and what it captured before it failed counts once."""
    heard = Heard()
    outcome = await runner.run(
        job(
            [
                goto(f"{site.url}/"),
                {"action": "scrapeSchema", "args": [{"Name": "h1"}]},
                {"action": "waitForSelector", "args": ["#late", {"timeout": 100}]},
            ],
            {"action": "wait", "args": [0]},
            max_repeats=1,
        ),
        heard,
    )

    assert isinstance(outcome, Failed)
    assert len(heard.texts("warning")) == 1
    assert "tried again" in heard.texts("warning")[0]
    assert site.visited[-1:] != []


async def test_a_message_is_one_line_however_a_recording_is_laid_out() -> None:
    begin = Begin(
        recording=msgspec.Raw(b'{\n  "workflow": []\n}'),
        parameters={},
        matching="order",
        pause_ms=0,
        max_repeats=0,
    )

    told = line(begin)

    assert told.count(b"\n") == 1
    assert TO_ROBOT.decode(told) is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "input: This robot needs parameters"),
        ({"more": 1}, "input.words: The parameter 'words' is missing."),
        ({"words": "x", "more": 1}, "input.more: The parameter 'more' is not asked for."),
    ],
)
async def test_parameters_that_do_not_match_are_said(
    runner: RobotRunner, given: object, message: str
) -> None:
    """MX-14."""
    outcome = await runner.run(
        job({"action": "fill", "args": ["#q", {"$param": "words"}]}, given=given), Heard()
    )

    assert isinstance(outcome, Failed)
    assert outcome.failure.message.startswith(message)
