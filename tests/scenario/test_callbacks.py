"""Callbacks: the end of an execution goes to the address that its own caller named (CONTRACT section 3)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import serving
from engine_bed import ORDERS, SUPPORT

from hookline import receiver
from hookline.model.configuration import Webhook
from hookline.model.executions import Failure
from hookline.model.ids import parse
from hookline.model.states import Origin
from hookline.ports.runner import Failed, Succeeded
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from api_bed import Api

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.ports.sender import Answer, Outgoing

pytestmark = pytest.mark.asyncio

URL = "https://caller.example.com/done?run=1"
TRIGGERS = "/api/v1/triggers"


async def fail(_: RunJob, __: RunListener) -> Outcome:
    return Failed(failure=Failure(code="FAILED", message="no such order"))


async def post(api: Api, trigger: dict[str, Any], body: object, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.anyone("POST", trigger["path"], body, headers=given)


async def deliveries(api: Api, *, of_state: str, count: int = 1) -> list[dict[str, Any]]:
    """All deliveries, once as many as that are in one of the states."""
    async with asyncio.timeout(8):
        while True:
            found: list[dict[str, Any]] = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"]
            if sum(one["state"] in of_state for one in found) >= count:
                return found
            await asyncio.sleep(0.01)


async def ended_deliveries(api: Api, count: int = 1) -> list[dict[str, Any]]:
    return await deliveries(api, of_state="succeeded exhausted cancelled", count=count)


async def test_the_end_goes_to_the_address_in_the_body_signed_with_the_triggers_own_secret(
    store: Store,
) -> None:
    """CONTRACT section 3: `callback_url` in an AgenticFlow body; delivered and signed like any webhook's."""
    async with serving(store, sender=(sender := FakeSender())) as api:
        trigger = await api.trigger(callbacks=True)
        answer = await post(api, trigger, {"input_data": {"a": 1}, "callback_url": URL})
        (request,) = await sender.received(1)
        event = receiver.verify(request.body, request.headers, trigger["callback_secret"])
        (delivery,) = await ended_deliveries(api)
        listed = (await api.admin("GET", "/api/v1/webhooks")).json["webhooks"]

    assert answer.status == 202
    assert request.url == URL
    assert event["event"] == "workflow.execution.completed"
    assert event["data"]["execution_id"] == answer.json["execution_id"]
    assert delivery["state"] == "succeeded"
    assert listed == [], "its target is hidden"


async def test_the_header_does_the_same_and_goes_before_the_body(store: Store) -> None:
    """CONTRACT section 3: header `Hookline-Callback`."""
    async with serving(store, sender=(sender := FakeSender())) as api:
        trigger = await api.trigger(callbacks=True)
        await post(api, trigger, {"callback_url": "https://other.example.com/"}, Hookline_Callback=URL)
        (request,) = await sender.received(1)

    assert request.url == URL


async def test_a_registered_webhook_gets_the_event_besides(store: Store) -> None:
    async with serving(store, sender=(sender := FakeSender())) as api:
        await api.webhook(events=["workflow.execution.*"])
        trigger = await api.trigger(callbacks=True)
        await post(api, trigger, {"callback_url": URL})
        sent = await sender.received(3)

    told = [(one.url, json.loads(one.body)["event"]) for one in sent]
    assert sorted(told) == [
        (URL, "workflow.execution.completed"),
        ("https://receiver.example.com/hook", "workflow.execution.completed"),
        ("https://receiver.example.com/hook", "workflow.execution.started"),
    ]


async def test_a_failed_run_is_told_as_one(store: Store) -> None:
    async with serving(store, sender=(sender := FakeSender()), work={ORDERS: fail}) as api:
        await post(api, await api.trigger(callbacks=True), {"callback_url": URL})
        (request,) = await sender.received(1)

    assert json.loads(request.body)["event"] == "workflow.execution.failed"


