"""A webhook whose body is a template: sent like any other, and a template that cannot word an event shows (issue 4)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from api_bed import Api, serving

from hookline.dialects.templated import READY_MADE
from hookline.engine.clock import SystemClock
from hookline.receiver import verify
from hookline.stores.sqlite.store import SqliteStore
from hookline.testing.fakes import FakeSender, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

URL = "/api/v1/webhooks"
FRAGILE = '{"text": {% if data.total > 5 %}"large"{% else %}"small"{% endif %}}'


@pytest_asyncio.fixture
async def both(store: Store) -> AsyncIterator[Api]:
    """Over each store in turn."""
    async with serving(store) as one:
        yield one


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    async with serving(store) as one:
        yield one
    await store.close()


async def until(api: Api, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The only delivery with its attempts, once it is as asked."""
    async with asyncio.timeout(15):
        while True:
            found = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"]
            if found and holds(found[0]):
                assert len(found) == 1
                detail: dict[str, Any] = (await api.admin("GET", f"/api/v1/deliveries/{found[0]['id']}")).json
                return detail
            await asyncio.sleep(0.01)


async def ended(api: Api) -> dict[str, Any]:
    return await until(api, lambda one: one["state"] in {"succeeded", "exhausted"})


async def publish(api: Api, data: Any, type_: str = "order.paid") -> str:
    answer = await api.admin("POST", "/api/v1/events", {"type": type_, "data": data})
    assert answer.status == 202
    return str(answer.json["id"])


@pytest.mark.parametrize("name", READY_MADE)
async def test_a_ready_made_template_is_what_goes_out(api: Api, name: str) -> None:
    """Signed like any other body, over the same sender."""
    webhook = await api.webhook(template=name, filters={"exclude_fields": ["secret"]})
    await publish(api, {"total": 12.5, "secret": "CANARY", "note": "<!channel>"})
    detail = await ended(api)
    (request,) = api.bed.sender.sent
    headers = {key.lower(): value for key, value in request.headers}

    assert detail["state"] == "succeeded"
    assert headers["content-type"] == READY_MADE[name][1]
    assert headers["hookline-event"] == "order.paid"
    assert b"CANARY" not in request.body
    assert b"12.5" in request.body
    if name == "ntfy":
        assert headers["title"] == "order.paid"
        assert request.body == b"total: 12.5\nnote: <!channel>"
    else:
        assert verify(request.body, request.headers, webhook["secret"])
        assert (b"<!channel>" in request.body) is (name != "slack")  # Slack would ring everybody
    assert (await api.admin("GET", f"{URL}/{webhook['id']}")).json["template"] == name


async def test_a_text_of_ones_own_with_its_content_type(api: Api) -> None:
    own = {"text": "{{ data.who | upper }} paid", "content_type": "text/plain"}
    webhook = await api.webhook(template=own)
    await publish(api, {"who": "ann"})
    await ended(api)
    (request,) = api.bed.sender.sent
    shown = (await api.admin("GET", f"{URL}/{webhook['id']}")).json
    back = await api.admin("PUT", f"{URL}/{webhook['id']}", {"template": shown["template"]})
    unset = await api.admin("PUT", f"{URL}/{webhook['id']}", {"template": None})

    assert request.body == b"ANN paid"
    assert dict(request.headers)["Content-Type"] == "text/plain"
    assert (shown["template"], back.json["template"], unset.json["template"]) == (own, own, None)


async def test_a_template_that_cannot_word_an_event_is_a_failure_that_shows_and_can_be_mended(
    both: Api,
) -> None:
    """One attempt row with its class and reason, nothing sent or retried; mended and retried by hand it goes out."""
    api = both
    webhook = await api.webhook(template=FRAGILE)
    event_id = await publish(api, {"total": "CANARY"})
    failed = await ended(api)
    explained = (await api.admin("GET", f"/api/v1/events/{event_id}/explain")).json["webhooks"][0]
    sent_before = len(api.bed.sender.sent)
    mended = FRAGILE.replace("data.total > 5", "data.total is string")
    await api.admin("PUT", f"{URL}/{webhook['id']}", {"template": mended})
    await api.admin("POST", f"/api/v1/deliveries/{failed['id']}/retry")
    await until(api, lambda one: one["state"] == "succeeded")

    (attempt,) = failed["attempts"]
    assert (failed["state"], failed["state_reason"]) == ("exhausted", "template_failed")
    assert (attempt["outcome"], attempt["error"]) == (
        "template_failed",
        "The template cannot word this event (TypeError).",
    )
    assert sent_before == 0
    assert "template_failed" in explained["reason"]
    assert [request.body for request in api.bed.sender.sent] == [b'{"text":"large"}']


