"""Tables for people: whole in a pipe, readable in a terminal of 80 columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from hookline.cli import alerts, deliveries, events, executions, keys, main, show, webhooks
from hookline.cli.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "01990000-0000-7000-8000-000000000000"
CREATED = "2026-01-01T00:00:00.000Z"
EXECUTION: dict[str, Any] = {
    "id": f"exec_{ID}",
    "automation": {"kind": "workflow", "id": "order-processing"},
    "status": "succeeded",
    "created_at": CREATED,
    "run_duration_ms": 123_456,
    "steps": 12,
    "error": {"code": "FAILED"},
}
DELIVERY: dict[str, Any] = {
    "id": f"dlv_{ID}",
    "event_type": "workflow.execution.completed",
    "webhook_id": f"wh_{ID}",
    "state": "in_flight",
    "attempts_made": 7,
    "last_status": 503,
    "next_attempt_at": CREATED,
    "created_at": CREATED,
}
WEBHOOK: dict[str, Any] = {
    "id": f"wh_{ID}",
    "name": "Order Processing Webhook",
    "url": "https://your-app.example.com/webhooks/orders/incoming",
    "events": ["workflow.execution.completed", "workflow.execution.failed"],
    "status": "disabled",
    "last_delivery": CREATED,
    "delivery_stats": {"successful_deliveries": 1_000, "failed_deliveries": 1_000},
}
EVENT: dict[str, Any] = {
    "id": f"evt_{ID}",
    "type": "workflow.execution.completed",
    "timestamp": CREATED,
    "execution_id": f"exec_{ID}",
    "data": {"a": "long story " * 20},
}
FAILURE: dict[str, Any] = {"outcome": "connect_failed"}
FAILING: dict[str, Any] = WEBHOOK | {
    "health": {"state": "failing", "failing_since": CREATED, "failures": 12, "last_failure": FAILURE}
}
ALERT: dict[str, Any] = {
    "id": f"alr_{ID}",
    "webhook_id": f"wh_{ID}",
    "cause": "failing",
    "state": "open",
    "opened_at": CREATED,
    "failures": 12,
    "last_failure": FAILURE,
    "closed_at": None,
    "snoozed_until": None,
}
KEY: dict[str, Any] = {
    "id": f"key_{ID}",
    "name": "First admin key",
    "hint": "hk_abcde",
    "scopes": ["admin"],
    "created_at": CREATED,
    "revoked_at": None,
}
LISTS: dict[str, tuple[Callable[[], None], dict[str, Any], str]] = {
    "executions": (executions.list_, EXECUTION, "succeeded"),
    "deliveries": (deliveries.list_, DELIVERY, "in_flight"),
    "webhooks": (webhooks.list_, FAILING, "disabled"),
    "alerts": (alerts.list_, ALERT, "open"),
    "events": (events.list_, EVENT, "workflow.execution.complete"),
    "keys": (keys.list_, KEY, "First admin key"),
}


class Answering:
    """A server with one of each."""

    def pages(self, _: str, word: str, **__: object) -> list[dict[str, Any]]:
        return [LISTS[word][1]]

    def get(self, path: str, **_: object) -> dict[str, Any]:
        word = path.rpartition("/")[2]
        return {word: [LISTS[word][1]], "next": None}


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run a list command in a terminal of that width; return the lines it prints."""
    monkeypatch.setattr(Client, "from_environment", Answering)

    def run(word: str, width: int) -> list[str]:
        console = Console(highlight=False, width=width, file=sys.stdout)
        monkeypatch.setattr(show, "console", lambda: console)
        LISTS[word][0]()
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize("word", LISTS)
def test_a_list_fits_80_columns_and_keeps_ids_headings_and_states_whole(
    word: str, listed: Callable[..., list[str]]
) -> None:
    _, one, state = LISTS[word]
    heading, first, *more = listed(word, 80)

    assert len(first) <= 80
    assert one["id"] in first
    assert state in first
    assert sum(not line.startswith("a wider terminal") for line in more) <= 5
    assert not set(heading.split()) - set(listed(word, 10_000)[0].split())


@pytest.mark.parametrize("word", LISTS)
def test_a_list_into_a_pipe_is_whole(word: str, listed: Callable[..., list[str]]) -> None:
    lines = listed(word, 10_000)

    assert len(lines) == 2
    assert "long story" not in lines[1]


def test_a_delivery_is_owed_to_a_name(listed: Callable[..., list[str]]) -> None:
    (_, row) = listed("deliveries", 10_000)

    assert WEBHOOK["name"] in row
    assert WEBHOOK["id"] not in row


@pytest.mark.parametrize(
    ("command", "empty"),
    [
        ("deliveries list", "no deliveries: "),
        ("deliveries list --state exhausted", "nothing matches these filters"),
        ("executions list --kind agent", "nothing matches these filters"),
        ("conversations list --user ada", "nothing matches these filters"),
        ("alerts list --state closed", "nothing matches these filters"),
        ("events list --type order.paid", "nothing matches these filters"),
        ("requests list", "no requests yet"),
        ("requests list --accepted", "nothing matches these filters"),
    ],
)
def test_an_empty_list_says_whether_filters_made_it_so(
    command: str, empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Client, "pages", lambda *_, **__: [])
    monkeypatch.setattr(Client, "get", lambda *_, **__: {"events": [], "next": None})

    with pytest.raises(SystemExit):
        main(command.split())

    assert capsys.readouterr().out.startswith(empty)


def test_a_limit_below_1_is_asked_for_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["webhooks", "list", "--limit", "0"])

    assert caught.value.code == 2
    assert "Must be >= 1" in capsys.readouterr().err


def test_the_least_important_column_goes_first() -> None:
    whole = {"id": 40, "name": 10, "age": 8, "note": 20}

    assert show.fit(whole, ("note", "age"), 84) == (whole, 2)
    assert show.fit(whole, ("note", "age"), 81) == (whole, 1)
    assert show.fit(whole, ("note", "age"), 80) == ({"id": 40, "name": 10, "age": 8}, 2)
    assert show.fit(whole, ("note", "age"), 51) == ({"id": 40, "name": 10}, 1)


def test_only_a_long_text_is_folded_and_never_to_shreds() -> None:
    assert show.fit({"id": 40, "url": 90, "state": 9}, (), 100) == ({"id": 40, "url": 47, "state": 9}, 2)
    assert show.fit({"id": 40, "url": 90, "state": 9}, (), 79) == ({"id": 40, "url": 28, "state": 9}, 1)
    assert show.fit({"id": 40, "url": 90, "name": 20, "state": 9}, (), 82)[0] == {
        "id": 40,
        "url": 15,
        "name": 15,
        "state": 9,
    }
    assert show.fit({"id": 40, "url": 90, "state": 9}, (), 50)[0]["url"] == 12