async def test_an_agents_answer_goes_back_and_nothing_else_of_its_conversation(store: Store) -> None:
    async def reply(_: RunJob, __: RunListener) -> Outcome:
        return Succeeded(output=b'"hello"', resolution=b'{"type":"solved"}')

    async with serving(store, sender=(sender := FakeSender()), work={SUPPORT: reply}) as api:
        trigger = await api.trigger(kind="agent", callbacks=True)
        await post(api, trigger, {"message": "hi", "callback_url": URL})
        await ended_deliveries(api)

    assert [json.loads(one.body)["event"] for one in sender.sent] == ["agent.message.sent"]


async def test_it_is_tried_again_and_never_changes_how_the_run_ended(store: Store) -> None:
    """P7, P2: on the schedule, with the same bytes, until it is answered or visibly given up."""
    answers: list[Answer] = [refused(500), refused(503), OK]
    sender = FakeSender(lambda _: answers.pop(0))
    async with serving(store, sender=sender) as api:
        answer = await post(api, await api.trigger(callbacks=True), {"callback_url": URL})
        sent = await sender.received(3)
        shown = await api.admin("GET", f"/api/v1/executions/{answer.json['execution_id']}")
        (delivery,) = await ended_deliveries(api)

    assert {one.url for one in sent} == {URL}
    assert len({one.body for one in sent}) == 1
    assert shown.json["status"] == "succeeded"
    assert (delivery["state"], delivery["attempts_made"]) == ("succeeded", 3)


async def test_an_address_that_is_gone_ends_its_own_delivery_and_no_others(store: Store) -> None:
    """P8: 410 disables a webhook; a callback's address was named for one execution."""

    def answer(request: Outgoing) -> Answer:
        return refused(410) if request.url.endswith("/gone") else OK

    async with serving(store, sender=FakeSender(answer)) as api:
        trigger = await api.trigger(callbacks=True)
        await post(api, trigger, {"callback_url": "https://caller.example.com/gone"})
        await ended_deliveries(api)
        await post(api, trigger, {"callback_url": URL})
        found = await ended_deliveries(api, 2)

    assert [(one["state"], one["state_reason"]) for one in found] == [
        ("succeeded", None),
        ("exhausted", "gone"),
    ]


async def test_one_that_asks_for_a_rest_rests_nobody_else(store: Store) -> None:
    """P10: the answers of one address say nothing of the next."""

    def answer(request: Outgoing) -> Answer:
        return refused(503, ("retry-after", "3600")) if request.url.endswith("/busy") else OK

    async with serving(store, sender=(sender := FakeSender(answer))) as api:
        trigger = await api.trigger(callbacks=True)
        await post(api, trigger, {"callback_url": "https://caller.example.com/busy"})
        await sender.received(1)
        await post(api, trigger, {"callback_url": URL})
        sent = await sender.received(2)

    assert sent[-1].url == URL


async def test_where_they_are_off_the_field_is_data_and_the_header_is_refused(store: Store) -> None:
    async with serving(store, sender=(sender := FakeSender())) as api:
        trigger = await api.trigger()
        taken = await post(api, trigger, {"input_data": {}, "callback_url": URL})
        refusal = await post(api, trigger, {"input_data": {}}, Hookline_Callback=URL)
        execution = parse("execution", taken.json["execution_id"])
        assert execution is not None
        await api.bed.node.endings.join(execution, 5)
        found = (await api.admin("GET", "/api/v1/deliveries")).json["deliveries"]

    assert taken.status == 202
    assert (refusal.status, refusal.code) == (400, "CALLBACKS_OFF")
    assert (found, sender.sent) == ([], [])


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/x", "ADDRESS_REFUSED"),
        ("http://[::1]/x", "ADDRESS_REFUSED"),
        ("http://169.254.169.254/latest", "INVALID_URL"),
        ("http://2130706433/", "INVALID_URL"),
        ("ftp://caller.example.com/", "INVALID_URL"),
        ("https://u:p@caller.example.com/", "INVALID_URL"),
        (7, "INVALID_URL"),
        ("", "INVALID_URL"),
    ],
)
async def test_an_address_that_may_not_be_called_is_refused_before_anything_is_stored(
    store: Store, url: object, code: str
) -> None:
    """P11: and what a name leads to is judged at every attempt, by the sender."""
    async with serving(store) as api:
        answer = await post(api, await api.trigger(callbacks=True), {"callback_url": url})
        stored = (await api.admin("GET", "/api/v1/executions")).json["executions"]

    assert (answer.status, answer.code, answer.details["field"]) == (400, code, "callback_url")
    assert stored == []


