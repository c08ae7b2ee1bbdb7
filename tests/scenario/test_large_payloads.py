"""Payloads over 256 KB: pushed as a signed link with their digest, where the webhook asks for it (issue 4, point 5)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from api_bed import Api, serving

from hookline.model.configuration import Webhook
from hookline.receiver import verify
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.sender import Answer, Outgoing

pytestmark = pytest.mark.asyncio

DIALECTS = (
    "agenticflow",
    "phantombuster",
    "maxun",
    "maxun-src",
    "standard",
    "cloudevents",
    "raw",
)
"""All but phantomflow, whose bodies carry no payload and are never large."""

LARGE = {"words": "ä" * 140_000}


async def published(api: Api, data: dict[str, Any]) -> None:
    """Past the API, whose own limit is small here."""
    webhooks = await api.bed.node.store.list(Webhook, organization_id=None, limit=1)
    api.bed.organization_id = webhooks[0].organization_id
    await api.bed.publish("order.paid", json.dumps(data, ensure_ascii=False).encode())


def by_webhook(sender: FakeSender) -> dict[str, Outgoing]:
    return {request.url.rsplit("/", 1)[1]: request for request in sender.sent}


async def test_every_dialect_pushes_a_link_to_the_bytes_it_would_have_pushed(store: Store) -> None:
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        for dialect in DIALECTS:
            settings: dict[str, Any] = {"dialect": dialect, "events": ["order.*"]}
            await api.webhook(url=f"http://receiver.test/{dialect}-push", **settings)
            linked = await api.webhook(
                url=f"http://receiver.test/{dialect}-link", large_payloads="link", **settings
            )
            assert linked["large_payloads"] == "link"
        await published(api, LARGE)
        await sender.received(2 * len(DIALECTS))
        sent = by_webhook(sender)
        fetched = {
            dialect: await api.anyone("GET", _path(json.loads(sent[f"{dialect}-link"].body)))
            for dialect in DIALECTS
        }

    for dialect in DIALECTS:
        whole, link = sent[f"{dialect}-push"], json.loads(sent[f"{dialect}-link"].body)
        # What differs between two webhooks is their own id, where a dialect tells it.
        assert len(sent[f"{dialect}-link"].body) < 1_000
        assert fetched[dialect].status == 200
        assert hashlib.sha256(fetched[dialect].body).hexdigest() == link["payload_sha256"]
        assert len(fetched[dialect].body) == link["payload_size"] == len(whole.body)
        assert _plain(fetched[dialect].body) == _plain(whole.body)
        headers = dict(sent[f"{dialect}-link"].headers)
        assert headers["Content-Type"] == "application/json"
        assert link["payload_content_type"] == dict(whole.headers)["Content-Type"]
        assert fetched[dialect].headers["content-type"] == link["payload_content_type"]
        assert (link["type"], link["id"]) == ("order.paid", headers["webhook-id"])


def _path(link: dict[str, Any]) -> str:
    parts = urlsplit(link["payload_url"])
    return f"{parts.path}?{parts.query}"


def _plain(body: bytes) -> Any:
    value = json.loads(body)
    if isinstance(value, dict):
        value.pop("webhook_id", None)
    return value


async def test_the_link_is_signed_stays_the_same_and_opens_to_nothing_else(store: Store) -> None:
    answers: list[Answer] = [refused(500)]
    sender = FakeSender(lambda _: answers.pop() if answers else OK)
    async with serving(store, sender=sender) as api:
        webhook = await api.webhook(dialect="standard", large_payloads="link")
        await published(api, {"words": "small"})
        await published(api, LARGE)
        first, *others = await sender.received(3)
        small = next(one for one in sender.sent if len(one.body) < 100)
        large = [one for one in sender.sent if b"payload_url" in one.body]
        link = json.loads(large[0].body)
        path = _path(link)
        forged = await api.anyone("GET", path[:-2] + ("00" if path[-2:] != "00" else "11"))
        moved = await api.anyone("GET", path.replace("/dlv_", "/dlv_0"))
        bare = await api.anyone("GET", path.partition("?")[0])
        verified = verify(large[0].body, dict(large[0].headers), webhook["secret"])

    assert others
    assert json.loads(small.body)["data"] == {"words": "small"}
    assert len({one.body for one in large}) == 1
    assert verified is not None
    for answer in (forged, moved, bare):
        assert (answer.status, answer.code) == (403, "LINK_INVALID")
    assert first is not None


async def test_a_batch_that_is_too_large_is_linked_to(store: Store) -> None:
    sender = FakeSender()
    async with serving(store, sender=sender) as api:
        await api.webhook(large_payloads="link", batch_settings={"max_events": 3, "max_wait_seconds": 60})
        for number in range(3):
            await published(api, {"n": number, "words": "x" * 100_000})
        (request,) = await sender.received(1)
        link = json.loads(request.body)
        fetched = await api.anyone("GET", _path(link))

    assert link["type"] == "batch"
    assert [one["data"]["n"] for one in json.loads(fetched.body)["events"]] == [0, 1, 2]
    assert hashlib.sha256(fetched.body).hexdigest() == link["payload_sha256"]
