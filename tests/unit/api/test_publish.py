"""``POST /api/v1/events`` over a fake engine: what is stored, what is answered, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hookline.errors import StorageError
from hookline.model.executions import Execution
from hookline.model.ids import new_key, public
from hookline.model.states import Kind, Scope

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]

pytestmark = pytest.mark.asyncio

URL = "/api/v1/events"
EVENT = {"type": "order.paid", "data": {"total": 12}}


async def test_a_single_event_is_accepted_with_its_id(world: World) -> None:
    answer = await world.call("POST", URL, EVENT | {"id": "order-17"}, headers=await world.key(Scope.WRITE))

    assert answer.status == 202
    assert answer.json == {"id": "order-17", "status": "accepted", "duplicate": False}


async def test_a_named_event_is_never_two(world: World) -> None:
    """P5: the answer says that it was there before."""
    key = await world.key(Scope.WRITE)
    await world.call("POST", URL, EVENT | {"id": "order-17"}, headers=key)
    again = await world.call("POST", URL, {"events": [EVENT | {"id": "order-17"}, EVENT]}, headers=key)

    assert [event["duplicate"] for event in again.json["events"]] == [True, False]


@pytest.mark.parametrize(
    "data",
    [
        rb'{ "b":1.0,  "a": 1e-7, "b": "\u00e9\u0000" }',
        b"12345678901234567890123",
        b'"text"',
        b"null",
        b"[]",
        '{"ключ":"значение"}'.encode(),
    ],
)
async def test_data_is_kept_byte_for_byte(world: World, data: bytes) -> None:
    """P4."""
    body = b' {"data":' + data + b',"type":"a"} '
    answer = await world.call("POST", URL, body, headers=await world.key(Scope.WRITE))

    assert answer.status == 202
    assert world.services.published[0].data == data


async def test_every_field_reaches_the_engine(world: World) -> None:
    execution = Execution(
        id=new_key(),
        organization_id=world.organization_id,
        kind=Kind.WORKFLOW,
        automation_id="orders",
        automation_name="Orders",
        created_at=datetime.now(UTC),
    )
    world.services.store.executions[execution.id] = execution
    body = EVENT | {
        "timestamp": "2026-01-15T10:30:00.1234+01:00",
        "execution_id": public("execution", execution.id),
        "ordering_key": "customer 7",
    }
    await world.call("POST", URL, body, headers=await world.key(Scope.WRITE))
    draft = world.services.published[0]

    assert draft.occurred_at == datetime(2026, 1, 15, 9, 30, 0, 123_000, UTC)
    assert (draft.execution_id, draft.ordering_key) == (execution.id, "customer 7")


async def test_another_organizations_execution_is_missing(world: World) -> None:
    """P14."""
    foreign = Execution(
        id=new_key(),
        organization_id=new_key(),
        kind=Kind.WORKFLOW,
        automation_id="orders",
        automation_name="Orders",
        created_at=datetime.now(UTC),
    )
    world.services.store.executions[foreign.id] = foreign
    key = await world.key(Scope.WRITE)
    answers = [
        await world.call("POST", URL, EVENT | {"execution_id": public("execution", id)}, headers=key)
        for id in (foreign.id, new_key())
    ]

    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].body == answers[1].body


async def test_a_repeated_key_gets_the_first_answer(world: World) -> None:
    """P5: one event, equal answers, the second one marked."""
    key = await world.key(Scope.WRITE) | {"Idempotency-Key": "k"}
    first = await world.call("POST", URL, EVENT, headers=key)
    second = await world.call("POST", URL, EVENT, headers=key)
    other = await world.call("POST", URL, EVENT | {"id": "x"}, headers=key)

    assert (first.status, first.body) == (second.status, second.body)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert len(world.services.published) == 1


@pytest.mark.parametrize("scope", [Scope.READ, Scope.TRIGGER])
async def test_publishing_needs_the_write_scope(world: World, scope: Scope) -> None:
    answer = await world.call("POST", URL, EVENT, headers=await world.key(scope))

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}],
)
async def test_without_a_valid_key_nothing_is_read(world: World, headers: dict[str, str]) -> None:
    answer = await world.call("POST", URL, b"{", headers=headers)

    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


async def test_a_revoked_and_an_expired_key_are_no_keys(world: World) -> None:
    now = world.services.clock.now()
    revoked = await world.key(Scope.WRITE, revoked_at=now)
    expired = await world.key(Scope.WRITE, expires_at=now)
    living = await world.key(Scope.WRITE, expires_at=now + timedelta(seconds=1))
    statuses = [
        (await world.call("POST", URL, EVENT, headers=key)).status for key in (revoked, expired, living)
    ]

    assert statuses == [401, 401, 202]


BAD: list[tuple[bytes, str, str | None]] = [
    (b"", "INVALID_JSON", None),
    (b"{", "INVALID_JSON", None),
    (b"\xef\xbb\xbf{}", "INVALID_JSON", None),
    (b'{"type":"a","data":1}x', "INVALID_JSON", None),
    (b"null", "INVALID_INPUT", None),
    (b"[]", "INVALID_INPUT", None),
    (b"{}", "INVALID_INPUT", "type"),
    (b'{"type":"a"}', "INVALID_INPUT", "data"),
    (b'{"type":1,"data":1}', "INVALID_INPUT", "type"),
    (b'{"type":"","data":1}', "INVALID_INPUT", "type"),
    (b'{"type":"a b","data":1}', "INVALID_INPUT", "type"),
    (b'{"type":"a.*","data":1}', "INVALID_INPUT", "type"),
    (b'{"type":"a\\u0000","data":1}', "INVALID_INPUT", "type"),
    (b'{"type":"a","data":NaN}', "INVALID_JSON", None),
    (b'{"type":"a","data":1e999}', "INVALID_JSON", "data"),
    (b'{"type":"a","data":"\\ud800"}', "INVALID_JSON", None),
    (b'{"type":"a","data":"\xff"}', "INVALID_UTF8", "data"),
    (b'{"type":"a","data":"\x00"}', "INVALID_JSON", None),
    (b'{"type":"\xff","data":1}', "INVALID_UTF8", None),
    (b'{"type":"a","data":' + b"[" * 200 + b"]" * 200 + b"}", "JSON_TOO_DEEP", "data"),
    (b'{"type":"a","data":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "JSON_TOO_DEEP", None),
    (b'{"type":"a","data":1,"id":"a b"}', "INVALID_INPUT", "id"),
    (b'{"type":"a","data":1,"id":7}', "INVALID_INPUT", "id"),
    (b'{"type":"a","data":1,"id":"' + b"x" * 129 + b'"}', "INVALID_INPUT", "id"),
    (b'{"type":"a","data":1,"timestamp":"yesterday"}', "INVALID_INPUT", "timestamp"),
    (b'{"type":"a","data":1,"execution_id":"exec_1"}', "INVALID_INPUT", "execution_id"),
    (b'{"type":"a","data":1,"ordering_key":"\\u0000"}', "INVALID_INPUT", "ordering_key"),
    (b'{"type":"a","data":1,"orderingKey":"x"}', "UNKNOWN_FIELD", "orderingKey"),
    (b'{"events":[]}', "INVALID_INPUT", "events"),
    (b'{"events":{}}', "INVALID_INPUT", "events"),
    (b'{"events":[1]}', "INVALID_INPUT", "events.0"),
    (b'{"events":[{"type":"a","data":1},{"type":"a"}]}', "INVALID_INPUT", "events.1.data"),
    (b'{"events":[{"type":"a","data":1e999}]}', "INVALID_JSON", "events.0.data"),
    (b'{"events":[{"type":"a","data":1}],"type":"a"}', "UNKNOWN_FIELD", "type"),
    (b'{"events":[' + b",".join([b'{"type":"a","data":1}'] * 1001) + b"]}", "INVALID_INPUT", "events"),
]


@pytest.mark.parametrize(
    ("body", "code", "field"), BAD, ids=[body[:40].decode("latin-1") for body, _, _ in BAD]
)
async def test_bad_input_is_400_and_names_the_field(
    world: World, body: bytes, code: str, field: str | None
) -> None:
    """AF-5's body, never a 500."""
    answer = await world.call("POST", URL, body, headers=await world.key(Scope.WRITE))

    assert (answer.status, answer.code) == (400, code)
    assert set(answer.details) == {"field", "expected", "received"}
    if field is not None:
        assert answer.details["field"] == field
    assert world.services.published == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 202),
        ({"Content-Type": "application/vnd.api+json"}, 202),
        ({}, 202),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_only_plain_json_is_read(world: World, headers: dict[str, str], status: int) -> None:
    body = json.dumps(EVENT).encode()
    answer = await world.call("POST", URL, body, headers=await world.key(Scope.WRITE) | headers)

    assert answer.status == status