async def test_a_body_is_frozen_at_the_first_attempt(store: Store) -> None:
    """CONTRACT section 5: a template that is edited later words later events only."""
    sender = FakeSender(lambda _: refused(500))
    async with serving(store, sender=sender) as api:
        policy = {"schedule_seconds": [1, 1]}
        webhook = await api.webhook(
            template={"text": "{{ data.n }} 1st", "content_type": "text/plain"}, retry_policy=policy
        )
        await publish(api, {"n": 1})
        await until(api, lambda one: one["attempts_made"] >= 1)
        await api.admin("PUT", f"{URL}/{webhook['id']}", {"template": "slack"})
        await ended(api)

    said = [(request.body, dict(request.headers)["Content-Type"]) for request in sender.sent]
    assert said == [(b"1 1st", "text/plain")] * 3


async def test_a_body_that_is_said_to_be_json_must_be_json(api: Api) -> None:
    await api.webhook(template='{"text": {{ data.note }}}')
    await publish(api, {"note": "no quotes"})
    (attempt,) = (await ended(api))["attempts"]

    assert attempt["outcome"] == "template_failed"
    assert attempt["error"].startswith("What the template made is no JSON.")


async def test_a_preview_shows_what_would_go_out(api: Api) -> None:
    webhook = await api.webhook(template=FRAGILE)
    place = f"{URL}/{webhook['id']}/preview"
    event_id = await publish(api, {"total": 7})
    of_event = (await api.admin("POST", place, {"event_id": event_id})).json
    made_up = (await api.admin("POST", place, {"event": "x", "data": {"total": 1}})).json
    fails = (await api.admin("POST", place, {"data": {"total": "7"}})).json
    changes = {"changes": {"template": "ntfy"}, "data": {"a": 1}}
    changed = (await api.admin("POST", place, changes)).json
    bare = (await api.admin("POST", place)).json
    plain = (
        await api.admin("POST", place, {"changes": {"template": None, "dialect": "raw"}, "data": 1.50})
    ).json
    dry = (await api.admin("POST", f"{URL}/{webhook['id']}/dry-run", {})).json
    refused = await api.admin("POST", place, {"changes": {"template": "{{ x }}"}})
    missing = await api.admin("POST", place, {"event_id": "evt_none"})

    assert (of_event["body"], of_event["event_id"]) == ('{"text":"large"}', event_id)
    assert (made_up["body"], made_up["content_type"]) == ('{"text":"small"}', "application/json")
    assert (fails["body"], fails["error"]) == (None, "The template cannot word this event (TypeError).")
    assert (changed["body"], changed["content_type"]) == ("a: 1", "text/plain; charset=utf-8")
    assert bare["body"] is not None or bare["error"]
    assert json.loads(plain["body"]) == 1.5
    assert dry["events"][0]["body"] == '{"text":"large"}'
    assert (refused.status, refused.details["field"]) == (400, "changes.template")
    assert missing.status == 404
    assert len(api.bed.sender.sent) <= 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"template": "slak"}, "template"),
        ({"template": ""}, "template"),
        ({"template": 7}, "template"),
        ({"template": "{{ data.a() }}"}, "template"),
        ({"template": "{{ nobody }}"}, "template"),
        ({"template": {"content_type": "text/plain"}}, "template.text"),
        ({"template": {"text": "{{ nobody }}"}}, "template.text"),
        ({"template": {"text": "{{ data }}", "content_type": "text\r\nX: y"}}, "template.content_type"),
        ({"template": {"text": "{{ data }}", "type": "x"}}, "template.type"),
        ({"template": "slack", "batch_settings": {}}, "batch_settings"),
    ],
)
async def test_a_template_that_is_none_is_refused_when_it_is_saved(
    api: Api, fields: dict[str, Any], field: str
) -> None:
    answer = await api.admin("POST", URL, {"url": "https://a.example/", "events": ["*"], **fields})

    assert (answer.status, answer.details["field"]) == (400, field), answer
    assert answer.details["expected"]
