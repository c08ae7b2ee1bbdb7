"""What an app may declare, and what its trigger shows."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline import App
from hookline.errors import SettingError
from hookline.model.states import Kind
from hookline.sdk import Headers, Record, Trigger


async def nothing(ctx: Any) -> None:
    """Do nothing.

    At length.
    """


def nothing_plain(ctx: Any) -> None:
    pass


def test_a_declaration_becomes_an_automation() -> None:
    app = App()
    options: Any = {"timeout_seconds": 1.5, "concurrency": 3, "shared": True, "resumable": True}
    declared = app.workflow("orders", name="Orders", **options)(nothing)
    app.agent("support")(nothing_plain)
    support, orders = app.automations

    assert declared is nothing
    assert app.function(Kind.WORKFLOW, "orders") is nothing
    assert app.function(Kind.AGENT, "orders") is None
    assert (orders.name, orders.timeout_ms, orders.concurrency) == ("Orders", 1500, 3)
    assert orders.is_shared
    assert orders.is_resumable
    assert orders.description == "Do nothing."
    assert (support.kind, support.name, support.timeout_ms) == (Kind.AGENT, "support", 900_000)


def test_one_id_may_name_a_workflow_and_an_agent_but_not_two_workflows() -> None:
    app = App()
    app.workflow("x")(nothing)
    app.agent("x")(nothing)

    with pytest.raises(SettingError, match="declared twice"):
        app.workflow("x")


def test_only_async_functions_share_a_process() -> None:
    with pytest.raises(SettingError, match="'nothing_plain': write 'async def'"):
        App().workflow("x", shared=True)(nothing_plain)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": "1"},
        {"concurrency": 0},
        {"max_attempts": 0},
        {"concurrency": 1.5},
        {"retries": 3},
    ],
)
def test_bad_options_are_refused(options: Any) -> None:
    with pytest.raises(SettingError, match="workflow 'x'"):
        App().workflow("x", **options)


@pytest.mark.parametrize("bad", ["", "x" * 129, None, nothing])
def test_bad_ids_are_refused(bad: Any) -> None:
    with pytest.raises(SettingError, match="id must be"):
        App().workflow(bad)


def test_headers_ignore_case() -> None:
    headers = Headers({"Content-Type": "a", "X-Y": "b"})

    assert headers["content-TYPE"] == headers.get("CONTENT-TYPE") == "a"
    assert "x-y" in headers
    assert headers.__contains__(5) is False
    assert headers.get("z") is None
    assert dict(headers) == {"content-type": "a", "x-y": "b"}


def test_an_empty_trigger_answers_none() -> None:
    trigger = Trigger()

    assert trigger.raw_body.data is None
    assert trigger.body.content_type is None
    assert trigger.path_fragment is None
    assert trigger.customer.id is None
    assert trigger.started_at is None
    assert trigger.query_parameters == {}
    assert len(trigger.headers) == 0
    with pytest.raises(AttributeError, match="no 'pathfragment'"):
        _ = trigger.pathfragment


def test_a_trigger_shows_what_it_was_given() -> None:
    trigger = Trigger(
        {
            "path_fragment": "my/path",
            "webhook_urls": {"flow": "http://x"},
            "body": {"data": {"data": 1}, "content_type": "application/json"},
            "started_at": "2026-01-02T03:04:05.678Z",
            "method": "POST",
            "customer": {"id": "c", "external_id": "e"},
        }
    )

    assert trigger.path_fragment == "my/path"
    assert trigger.webhook_urls["flow"] == "http://x"
    assert trigger.body.data == {"data": 1}
    assert trigger.started_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert trigger.method == "POST"
    assert trigger.customer.external_id == trigger.customer["external_id"] == "e"


def test_records_copy_and_compare_like_objects() -> None:
    record = Record({"a": 1})

    assert repr(record) == "Record(a)"
    with pytest.raises(AttributeError):
        _ = record.__wrapped__


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    script = (
        "import sys; from hookline import App; "
        "print(*sorted({'asyncio', 'fastapi', 'aiohttp', 'apsw', 'pydantic', 'ssl', 'logging'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert told.stdout.strip() == ""
