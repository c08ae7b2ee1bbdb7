"""Requests to the URLs of instances, through the whole API: routed, admitted, asked first, kept when none fits."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL, echo
from instance_bed import ACME, ACME_ORDERS, ALL, SHARED, SINGLE, Instances, integrated

from hookline.core.calling import FLOW, Call, awaited
from hookline.errors import StorageError
from hookline.model.executions import JournalEntry, QueueRule
from hookline.model.ids import parse
from hookline.model.integrations import Handler, Security
from hookline.ports.runner import OpenWait, Succeeded, Suspended

if TYPE_CHECKING:
    from asgi import Reply

    from hookline.model.executions import Execution
    from hookline.ports import Store
    from hookline.ports.runner import CallJob, Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio


async def send(acme: Instances, url: str, body: Any = b"", method: str = "POST", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await acme.api.anyone(method, url.removeprefix(PUBLIC_URL), body, headers=named)


async def executions(acme: Instances, flow: str = "orders") -> list[Execution]:
    """The runs of a flow as they are stored, newest first, once they have ended."""
    async with asyncio.timeout(8):
        while True:
            runs = [run for run in await acme.runs() if run["automation"]["id"] == f"acme.{flow}"]
            if all(run["status"] in {"succeeded", "failed"} for run in runs):
                break
            await asyncio.sleep(0.01)
    found = []
    for run in runs:
        stored = await acme.api.bed.node.store.execution(
            parse("execution", run["id"]) or b"", organization_id=None
        )
        assert stored is not None
        found.append(stored)
    return found


async def kept(acme: Instances) -> list[dict[str, Any]]:
    listed = (await acme.api.admin("GET", "/api/v1/requests?refused=true")).json["requests"]
    return [(await acme.api.admin("GET", f"/api/v1/requests/{one['id']}")).json for one in listed]


async def test_a_flow_sees_its_customer_instance_and_urls(store: Store) -> None:
    """PR-2, PR-11, PR-15: the answer is the execution's id; ``ctx.trigger`` shows where the request belongs."""
    async with integrated(store) as acme:
        made = await acme.made(customer={"external_id": "c-1", "name": "One"})
        answer = await send(acme, made["webhook_urls"]["orders"] + "/a/b?x=1", {"id": 17})
        (run,) = await executions(acme)

    shown = msgspec.json.decode(run.trigger or b"")
    assert (answer.status, set(answer.json)) == (200, {"executionId"})
    assert (run.input, run.output) == (b'{"id": 17}', b'{"id": 17}')
    assert {name: shown["customer"][name] for name in ("external_id", "name")} == {
        "external_id": "c-1",
        "name": "One",
    }
    assert (shown["instance"]["id"], shown["flow"]["name"]) == (made["id"], "orders")
    assert shown["webhook_urls"] == made["webhook_urls"]
    assert shown["invoke_url"] == made["webhook_urls"]["orders"]
    assert (shown["path_fragment"], shown["query_parameters"]) == ("a/b", {"x": "1"})


async def test_an_instances_url_takes_the_flow_from_a_header(store: Store) -> None:
    """PR-8, PR-16: instance specific."""
    async with integrated(store, SINGLE) as acme:
        made = await acme.made()
        url = made["webhook_urls"]["orders"]
        answers = [await send(acme, url, {}, X_Flow=flow) for flow in ("orders", "invoices", "other")]
        runs = [len(await executions(acme, flow)) for flow in ("orders", "invoices")]

    assert [answer.status for answer in answers] == [200, 200, 404]
    assert runs == [1, 1]


async def test_a_shared_url_takes_customer_and_flow_from_the_request(store: Store) -> None:
    """PR-8, PR-16: shared: the run belongs to the customer's instance, with that one's config."""
    seen: list[Any] = []

    async def look(job: RunJob, _: RunListener) -> Succeeded:
        seen.append(msgspec.json.decode(job.private or b""))
        return Succeeded(output=b"null")

    async with integrated(store, SHARED, work={ACME_ORDERS: look}) as acme:
        await acme.made("c-1", config={"token": "one"})
        two = await acme.made("c-2", config={"token": "two"})
        answer = await send(acme, two["invoke_url"], {"tenant": "c-2"}, X_Flow="orders")
        (run,) = await executions(acme)

    assert answer.status == 200
    assert msgspec.json.decode(run.trigger or b"")["customer"]["external_id"] == "c-2"
    assert [private["config"]["token"] for private in seen] == ["two"]
    assert b"two" not in (run.trigger or b"")


