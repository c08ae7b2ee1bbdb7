"""What is held, the reason it shows, and what becomes of it (CONTRACT section 5, Conditions and States)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import Api, serving

from hookline.model.configuration import Webhook
from hookline.model.ids import parse
from hookline.model.states import WebhookStatus
from hookline.testing.fakes import FakeSender, refused

if TYPE_CHECKING:
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

URL = "/api/v1/webhooks"


async def until_states(api: Api, webhook: dict[str, Any], *wanted: str) -> list[dict[str, Any]]:
    """Wait until the deliveries of a webhook, oldest first, are in these states."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.admin("GET", f"/api/v1/deliveries?webhook_id={webhook['id']}")
            found: list[dict[str, Any]] = answer.json["deliveries"][::-1]
            if [one["state"] for one in found] == list(wanted):
                return found
            await asyncio.sleep(0.01)


async def test_what_is_sent_again_to_a_paused_webhook_is_held_until_it_is_resumed(store: Store) -> None:
    """A paused webhook's events are held, also those that somebody asks for."""
    async with serving(store) as api:
        webhook = await api.webhook()
        await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
        (delivery,) = await until_states(api, webhook, "succeeded")
        await api.admin("POST", f"{URL}/{webhook['id']}/pause")
        again = await api.admin("POST", f"/api/v1/deliveries/{delivery['id']}/retry")
        twice = await api.admin("POST", f"/api/v1/deliveries/{delivery['id']}/retry")
        sent = len(api.bed.sender.sent)
        await api.admin("POST", f"{URL}/{webhook['id']}/resume")
        await until_states(api, webhook, "succeeded")

        assert (again.status, again.json["state"]) == (202, "held")
        assert again.json["state_reason"] == "webhook_paused"
        assert (twice.status, twice.json["state"]) == (202, "held")
        assert (sent, len(api.bed.sender.sent)) == (1, 2)


@pytest.mark.parametrize("shape", [{}, {"ordered": True}, {"batch_settings": {"max_events": 2}}])
async def test_unreadable_conditions_hold_until_they_are_edited(store: Store, shape: dict[str, Any]) -> None:
    """Only an unreadable stored condition holds a delivery, with the reason; then it is asked after all."""
    async with serving(store) as api:
        webhook = await api.webhook(events=["order.*"], **shape)
        other = await api.webhook(events=["order.*"])
        id_ = parse("webhook", webhook["id"])
        assert id_ is not None
        stored = await store.get(Webhook, id_, organization_id=None)
        assert stored is not None
        newer = msgspec.structs.replace(stored.document, conditions={"n": {"resembles": 1}})
        await store.put(msgspec.structs.replace(stored, document=newer), at=api.bed.node.clock.now())
        await api.bed.node.directory.refresh()
        for number in (1, 2, 1):
            await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {"n": number}})
        await api.admin("POST", "/api/v1/events", {"type": "user.left", "data": {"n": 1}})
        held = await until_states(api, webhook, "held", "held", "held")
        why = (await api.admin("GET", f"/api/v1/events/{held[0]['event_id']}/explain")).json
        await until_states(api, other, *["succeeded"] * 3)
        await api.bed.node.maintenance.sweep()
        await until_states(api, webhook, "held", "held", "held")
        edited = await api.admin("PUT", f"{URL}/{webhook['id']}", {"conditions": {"n": {"eq": 1}}})
        ended = await until_states(api, webhook, "succeeded", "cancelled", "succeeded")

        assert {one["state_reason"] for one in held} == {"condition_unreadable"}
        assert "condition_unreadable" in str(why)
        assert edited.status == 200
        assert [one["state_reason"] for one in ended] == [None, "filtered", None]


async def test_what_gathers_for_a_batch_is_held_too_and_follows_new_settings(store: Store) -> None:
    """A paused webhook's events are held; a batch that gathers goes by the settings as they are now (AF-19)."""
    async with serving(store) as api:
        webhook = await api.webhook(batch_settings={"max_events": 2, "max_wait_seconds": 3600})
        await api.admin("POST", f"{URL}/{webhook['id']}/pause")
        published = [await api.admin("POST", "/api/v1/events", {"type": "a", "data": n}) for n in range(3)]
        (held,) = await until_states(api, webhook, "held")
        told = [
            (await api.admin("GET", f"/api/v1/events/{one.json['id']}/explain")).json["webhooks"][0]
            for one in published[1:]
        ]
        sent = len(api.bed.sender.sent)
        await api.admin("POST", f"{URL}/{webhook['id']}/resume")
        await until_states(api, webhook, "succeeded")
        await api.admin("PUT", f"{URL}/{webhook['id']}", {"batch_settings": None})
        await until_states(api, webhook, "succeeded", "succeeded")

    assert (held["state_reason"], sent) == ("webhook_paused", 0)
    assert [one["state"] for one in told] == ["held", "held"]
    assert all("webhook_paused" in one["reason"] for one in told)
    assert [msgspec.json.decode(one.body)["count"] for one in api.bed.sender.sent] == [2, 1]


@pytest.mark.parametrize(
    ("is_deleted", "state", "reason"),
    [(False, "held", "webhook_paused"), (True, "cancelled", "webhook_deleted")],
)
async def test_what_a_node_left_waiting_when_it_died_in_a_change_is_settled(
    store: Store, state: str, reason: str, *, is_deleted: bool
) -> None:
    """PROMISES section 3, K1: the webhook is paused or deleted, and its deliveries were not told any more."""
    sender = FakeSender(lambda _: refused(500))
    async with serving(store, sender=sender, time_scale=1.0) as api:
        webhook = await api.webhook()
        await api.admin("POST", "/api/v1/events", {"type": "a", "data": 1})
        await until_states(api, webhook, "pending")
        id_ = parse("webhook", webhook["id"])
        assert id_ is not None
        stored = await store.get(Webhook, id_, organization_id=None)
        assert stored is not None
        now = api.bed.node.clock.now()
        if is_deleted:
            await store.delete(Webhook, id_, organization_id=stored.organization_id, at=now)
        else:
            paused = msgspec.structs.replace(stored.document, status=WebhookStatus.PAUSED)
            await store.put(msgspec.structs.replace(stored, document=paused), at=now)

        await api.bed.node.maintenance.sweep()
        (left,) = await until_states(api, webhook, state)

    assert left["state_reason"] == reason


@pytest.mark.parametrize(("action", "state"), [("pause", "held"), ("delete", "cancelled")])
async def test_what_waits_for_its_rate_is_held_or_cancelled_at_once(
    store: Store, action: str, state: str
) -> None:
    """CONTRACT section 5, States: also what this node had claimed already and not begun to send."""
    async with serving(store) as api:
        webhook = await api.webhook(rate_per_second=0.01)
        for number in range(4):
            await api.admin("POST", "/api/v1/events", {"type": "a", "data": number})
        await until_states(api, webhook, "succeeded", "in_flight", "in_flight", "in_flight")
        url = f"{URL}/{webhook['id']}"
        answer = await (api.admin("POST", f"{url}/pause") if action == "pause" else api.admin("DELETE", url))
        await until_states(api, webhook, "succeeded", state, state, state)

    assert answer.status in {200, 204}
    assert len(api.bed.sender.sent) == 1