async def test_a_body_past_the_cap_is_413_however_it_comes(world: World) -> None:
    """P19: by its declared size before a byte is read, and while it streams."""
    key = await world.key(Scope.WRITE)
    declared = await world.call("POST", URL, chunks=[], headers=key | {"Content-Length": "65537"})
    streamed = await world.call("POST", URL, chunks=[b"x" * 40_000] * 3, headers=key)

    assert [declared.status, streamed.status] == [413, 413]
    assert world.front.budget.held_bytes == 0
    assert world.front.budget.under_way == 0


async def test_too_many_bytes_at_once_are_told_to_come_back(world: World) -> None:
    """P19."""
    world.front.budget.most_held_bytes = 10
    answer = await world.call("POST", URL, EVENT, headers=await world.key(Scope.WRITE))

    assert (answer.status, answer.code) == (503, "OVERLOADED")
    assert answer.headers["retry-after"] == "1"


async def test_a_caller_that_leaves_is_not_answered(world: World) -> None:
    answer = await world.call("POST", URL, b'{"type"', headers=await world.key(Scope.WRITE), leaves=True)

    assert answer.status == 0
    assert world.front.budget.under_way == 0


async def test_what_is_not_stored_is_never_a_2xx(world: World) -> None:
    """P1, P19."""
    world.services.failure = StorageError("the database is away")
    answer = await world.call("POST", URL, EVENT, headers=await world.key(Scope.WRITE))

    assert (answer.status, answer.code) == (503, "STORAGE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_defect_of_ours_tells_nothing(world: World, capsys: Any) -> None:
    world.services.failure = RuntimeError("a secret of ours")
    answer = await world.call("POST", URL, EVENT, headers=await world.key(Scope.WRITE))

    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert b"secret of ours" not in answer.body
    assert "a secret of ours" in capsys.readouterr().out


async def test_other_methods_and_paths_are_the_management_applications(world: World) -> None:
    assert (await world.call("GET", URL)).status == 299
    assert (await world.call("POST", URL + "/")).status == 299


@pytest.mark.parametrize("url", [URL + "?x=%00", "/webhooks/agents/a%00b"])
async def test_a_nul_in_the_url_is_400(world: World, url: str) -> None:
    answer = await world.call("POST", url, EVENT, headers=await world.key(Scope.WRITE))

    assert answer.status == 400


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode().decode("latin-1")])
async def test_a_strange_idempotency_key_is_400(world: World, key: str) -> None:
    headers = await world.key(Scope.WRITE) | {"Idempotency-Key": key}
    answer = await world.call("POST", URL, EVENT, headers=headers)

    assert (answer.status, answer.details["field"]) == (400, "Idempotency-Key")