async def test_what_cannot_be_routed_is_404_and_kept_whole(store: Store) -> None:
    """PR-X8: never a 200 without an execution; the request is there to be routed again, with the reason."""
    body = {"tenant": "nobody", "data": "x" * 200_000}
    async with integrated(store, SHARED) as acme:
        made = await acme.made("c-1")
        answer = await send(acme, made["invoke_url"], body, X_Flow="orders")
        many = await asyncio.gather(
            *(send(acme, made["invoke_url"], {"tenant": number}, X_Flow="orders") for number in range(20))
        )
        requests = await kept(acme)
        runs = await executions(acme)

    assert (answer.status, answer.code) == (404, "UNROUTABLE")
    assert {one.status for one in many} == {404}
    assert runs == []
    assert len(requests) == 21
    first = requests[-1]
    assert first["reason"] == "unroutable: there is no instance of customer 'nobody'"
    assert (first["status"], json.loads(first["body"])) == (404, body)


async def test_an_unroutable_request_that_cannot_be_kept_is_503(store: Store) -> None:
    """P1, PR-X8: the sender is told to come again, since nothing remembers the request."""
    async with integrated(store, SHARED) as acme:
        made = await acme.made("c-1")

        async def away(*_: Any, **__: Any) -> Any:
            raise StorageError("The database is away.")

        acme.api.bed.node.committer.commit = away  # type: ignore[method-assign]
        answer = await send(acme, made["invoke_url"], {}, X_Flow="orders")
        del acme.api.bed.node.committer.commit

    assert answer.status == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"])
async def test_a_disabled_instance_is_as_if_it_were_not_there(store: Store, method: str) -> None:
    """PR-X8: unknown, disabled and removed are one 404, whatever the method."""
    async with integrated(store) as acme:
        made = await acme.made()
        url = made["webhook_urls"]["orders"]
        await acme.act(made, "disable")
        disabled = await send(acme, url, {}, method)
        await acme.act(made, method="DELETE")
        removed = await send(acme, url, {}, method)
        unknown = await send(acme, f"{PUBLIC_URL}/trigger/AAAAAAAAAAAAAAAAAAAAAA==", {}, method)

    assert disabled.status == removed.status == unknown.status == 404
    assert disabled.body == removed.body == unknown.body


async def test_a_flows_key_is_asked_for(store: Store) -> None:
    """PR-11, PR-17: header ``Api-Key``; missing and wrong are 401; the key stands in nothing that is stored."""
    async with integrated(store, msgspec.structs.replace(ACME, security=Security.CUSTOMER_REQUIRED)) as acme:
        made = await acme.made()
        url, key = made["webhook_urls"]["orders"], made["api_keys"]["orders"][0]
        none = await send(acme, url, {})
        wrong = await send(acme, url, {}, Api_Key=made["api_keys"]["invoices"][0])
        right = await send(acme, url, {}, Api_Key=key)
        (run,) = await executions(acme)
        requests = (await acme.api.admin("GET", "/api/v1/requests")).json["requests"]

    assert (none.status, wrong.status, right.status) == (401, 401, 200)
    assert none.body == wrong.body
    assert key.encode() not in (run.trigger or b"")
    assert len(requests) == 3


def asked(**answers: Any) -> Any:
    """An ``on_trigger`` that answers by the body's ``do``."""

    async def on_trigger(job: CallJob) -> bytes:
        assert job.payload is not None
        what = answers[msgspec.json.decode(job.payload)["body"]["data"]["do"]]
        if isinstance(what, Exception):
            raise what
        return msgspec.json.encode(what)

    return on_trigger


ASKING = msgspec.structs.replace(
    ACME, flows=(msgspec.structs.replace(ACME.flows[0], handlers=ALL), *ACME.flows[1:])
)
TEXT = {"status": 201, "content_type": "text/plain", "headers": {"X-A": "b"}, "body": {"$base64": "Yy0xNw=="}}
HTML = TEXT | {"status": 200, "content_type": "text/html", "headers": {}}


