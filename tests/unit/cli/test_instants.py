"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.cli import main
from hookline.cli.client import Client, CommandError
from hookline.cli.instants import instant_of

NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("30s", "2026-03-01T12:29:45.000Z"),
        ("10m", "2026-03-01T12:20:15.000Z"),
        ("2h", "2026-03-01T10:30:15.000Z"),
        ("7d", "2026-02-22T12:30:15.000Z"),
        ("1w", "2026-02-22T12:30:15.000Z"),
        ("today", "2026-03-01T00:00:00.000Z"),
        ("yesterday", "2026-02-28T00:00:00.000Z"),
        ("2026-11-21", "2026-11-21T00:00:00.000Z"),
        ("2026-11-21T09:00:00+02:00", "2026-11-21T09:00:00+02:00"),
    ],
)
def test_a_time_is_read_as_it_is_said(text: str, instant: str) -> None:
    assert instant_of(text, now=NOW) == instant


@pytest.mark.parametrize(
    "text", ["", "soon", "2", "-2h", "2 h", "2026-02-30", "2026-11-21T09:00:00", "999999999w", "٢h"]
)
def test_what_is_no_time_is_answered_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="how long ago: 30s, 10m"):
        instant_of(text, now=NOW)


@pytest.mark.parametrize(
    "command",
    [
        "requests list",
        "deliveries replay --dry-run",
        "triggers replay trg_1 --dry-run",
        "triggers reverify trg_1 --dry-run",
    ],
)
def test_every_command_with_since_and_until_takes_all_forms(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: dict[str, Any] = {}

    def remembered(_: Client, __: str, ___: str, **asked: Any) -> None:
        sent.update(asked.get("query") or asked["body"])
        raise CommandError("that is all")

    monkeypatch.setattr(Client, "call", remembered)

    with pytest.raises(SystemExit):
        main([*command.split(), "--since", "2026-11-21", "--until", "2026-11-22", "--json"])
    with pytest.raises(SystemExit) as refused:
        main([*command.split(), "--since", "soon", "--json"])

    assert (sent["since"], sent["until"]) == ("2026-11-21T00:00:00.000Z", "2026-11-22T00:00:00.000Z")
    assert refused.value.code == 2
    assert "yesterday" in capsys.readouterr().err
