"""``POST /webhooks/…`` over a fake engine: SEEDS AF-1 to AF-5."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hookline.engine.manage import triggers
from hookline.engine.manage.start import prepare
from hookline.errors import ConflictError, InputError, StorageError
from hookline.model.states import Kind

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]
    from hookline.model.configuration import Stored, Trigger

pytestmark = pytest.mark.asyncio

AGENT = "/webhooks/agents/support"
WORKFLOW = "/webhooks/workflows/orders"
MESSAGE = {
    "message": "Hello, I need help with my order #12345",
    "user_id": "user_123",
    "metadata": {"source": "contact_form", "priority": "high", "department": "support"},
    "context": {"order_id": "12345", "customer_email": "someone@example.com"},
}
INPUT = {
    "input_data": {"name": "John Doe", "message": "I'm interested in your product"},
    "trigger_source": "contact_form",
    "metadata": {"form_id": "contact_v2", "user_agent": "Mozilla/5.0..."},
}


async def trigger(
    world: World, kind: Kind = Kind.AGENT, auth: dict[str, Any] | None = None, **settings: Any
) -> tuple[Stored[Trigger], str]:
    """Make a trigger; returns it and its token, empty for other credentials."""
    new = triggers.NewTrigger(
        name=None,
        kind=kind,
        automation_id="support" if kind is Kind.AGENT else "orders",
        profile="agenticflow",
        auth=auth or {"type": "token"},
        settings=settings,
    )
    stored, token = await triggers.create_trigger(
        world.services.store,
        world.services.vault,
        world.organization_id,
        new,
        now=world.services.clock.now(),
    )
    return stored, token or ""


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{username}:{password}".encode()).decode()}


async def test_af1_af2_each_of_the_three_places_of_a_credential_works(world: World) -> None:
    _, token = await trigger(world)
    await trigger(world, auth={"type": "basic", "username": "username", "password": "password"})
    answers = [
        await world.call("POST", f"{AGENT}?token={token}", MESSAGE),
        await world.call("POST", f"{AGENT}?a=b&token={token}", MESSAGE),
        await world.call("POST", AGENT, MESSAGE, headers={"Authorization": f"Bearer {token}"}),
        await world.call("POST", AGENT, MESSAGE, headers={"Authorization": f"bearer {token}"}),
        await world.call("POST", AGENT, MESSAGE, headers=basic("username", "password")),
    ]

    assert [answer.status for answer in answers] == [202] * 5


async def test_af2_an_api_key_selects_its_trigger_as_a_token_does(world: World) -> None:
    """CONTRACT section 3: every kind of credential that names a trigger by itself."""
    stored, key = await trigger(world, auth={"type": "api_key"})
    _, other = await trigger(world, Kind.WORKFLOW, auth={"type": "api_key"})
    taken = await world.call("POST", AGENT, MESSAGE, headers={"Api-Key": key})
    refused = [
        await world.call("POST", AGENT, MESSAGE, headers={"Api-Key": other}),
        await world.call("POST", AGENT, MESSAGE, headers={"Api-Key": key + "x"}),
        await world.call("POST", AGENT, MESSAGE, headers={"Api-Key": "ключ".encode().decode("latin-1")}),
        await world.call("POST", f"{AGENT}?token={key}", MESSAGE),
        await world.call("POST", AGENT, MESSAGE, headers={"Authorization": f"Bearer {key}"}),
        await world.call("POST", "/webhooks/agents/nobody", MESSAGE, headers={"Api-Key": key}),
    ]

    assert taken.status == 202
    assert world.services.started[0].trigger_id == stored.id
    assert len({(answer.status, answer.body) for answer in refused}) == 1
    assert refused[0].status == 401


async def test_received_is_the_name_of_a_type(world: World) -> None:
    """AF-5: not what the caller wrote."""
    with pytest.raises(InputError, match=r"There is no auth\.type 'magic' here") as caught:
        await trigger(world, auth={"type": "magic"})

    assert (caught.value.field, caught.value.received) == ("auth.type", "string")


@pytest.mark.parametrize("kind", ["signature", "none"])
async def test_what_names_no_trigger_is_refused_when_it_is_made(world: World, kind: str) -> None:
    """CONTRACT section 3: there the credential alone selects the trigger."""
    with pytest.raises(InputError) as caught:
        await trigger(world, auth={"type": kind, "preset": "github", "secret": "s" * 16})

    assert caught.value.field == "auth.type"
    assert caught.value.expected == "token or basic or api_key"
    assert "profile native" in caught.value.message


async def test_af2_a_token_that_another_system_made_is_accepted(world: World) -> None:
    """AF-X4: ``wh_`` tokens may be imported."""
    await trigger(world, auth={"type": "token", "token": "wh_1234567890abcdef"})

    assert (await world.call("POST", f"{AGENT}?token=wh_1234567890abcdef", MESSAGE)).status == 202


async def test_af3_an_agent_gets_the_whole_body_byte_for_byte(world: World) -> None:
    """P4."""
    _, token = await trigger(world)
    body = b' {"message": "hi\\u0000", "metadata": {"x": 1.0, "big": 12345678901234567890}, "more": []} '
    await world.call("POST", f"{AGENT}?token={token}", body)
    start = world.services.started[0]

    assert start.input == body
    assert start.request is not None
    assert start.request.body == body
    assert (start.organization_id, start.kind, start.source) == (world.organization_id, Kind.AGENT, "trigger")


async def test_af3_a_workflow_gets_its_input_data_byte_for_byte(world: World) -> None:
    _, token = await trigger(world, Kind.WORKFLOW)
    await world.call(
        "POST", f"{WORKFLOW}?token={token}", b'{"input_data" : { "a":1.0 }, "trigger_source":"x"}'
    )

    assert world.services.started[0].input == b'{ "a":1.0 }'


async def test_p19_a_costly_body_is_read_beside_the_loop(roomy_world: World) -> None:
    """Of one megabyte that is walked and written anew; other callers have turns meanwhile."""
    _, token = await trigger(roomy_world, Kind.WORKFLOW)
    body = b'{"input_data":{"lists":[' + b"[]," * 300_000 + b'{"$base64":1}]}}'
    calling = asyncio.create_task(roomy_world.call("POST", f"{WORKFLOW}?token={token}", body))
    turns = 0
    while not calling.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert calling.result().status == 202
    assert turns > 5, "read on the loop itself, there are one or two turns"


async def test_af3_input_data_may_be_absent(world: World) -> None:
    _, token = await trigger(world, Kind.WORKFLOW)
    answer = await world.call("POST", f"{WORKFLOW}?token={token}", {})

    assert answer.status == 202
    assert world.services.started[0].input is None


async def test_af4_the_answer_is_the_seeds(world: World) -> None:
    _, token = await trigger(world, Kind.WORKFLOW)
    answer = await world.call("POST", f"{WORKFLOW}?token={token}", INPUT)
    said = answer.json

    assert answer.status == 202
    assert list(said) == ["success", "message", "execution_id", "status", "estimated_completion"]
    assert (said["success"], said["message"], said["status"]) == (
        True,
        "Webhook processed successfully",
        "queued",
    )
    assert said["execution_id"].startswith("exec_")
    assert said["estimated_completion"] == "2026-01-15T10:30:02.000Z"


async def test_af5_a_missing_message_is_answered_in_the_seeds_words(world: World) -> None:
    _, token = await trigger(world)
    answers = [await world.call("POST", f"{AGENT}?token={token}", body) for body in ({}, {"message": None})]

    for answer in answers:
        assert answer.status == 400
        assert answer.body == (
            b'{"success":false,"error":{"code":"INVALID_INPUT","message":"Required field \'message\' is missing",'
            b'"details":{"field":"message","expected":"string","received":"null"}}}'
        )


@pytest.mark.parametrize(
    ("url", "body", "field", "received"),
    [
        (AGENT, b'{"message":7}', "message", "number"),
        (AGENT, b'{"message":["x"]}', "message", "array"),
        (AGENT, b'{"message":"x","user_id":7}', "user_id", "number"),
        (AGENT, b'{"message":"x","metadata":[]}', "metadata", "array"),
        (AGENT, b'{"message":"x","context":"x"}', "context", "string"),
        (WORKFLOW, b'{"input_data":null}', "input_data", "null"),
        (WORKFLOW, b'{"input_data":[]}', "input_data", "array"),
        (WORKFLOW, b'{"input_data":"x"}', "input_data", "string"),
        (WORKFLOW, b'{"trigger_source":true}', "trigger_source", "boolean"),
        (WORKFLOW, b"", None, "null"),
        (WORKFLOW, b"  ", None, "null"),
        (WORKFLOW, b"null", None, "null"),
        (WORKFLOW, b"[]", None, "array"),
        (WORKFLOW, b'"x"', None, "string"),
        (AGENT, b"", None, "null"),
        (WORKFLOW, b"{", None, None),
        (WORKFLOW, b'{"input_data":{"x":NaN}}', None, None),
        (WORKFLOW, b'{"input_data":{"x":"\\udfff"}}', None, None),
        (WORKFLOW, b'{"input_data":{"x":"\xff"}}', None, None),
        (WORKFLOW, b'{"input_data":{"x":"\x00"}}', None, None),
        (WORKFLOW, b'{"input_data":' + b'{"x":' * 200 + b"1" + b"}" * 201, None, None),
    ],
)
async def test_af5_a_bad_body_is_400_and_kept_with_the_reason(
    world: World, url: str, body: bytes, field: str | None, received: str | None
) -> None:
    stored, token = await trigger(world, Kind.AGENT if url == AGENT else Kind.WORKFLOW)
    answer = await world.call("POST", f"{url}?token={token}", body)
    (kept,) = world.services.kept

    assert answer.status == 400
    assert answer.json["success"] is False
    assert answer.details["field"] == field
    assert received is None or answer.details["received"] == received
    assert (kept.trigger_id, kept.status, kept.body) == (stored.id, 400, body)
    assert kept.reason is not None
    assert kept.reason.startswith(answer.code)


async def test_a_wrong_credential_is_401_whether_the_automation_exists_or_not(world: World) -> None:
    """P14: not one byte tells them apart; 404 is never said."""
    _, token = await trigger(world)
    await trigger(world, auth={"type": "basic", "username": "u", "password": "password"})
    refused = [
        await world.call("POST", f"{place}{query}", MESSAGE, headers=headers)
        for place in (
            AGENT,
            "/webhooks/agents/nobody",
            "/webhooks/workflows/nothing",
            "/webhooks/agents/",
            WORKFLOW,
        )
        for query in ("", "?token=", "?token=wht_wrong", "?token=%ff", f"?token={token}x")
        for headers in ({}, {"Authorization": "Bearer x"}, basic("u", "wrong"), {"Authorization": "Basic %"})
    ]
    elsewhere = await world.call("POST", f"/webhooks/agents/other?token={token}", MESSAGE)
    swapped = await world.call("POST", f"/webhooks/workflows/support?token={token}", MESSAGE)

    assert {(answer.status, answer.body) for answer in [*refused, elsewhere, swapped]} == {
        (401, refused[0].body)
    }
    assert world.services.started == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_post_starts_something(world: World, method: str) -> None:
    answer = await world.call(method, AGENT)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_equal_basic_credentials_on_one_route_are_a_conflict(world: World) -> None:
    """Others are not: another password, another route."""
    same = {"type": "basic", "username": "u", "password": "password"}
    await trigger(world, auth=same)
    await trigger(world, auth=same | {"password": "password2"})
    await trigger(world, Kind.WORKFLOW, auth=same)

    with pytest.raises(ConflictError):
        await trigger(world, auth=same)


async def test_a_trigger_takes_so_many_requests_a_second(world: World) -> None:
    """50 in any second, then 429 with Retry-After; refused ones do not count."""
    _, token = await trigger(world)
    first = [(await world.call("POST", f"{AGENT}?token={token}", MESSAGE)).status for _ in range(50)]
    over = await world.call("POST", f"{AGENT}?token={token}", MESSAGE)
    world.services.clock.seconds += 1.001
    later = await world.call("POST", f"{AGENT}?token={token}", MESSAGE)

    assert set(first) == {202}
    assert (over.status, over.code, over.headers["retry-after"]) == (429, "RATE_LIMITED", "1")
    assert later.status == 202


async def test_a_triggers_own_rate_counts(world: World) -> None:
    _, token = await trigger(world, rate_per_second=0.5)
    statuses = [(await world.call("POST", f"{AGENT}?token={token}", MESSAGE)).status for _ in range(2)]

    assert statuses == [202, 429]


async def test_a_flood_of_unknown_callers_is_not_all_kept(world: World) -> None:
    await prepare(world.services.store, world.services.vault, clock=world.services.clock)
    for _ in range(50):
        await world.call("POST", f"{AGENT}?token=wrong", MESSAGE)

    assert 0 < len(world.services.kept) <= 5
    assert {request.trigger_id for request in world.services.kept} == {None}


async def test_a_key_makes_a_request_happen_once(world: World) -> None:
    """P5."""
    _, token = await trigger(world)
    headers = {"Idempotency-Key": "delivery-1"}
    first = await world.call("POST", f"{AGENT}?token={token}", MESSAGE, headers=headers)
    second = await world.call("POST", f"{AGENT}?token={token}", MESSAGE, headers=headers)
    other = await world.call("POST", f"{AGENT}?token={token}", {"message": "other"}, headers=headers)

    assert (second.status, second.body) == (202, first.body)
    assert second.headers["idempotent-replayed"] == "true"
    assert other.status == 409
    assert len(world.services.started) == 1


@pytest.mark.parametrize(
    ("dedupe", "one", "same", "another"),
    [
        (
            {"header": "X-Delivery"},
            ({"X-Delivery": "1"}, {"message": "a"}),
            ({"X-Delivery": "1"}, {"message": "b"}),
            ({"X-Delivery": "2"}, {"message": "a"}),
        ),
        (
            {"path": "metadata.id"},
            ({}, {"message": "a", "metadata": {"id": 1}}),
            ({}, {"message": "b", "metadata": {"id": 1}}),
            ({}, {"message": "a", "metadata": {"id": 2}}),
        ),
    ],
)
async def test_a_trigger_dedupes_by_what_its_sender_names(
    world: World, dedupe: dict[str, Any], one: Any, same: Any, another: Any
) -> None:
    _, token = await trigger(world, dedupe=dedupe)
    answers = [
        await world.call("POST", f"{AGENT}?token={token}", body, headers=headers)
        for headers, body in (one, same, another)
    ]

    assert answers[0].body == answers[1].body
    assert len(world.services.started) == 2


async def test_requests_without_a_mark_are_never_taken_for_repeats(world: World) -> None:
    _, token = await trigger(world, dedupe={"header": "X-Delivery"})
    for _ in range(3):
        await world.call("POST", f"{AGENT}?token={token}", MESSAGE)

    assert len(world.services.started) == 3


async def test_no_credential_reaches_the_record_or_the_code(world: World) -> None:
    """P13."""
    _, token = await trigger(world)
    await world.call(
        "POST",
        f"{AGENT}?token={token}&x=1",
        MESSAGE,
        headers={"Authorization": f"Bearer {token}", "Cookie": "session=topsecret", "X-Request-Id": "7"},
    )
    start = world.services.started[0]
    assert start.trigger is not None
    assert start.request is not None
    shown = json.loads(start.trigger)
    stored = repr(start.request) + start.trigger.decode()

    assert token not in stored
    assert "topsecret" not in stored
    assert shown["headers"]["x-request-id"] == "7"
    assert shown["query_parameters"] == {"x": "1"}
    assert shown["body"]["data"] == MESSAGE


async def test_a_rotated_token_works_on_for_its_time(world: World) -> None:
    stored, old = await trigger(world)
    _, new = await triggers.rotate(
        world.services.store,
        world.services.vault,
        world.organization_id,
        stored.id,
        secret=None,
        overlap=timedelta(seconds=60),
        now=world.services.clock.now(),
    )
    during = [(await world.call("POST", f"{AGENT}?token={token}", MESSAGE)).status for token in (old, new)]
    world.services.clock.seconds = 60
    after = [(await world.call("POST", f"{AGENT}?token={token}", MESSAGE)).status for token in (old, new)]

    assert (during, after) == ([202, 202], [401, 202])


async def test_a_disabled_trigger_answers_like_a_missing_one(world: World) -> None:
    stored, token = await trigger(world)
    unknown = await world.call("POST", f"{AGENT}?token=unknown", MESSAGE)
    await triggers.update_trigger(
        world.services.store,
        world.organization_id,
        stored.id,
        name=None,
        is_enabled=False,
        settings={},
        now=world.services.clock.now(),
    )
    answer = await world.call("POST", f"{AGENT}?token={token}", MESSAGE)

    assert (answer.status, answer.body) == (401, unknown.body)
    assert world.services.kept[-1].trigger_id == stored.id


async def test_only_listed_addresses_get_in(world: World) -> None:
    _, token = await trigger(world, ip_allowlist=["192.0.2.0/24", "2001:db8::1"])
    statuses = [
        (await world.call("POST", f"{AGENT}?token={token}", MESSAGE, address=address)).status
        for address in ("192.0.2.9", "2001:db8::1", "198.51.100.1", "")
    ]

    assert statuses == [202, 202, 403, 403]


async def test_an_automation_that_is_gone_is_503_never_404(world: World) -> None:
    _, token = await trigger(world)
    world.services.automations = ()
    answer = await world.call("POST", f"{AGENT}?token={token}", MESSAGE)

    assert (answer.status, answer.code) == (503, "AUTOMATION_UNAVAILABLE")
    assert "retry-after" in answer.headers


async def test_what_is_not_stored_is_never_a_202(world: World) -> None:
    """P1."""
    _, token = await trigger(world)
    world.services.failure = StorageError("away")
    answer = await world.call("POST", f"{AGENT}?token={token}", MESSAGE)

    assert answer.status == 503
    assert world.services.kept == []


async def test_size_and_type_are_checked_like_everywhere(world: World) -> None:
    _, token = await trigger(world)
    large = await world.call("POST", f"{AGENT}?token={token}", chunks=[b"x" * 40_000] * 2)
    form = await world.call(
        "POST",
        f"{AGENT}?token={token}",
        b"message=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (large.status, form.status) == (413, 415)
    assert len(world.services.kept) == 2