async def test_on_trigger_answers_and_replaces(store: Store) -> None:
    """PR-3, PR-12: a challenge runs nothing; a replaced body is the input; an answer without a body is the id's."""
    handler = asked(
        challenge={"runs": False, "payload": None, "response": TEXT},
        both={"runs": True, "payload": {"body": {"data": {"n": 2}}}, "response": TEXT},
        default={"runs": True, "payload": None, "response": TEXT | {"body": None, "content_type": None}},
        binary={"runs": True, "payload": {"body": {"data": {"$base64": "AP8="}}}, "response": None},
        page={"runs": False, "payload": None, "response": HTML},
    )
    async with integrated(store, ASKING, handlers={Handler.ON_TRIGGER: handler}) as acme:
        url = (await acme.made())["webhook_urls"]["orders"]
        challenge = await send(acme, url, {"do": "challenge"})
        before = await executions(acme)
        both = await send(acme, url, {"do": "both"})
        (replaced,) = await executions(acme)
        default = await send(acme, url, {"do": "default"})
        await send(acme, url, {"do": "binary"})
        binary = (await executions(acme))[0]
        page = await send(acme, url, {"do": "page"})

    assert (challenge.status, challenge.headers["content-type"], challenge.body) == (
        201,
        "text/plain",
        b"c-17",
    )
    assert (challenge.headers["x-a"], before) == ("b", [])
    assert "prismatic-executionid" not in challenge.headers
    assert (both.status, both.body) == (201, b"c-17")
    assert "prismatic-executionid" in both.headers
    assert (replaced.input, msgspec.json.decode(replaced.trigger or b"")["body"]) == (
        b'{"n":2}',
        {"data": {"n": 2}},
    )
    assert (default.status, set(default.json)) == (201, {"executionId"})
    assert binary.input is None
    assert msgspec.json.decode(binary.trigger or b"")["body"]["data"] == {"$base64": "AP8="}
    assert "sandbox" in page.headers["content-security-policy"]


async def test_what_on_trigger_raises_is_told_and_runs_nothing(store: Store) -> None:
    """PR-6, PR-X4: 400 with the thrown message in this profile; the request is kept."""
    handler = asked(bad=ValueError("The widget requested is not in the database"))
    async with integrated(store, ASKING, handlers={Handler.ON_TRIGGER: handler}) as acme:
        url = (await acme.made())["webhook_urls"]["orders"]
        answer = await send(acme, url, {"do": "bad"})
        requests = await kept(acme)
        runs = await executions(acme)

    assert (answer.status, answer.body) == (
        400,
        b'{"error":"The widget requested is not in the database"}',
    )
    assert runs == []
    assert [one["reason"] for one in requests] == [
        "HANDLER_FAILED: The widget requested is not in the database"
    ]


async def test_a_synchronous_flow_is_waited_for(store: Store) -> None:
    """PR-4, PR-14: ``isSynchronous`` of a flow: 303 to its result without asking for it."""
    flows = (msgspec.structs.replace(ACME.flows[0], is_synchronous=True), *ACME.flows[1:])
    async with integrated(store, msgspec.structs.replace(ACME, flows=flows)) as acme:
        made = await acme.made()
        waited = await send(acme, made["webhook_urls"]["orders"], {"id": 1})
        quick = await send(acme, made["webhook_urls"]["invoices"], {"id": 1})
        result = await send(acme, waited.headers["location"], method="GET")

    assert (waited.status, waited.body, quick.status) == (303, b"", 200)
    assert result.json == {"id": 1}


async def test_malformed_json_is_the_profiles_own_answer(store: Store) -> None:
    """PR-5: before anything is routed."""
    async with integrated(store, SHARED) as acme:
        made = await acme.made("c-1")
        answer = await send(acme, made["invoke_url"], b"{bad-data", Content_Type="application/json")

    assert (answer.status, answer.body) == (400, b'{"error":"Received malformed JSON payload."}')


async def test_customers_of_a_shared_url_have_queues_of_their_own(store: Store) -> None:
    """PR-19: ``dedupeIdField`` names a request within one flow of one instance: equal ids of two customers both run."""
    queued = msgspec.structs.replace(ACME_ORDERS, queue=QueueRule(limit=1, dedupe_id="body.data.id"))
    async with integrated(store, SHARED, work={queued: echo}) as acme:
        url = (await acme.made("c-1"))["invoke_url"]
        await acme.made("c-2")
        answers = [
            await send(acme, url, {"tenant": tenant, "id": 7}, X_Flow="orders")
            for tenant in ("c-1", "c-2", "c-1")
        ]
        runs = await executions(acme)

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].json == answers[2].json != answers[1].json
    assert len(runs) == 2


async def test_an_idempotency_key_of_a_shared_url_counts_for_one_flow_of_one_customer(store: Store) -> None:
    """P5, PR-8: the same key and bytes for another flow are another request, never the other one's execution."""
    async with integrated(store, SHARED) as acme:
        url = (await acme.made("c-1"))["invoke_url"]
        answers = [
            await send(acme, url, {"tenant": "c-1"}, X_Flow=flow, Idempotency_Key="k")
            for flow in ("orders", "invoices", "orders", "invoices")
        ]
        runs = [len(await executions(acme, flow)) for flow in ("orders", "invoices")]

    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.json for answer in answers[:2]] == [answer.json for answer in answers[2:]]
    assert runs == [1, 1]


