"""Sheets: what one object says to people."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from rich.console import Console

from hookline.cli import show
from hookline.cli.client import Client
from hookline.cli.replaying import how_many
from hookline.cli.requests import explain
from hookline.cli.sheets import error_line, show_delivery, show_request
from hookline.cli.webhooks import logs


def attempt(body: str, *, number: int = 1, encoding: str = "utf-8", is_cut: bool = False) -> dict[str, Any]:
    return {
        "number": number,
        "outcome": "failed",
        "status": 500,
        "response_body": body,
        "response_body_encoding": encoding,
        "is_response_cut": is_cut,
    }


@pytest.mark.parametrize(
    ("last", "said", "unsaid"),
    [
        (attempt("no such\x1b[2J order", number=2), "  no such\N{REPLACEMENT CHARACTER}[2J order", "--json"),
        (attempt("\n".join(f"row {row}" for row in range(11)), number=2), "  row 9", "row 10"),
        (attempt("x" * 201, number=2), f"  {'x' * 200}…", "--json"),
        (attempt("half", number=2, is_cut=True), "hookline deliveries show dlv_1 --json", "first"),
        (attempt("/w==", number=2, encoding="base64"), "bytes that are no text", "/w=="),
        (attempt("", number=2), "outcome", "was answered"),
    ],
)
def test_a_delivery_shows_what_the_last_attempt_was_answered(
    last: dict[str, Any], said: str, unsaid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_delivery({"id": "dlv_1", "attempts": [attempt("the first answer"), last]})

    out = capsys.readouterr().out
    assert said in out
    assert unsaid not in out
    assert "the first answer" not in out


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ({"code": "FAILED", "type": "KeyError", "message": "'order_id'"}, "KeyError: 'order_id'"),
        ({"code": "FAILED", "type": None, "message": "It exited with 1."}, "FAILED: It exited with 1."),
        ({"code": "TIMED_OUT", "type": "TimeoutError", "message": "Used up."}, "TIMED_OUT: Used up."),
    ],
)
def test_an_error_that_code_raised_is_told_by_its_type(error: dict[str, Any], line: str) -> None:
    assert error_line(error) == line


def test_a_value_is_whole_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A URL with its token is there to be copied."""
    url = f"https://example.com/webhooks/workflows/orders?token={'x' * 60}"
    monkeypatch.setattr(show, "console", lambda: Console(width=80, file=sys.stdout))

    show.sheet([("url", url), ("body", show.on_one_line("x" * 100))])

    *first, last = capsys.readouterr().out.splitlines()
    assert "".join("".join(first).split()) == f"url{url}"
    assert last.endswith("x…")


@pytest.mark.parametrize(
    ("size", "is_whole", "told"),
    [(None, False, "not kept"), (7, True, "7 bytes"), (7, False, "7 bytes, not all kept")],
)
def test_a_request_says_how_much_of_its_body_is_kept(
    size: int | None, is_whole: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known: dict[str, Any] = dict.fromkeys(
        ("received_at", "remote_address", "trigger_id", "execution_id", "status", "reason"), "-"
    )
    known |= {
        "id": "req_1",
        "query": None,
        "method": "POST",
        "path": "/",
        "body": "",
        "body_encoding": "utf-8",
    }

    show_request(known | {"explain": None, "headers": [], "body_size": size, "is_body_whole": is_whole})

    assert f"body       {told}\n" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "words"), [(1, "1 delivery, "), (2, "2 deliveries, ")])
def test_a_job_of_one_is_told_as_one(count: int, words: str) -> None:
    preview = {"is_count_exact": True, "count": count, "rate_per_second": 100}

    assert how_many(preview, "deliveries").startswith(words)


def test_what_was_sent_to_a_webhook_names_its_deliveries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Client, "pages", lambda *_, **__: [{"id": "log_1", "delivery_id": "dlv_1"}])

    logs("wh_1")

    assert "dlv_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (None, 0),
        ({"is_good": True, "reason": None, "findings": []}, 0),
        ({"is_good": False, "reason": "already_ran", "findings": []}, 0),
        ({"is_good": False, "reason": "signature_mismatch", "findings": []}, 1),
    ],
)
def test_a_request_is_explained_with_code_0_where_nothing_is_left_to_mend(
    told: dict[str, Any] | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "get", lambda *_, **__: {"explain": told})

    assert explain("req_1") == code
    assert "or it ran already" in (explain.__doc__ or "")
