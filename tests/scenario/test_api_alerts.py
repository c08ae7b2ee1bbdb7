"""Alerts, health and the test mail over the API, as people and programs see them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from api_bed import Api, serving
from mail_bed import mailbox

from hookline.testing.fakes import FakeSender, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asgi import Reply
    from mail_bed import Mailbox

    from hookline.ports import Store

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as opened:
        yield opened


@pytest_asyncio.fixture
async def api(store: Store, box: Mailbox) -> AsyncIterator[Api]:
    sender = FakeSender(lambda _: refused(410))
    async with serving(store, sender=sender, mailer=box.mailer()) as api:
        yield api


async def open_alert(api: Api) -> dict[str, Any]:
    """Wait until there is one."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.admin("GET", "/api/v1/alerts?state=open")
            if answer.json["alerts"]:
                alert: dict[str, Any] = answer.json["alerts"][0]
                return alert
            await asyncio.sleep(0.01)


async def test_a_webhook_in_trouble_is_seen_and_restored(api: Api) -> None:
    """PB-X3: one-click restore; CONTRACT section 5: 410."""
    webhook = await api.webhook(url="https://receiver.example.com/hook?key=s3cret")
    before = (await api.admin("GET", f"/api/v1/webhooks/{webhook['id']}")).json["health"]
    await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
    alert = await open_alert(api)
    shown = (await api.admin("GET", f"/api/v1/webhooks/{webhook['id']}")).json
    listed = (await api.admin("GET", "/api/v1/webhooks")).json["webhooks"][0]
    await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/resume")
    after = (await api.admin("GET", f"/api/v1/alerts/{alert['id']}")).json

    assert (before["state"], before["last_failure"]) == ("ok", None)
    assert (alert["webhook_id"], alert["cause"], alert["reason"]) == (webhook["id"], "disabled", "gone")
    assert alert["last_failure"]["status"] == 410
    assert alert["last_failure"]["event_type"] == "order.paid"
    assert (shown["status"], shown["status_reason"]) == ("disabled", "gone")
    assert (shown["health"]["state"], shown["health"]["failures"]) == ("failing", 1)
    assert listed["health"] == shown["health"]
    assert after["state"] == "closed"


async def test_what_was_read_of_a_webhook_can_be_written_back(api: Api) -> None:
    """AF-X2: health is let through unread."""
    webhook = await api.webhook()
    shown = (await api.admin("GET", f"/api/v1/webhooks/{webhook['id']}")).json

    assert (await api.admin("PUT", f"/api/v1/webhooks/{webhook['id']}", shown)).status == 200


async def test_alerts_are_filtered_paged_and_snoozed(api: Api) -> None:
    first, second = await api.webhook(events=["none"]), await api.webhook(events=["none"])
    for webhook in (first, second):
        await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/pause")

    async def listed(query: str) -> Reply:
        return await api.admin("GET", f"/api/v1/alerts?{query}")

    page = (await listed("limit=1")).json
    rest = (await listed(f"limit=1&cursor={page['next']}")).json
    of_first = (await listed(f"webhook_id={first['id']}&cause=paused&state=open")).json["alerts"]
    path = f"/api/v1/alerts/{of_first[0]['id']}/snooze"
    snoozed = await api.admin("POST", path, {"hours": 8})
    woken = await api.admin("POST", path, {"hours": 0})
    wrong = await api.admin("POST", path, {"hours": -1})
    await api.admin("POST", f"/api/v1/webhooks/{first['id']}/resume")
    late = await api.admin("POST", path)

    assert [alert["webhook_id"] for alert in (*page["alerts"], *rest["alerts"])] == [
        second["id"],
        first["id"],
    ]
    assert rest["next"] is None
    assert len(of_first) == 1
    assert snoozed.json["snoozed_until"] is not None
    assert woken.json["snoozed_until"] is None
    assert (wrong.status, wrong.json["error"]["details"]["field"]) == (400, "hours")
    assert (late.status, late.json["error"]["code"]) == (409, "ALERT_CLOSED")
    assert (await listed("cause=nothing")).status == 400
    assert (await listed(f"state=closed&webhook_id={second['id']}")).json["alerts"] == []


async def test_deleting_a_webhook_closes_its_alerts(api: Api) -> None:
    webhook = await api.webhook(events=["none"])
    await api.admin("POST", f"/api/v1/webhooks/{webhook['id']}/pause")
    await api.admin("DELETE", f"/api/v1/webhooks/{webhook['id']}")

    assert (await api.admin("GET", "/api/v1/alerts?state=open")).json["alerts"] == []


async def test_a_test_mail_says_what_the_server_said(api: Api, box: Mailbox) -> None:
    taken = await api.admin("POST", "/api/v1/settings/smtp-test", {"to": "ada@team.test"})
    box.refuse = lambda _: "550 no such user"
    refused_ = await api.admin("POST", "/api/v1/settings/smtp-test", {"to": "ada@team.test"})
    wrong = await api.admin("POST", "/api/v1/settings/smtp-test", {"to": "ada@team.test\r\nBcc: x@y.test"})

    assert (taken.json["success"], box.subjects) == (True, ["Hookline can send mail"])
    assert refused_.json["success"] is False
    assert "550: no such user" in refused_.json["error"]
    assert (wrong.status, wrong.json["error"]["details"]["field"]) == (400, "to")


async def test_without_a_mail_server_the_test_says_which_setting_is_missing(store: Store) -> None:
    async with serving(store) as api:
        answer = await api.admin("POST", "/api/v1/settings/smtp-test", {"to": "ada@team.test"})

    assert answer.json["success"] is False
    assert "HOOKLINE_SMTP_URL" in answer.json["error"]


async def test_operational_events_are_named(api: Api) -> None:
    """CONTRACT section 5."""
    types = (await api.admin("GET", "/api/v1/meta")).json["event_types"]

    assert {"webhook.disabled", "webhook.recovered", "delivery.exhausted"} <= set(types)