async def test_a_replaced_payload_names_the_request(store: Store) -> None:
    """PR-12, PR-19: what ``on_trigger`` parsed is what the queue looks into."""
    queued = msgspec.structs.replace(ACME_ORDERS, queue=QueueRule(limit=1, dedupe_id="body.data.parsed.id"))
    handler = asked(
        same={"runs": True, "payload": {"body": {"data": {"parsed": {"id": "n-1"}}}}, "response": None}
    )
    async with integrated(store, ASKING, work={queued: echo}, handlers={Handler.ON_TRIGGER: handler}) as acme:
        url = (await acme.made())["webhook_urls"]["orders"]
        answers = [await send(acme, url, {"do": "same"}) for _ in range(2)]
        runs = await executions(acme)

    assert answers[0].json == answers[1].json
    assert len(runs) == 1


async def test_the_triggers_of_an_instance_are_limited_but_not_deleted(store: Store) -> None:
    """PR-7, PR-8: a URL's settings may be changed; the URL itself goes with its instance."""
    async with integrated(store) as acme:
        made = await acme.made()
        listed = (await acme.api.admin("GET", "/api/v1/triggers")).json["triggers"]
        orders = next(one for one in listed if one["integration"]["flow"] == "orders")
        place = f"/api/v1/triggers/{orders['id']}"
        deleted = await acme.api.admin("DELETE", place)
        rotated = await acme.api.admin("POST", f"{place}/rotate")
        callbacks = await acme.api.admin("PATCH", place, {"callbacks": True})
        changed = await acme.api.admin("PATCH", place, {"ip_allowlist": ["198.51.100.0/24"]})
        elsewhere = await send(acme, made["webhook_urls"]["orders"], {})
        await acme.act(made, "deploy")
        after = (await acme.api.admin("GET", place)).json

    assert orders["integration"] == {"id": "acme", "instance_id": made["id"], "flow": "orders"}
    assert orders["url"] == made["webhook_urls"]["orders"]
    assert (deleted.status, deleted.code) == (409, "OWNED_BY_INTEGRATION")
    assert (rotated.status, rotated.code) == (409, "NOT_ROTATABLE")
    assert callbacks.status == 400
    assert (changed.status, elsewhere.status) == (200, 403)
    assert after["ip_allowlist"] == ["198.51.100.0/24"]


async def test_a_caller_that_calls_again_after_a_crash_meets_the_first_and_hears_of_its_end(
    store: Store,
) -> None:
    """As when the node died after the called flow was stored, and before its caller's journal said so."""
    waits_for = awaited(FLOW, "invoices", 0)
    answers: list[bytes | None] = []
    goes_on = asyncio.Event()

    async def caller(job: RunJob, listener: RunListener) -> Outcome:
        entries = {(entry.op, entry.name): entry for entry in job.journal}
        if ("wait", waits_for) in entries:
            answers.append(entries["wait", waits_for].value)
            goes_on.set()
            return Succeeded(output=b"null")
        now = datetime.now(UTC)
        call = Call(data=msgspec.Raw(b'{"n": 1}'), is_awaited=True)
        made = JournalEntry(
            op="call", name="invoices", occurrence=0, value=msgspec.json.encode(call), started_at=now
        )
        wait = JournalEntry(op="wait", name=waits_for, occurrence=0, value=None, started_at=now)
        for _ in range(2):  # as when a process died after its call was stored and before it knew
            await listener.recorded([made], [], 0.0, [])
        await listener.recorded([wait], [], 0.0, [])
        return Suspended(wake_at=None, waits=(OpenWait(name=waits_for, occurrence=0),))

    async with integrated(store, work={ACME_ORDERS: caller}) as acme:
        made = await acme.made()
        await acme.api.anyone("POST", acme.path(made), b"{}")
        async with asyncio.timeout(20):
            await goes_on.wait()
        called = [run for run in await acme.runs() if run["automation"]["id"] == "acme.invoices"]

    assert len([run for run in called if run["trigger"]["source"] == "flow"]) == 1
    assert answers[0] is not None
    told = msgspec.json.decode(answers[0])
    assert (told["status"], told["output"]) == ("succeeded", {"n": 1})