async def test_the_secret_is_shown_once_and_each_time_they_are_switched_on(store: Store) -> None:
    async with serving(store) as api:
        trigger = await api.trigger()
        path = f"{TRIGGERS}/{trigger['id']}"
        on = (await api.admin("PATCH", path, {"callbacks": True})).json
        again = (await api.admin("PATCH", path, {"callbacks": True})).json
        shown = (await api.admin("GET", path)).json
        off = (await api.admin("PATCH", path, {"callbacks": False})).json
        anew = (await api.admin("PATCH", path, {"callbacks": True})).json
        targets = await store.list(Webhook, organization_id=None)

    assert "callback_secret" not in trigger
    assert on["callback_secret"].startswith("whsec_")
    assert (shown["callbacks"], off["callbacks"]) == (True, False)
    assert [one for one in (again, shown, off) if "callback_secret" in one] == []
    assert anew["callback_secret"] != on["callback_secret"]
    assert [one.document.origin for one in targets] == [Origin.CALLBACK]


@pytest.mark.parametrize("by", ["PATCH", "DELETE"])
async def test_switching_off_or_deleting_ends_what_waits(store: Store, by: str) -> None:
    """P24: nothing more is sent, and what was owed is visibly cancelled."""
    async with serving(store, sender=(sender := FakeSender(lambda _: refused(500)))) as api:
        # The next try is far away.
        api.bed.node.deliverer._outcomes._time_scale = 1.0
        trigger = await api.trigger(callbacks=True)
        await post(api, trigger, {"callback_url": URL})
        await sender.received(1)
        await deliveries(api, of_state="pending")
        await api.admin(by, f"{TRIGGERS}/{trigger['id']}", {"callbacks": False} if by == "PATCH" else b"")
        (delivery,) = await ended_deliveries(api)
        targets = await store.list(Webhook, organization_id=None)

    assert (delivery["state"], targets) == ("cancelled", [])


@pytest.mark.parametrize(
    "auth", [{"type": "none"}, {"type": "signature", "preset": "github", "secret": "s" * 20}]
)
async def test_a_trigger_whose_callers_are_not_known_takes_none(store: Store, auth: dict[str, str]) -> None:
    """CONTRACT section 3: never on auth `none` or presets."""
    async with serving(store) as api:
        body = {
            "automation": {"kind": "workflow", "id": "orders"},
            "profile": "native",
            "auth": auth,
            "callbacks": True,
        }
        answer = await api.admin("POST", TRIGGERS, body)

    assert (answer.status, answer.details["field"]) == (400, "callbacks")


async def test_it_survives_the_node_that_owed_it(store: Store) -> None:
    """K6: what a node held when it died is sent by the next one, to the same address."""
    hang = asyncio.Event()

    async def never(_: Outgoing) -> Answer:
        await hang.wait()
        return OK

    async with serving(store, sender=(first := FakeSender(never))) as api:
        await post(api, await api.trigger(callbacks=True), {"callback_url": URL})
        await first.received(1)
        key = api.key
        await api.bed.node.lease.close()
        async with serving(store, sender=(second := FakeSender()), key=key) as other:
            (request,) = await second.received(1, within=10)
            await ended_deliveries(other)
        hang.set()

    assert request.url == URL
