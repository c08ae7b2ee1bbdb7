"""How values read on pages, what of a run's files is shown in place, and the order of a run's story."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hookline.cli import COMMANDS, EVERY, build
from hookline.core.times import rfc3339
from hookline.web.files import captured, shown_files
from hookline.web.render import ago, duration, short, size
from hookline.web.timeline import progress, spoken, story

TEMPLATES = Path(__file__).parents[3] / "src/hookline/web/templates"
COMMAND = re.compile(r"\bhookline ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "just now"), (-5, "in a moment"), (150, "2 min ago"), (7_300, "2 h ago"), (-90_100, "in 1 d")],
)
def test_an_instant_is_told_by_how_long_ago_it_was(seconds: int, said: str) -> None:
    assert ago(rfc3339(datetime.now(UTC) - timedelta(seconds=seconds))) == said


def test_an_old_instant_is_told_by_its_day() -> None:
    assert ago("2020-05-06T07:08:09.000Z") == "2020-05-06"


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "\N{EN DASH}"),
        (12.4, "12 ms"),
        (1_440, "1.4 s"),
        (125_000, "2 min 5 s"),
        (900_000, "15 min"),
        (12_000_000, "3 h 20 min"),
    ],
)
def test_a_duration_is_told_in_two_units_at_most(ms: float | None, said: str) -> None:
    assert duration(ms).replace("\N{NO-BREAK SPACE}", " ") == said


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (20_364, "20 kB"), (3e9, "3.0 GB")]
)
def test_a_size_is_told_in_few_digits(value: float, said: str) -> None:
    assert size(value) == said


def test_an_id_is_shortened_and_keeps_what_tells_it_from_others() -> None:
    assert short("exec_01890a5d-ac96-774b-bcce-b302099a8057") == "exec_…099a8057"
    assert short("order-17") == "order-17"


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "look"),
    [
        ("image/png", "picture"),
        ("video/mp4", "film"),
        ("audio/mpeg", "sound"),
        ("image/svg+xml", None),
        ("text/html", None),
        ("text/html; charset=utf-8", None),
        ("application/pdf", None),
    ],
)
def test_only_pictures_films_and_sounds_are_shown_in_place(content_type: str, look: str | None) -> None:
    """What a run made up must not act as a page; links lead to this server, whatever it is called outside."""
    url = "https://hooks.example.com/artifacts/exec_1/a.png?expires=1&token=x"
    shown = shown_files([{"content_type": content_type, "url": url, "name": "a.png"}])[0]
    assert shown["look"] == look
    assert shown["path"] == "/artifacts/exec_1/a.png?expires=1&token=x"


def test_what_a_robot_captured_is_shown_as_tables() -> None:
    """Rows may differ in their columns; long lists are cut, and what is no list of objects is no table."""
    output = {
        "captured_texts": {"Texts": {"Title": "A"}},
        "captured_lists": {"L": [{"a": 1}, {"b": 2}] + [{"a": 3}] * 60, "odd": [1], "none": []},
    }
    texts, rows = captured(output)
    assert texts == {"name": "Texts", "columns": ["Title"], "rows": [["A"]], "more": 0}
    assert rows["columns"] == ["a", "b"]
    assert rows["rows"][:2] == [[1, None], [None, 2]]
    assert rows["more"] == 12
    assert captured(None) == captured("text") == captured({"captured_texts": 7}) == []


# --- stories ------------------------------------------------------------------------------------------------


def line(at: str, text: str, stream: str = "log", fields: Any = None) -> dict[str, Any]:
    return {"at": at, "stream": stream, "level": "info", "text": text, "fields": fields}


def test_a_story_begins_with_its_request_and_puts_lines_together() -> None:
    moments = [
        {"at": "1", "what": "queued"},
        {"at": "3", "what": "log", "name": "log"},
        {"at": "5", "what": "delivery", "id": "dlv_1", "webhook_id": "wh_1"},
        {"at": "6", "what": "attempt", "delivery_id": "dlv_1"},
        {"at": "7", "what": "delivery", "id": "dlv_2", "webhook_id": "wh_gone"},
    ]
    lines = [line("3", "a"), line("3", "", "progress"), line("4", "b"), line("8", "c")]
    told = story(moments, lines, request={"received_at": "1", "id": "req_1"}, webhooks={"wh_1": "Billing"})
    whats = [one["what"] for one in told]
    assert whats == ["request", "queued", "lines", "delivery", "attempt", "delivery", "lines"]
    assert [one["text"] for one in told[2]["lines"]] == ["a", "b"]
    assert [one.get("webhook") for one in told[3:6]] == ["Billing", "Billing", "a deleted webhook"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"percent": 50.0, "label": "half"}, {"share": 0.5, "label": "half"}),
        ({"percent": 140}, {"share": 1.0, "label": ""}),
        ({"percent": "much"}, {"share": 0.0, "label": ""}),
        ({"label": 7}, {"share": 0.0, "label": "7"}),
        (None, {"share": 0.01, "label": ""}),
        ({"delta": "words"}, {"share": 0.01, "label": ""}),
    ],
)
def test_progress_is_what_was_told_last(fields: Any, told: dict[str, Any]) -> None:
    lines = [line("1", "", "progress", {"percent": 1}), line("2", "", "progress", fields), line("3", "x")]
    assert progress(lines) == told
    assert progress([line("1", "x")]) is None


def test_an_answer_is_shown_as_far_as_it_was_said() -> None:
    """A model that is asked again begins again; what is no text of its own is left out."""
    said = [
        {"delta": "Where ", "round": 1, "attempt": 1},
        {"delta": "Your ", "round": 1, "attempt": 2},
        {"percent": 5},
        {"delta": 7, "round": 1, "attempt": 2},
        {"delta": "order", "round": 1, "attempt": 2},
    ]
    lines = [line("1", "", "progress", fields) for fields in said] + [line("2", "other")]
    assert spoken(lines) == "Your order"
    assert spoken([]) == ""


def test_every_command_that_a_page_shows_exists() -> None:
    """What an empty page says to paste is a command that there is."""
    names = {name for name, *_ in COMMANDS}
    app = build(EVERY)
    shown = {found for page in TEMPLATES.glob("*.html") for found in COMMAND.findall(page.read_text())}
    assert len(shown) > 10
    for name, sub in shown:
        assert name in names, f"hookline {name}"
        if sub and not app[name].default_command:
            assert sub in set(app[name]), f"hookline {name} {sub}"
