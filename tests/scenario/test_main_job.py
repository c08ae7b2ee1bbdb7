"""The main job over real processes: trigger, execution in a process of its own, event, signed delivery."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from seed_bodies import COMPLETED_CONVERSATION, COMPLETED_WORKFLOW
from standardwebhooks import Webhook as Verifier
from world import World, database_of, every_event, until, world

from hookline.testing.receivers import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.receivers import Received

NODE_VERIFIER = """
const crypto = require('crypto');
function verifyWebhookSignature(payload, signature, secret) {
  const expectedSignature = crypto.createHmac('sha256', secret).update(payload).digest('hex');
  const providedSignature = signature.replace('sha256=', '');
  return crypto.timingSafeEqual(Buffer.from(expectedSignature), Buffer.from(providedSignature));
}
const {raw, signature, secret} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(verifyWebhookSignature(JSON.stringify(JSON.parse(raw)), signature, secret));
"""


def verify_webhook_signature(payload: str, signature: str, secret: str) -> bool:
    """The seed's Python sample, as a user would type it."""
    expected = hmac.new(secret.encode("utf-8"), payload.encode("utf-8"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.replace("sha256=", ""))


def is_accepted(request: Received, secret: str) -> bool:
    """Whether the seed's two samples and the Standard Webhooks library take a delivery."""
    signature = request.header("X-AgenticFlow-Signature") or ""
    Verifier(secret).verify(request.body, {name.lower(): value for name, value in request.headers})
    by_python = verify_webhook_signature(request.body.decode(), signature, secret)
    node = shutil.which("node")
    if node is None:
        return by_python
    asked = json.dumps({"raw": request.body.decode(), "signature": signature, "secret": secret})
    said = subprocess.run(
        [node, "-e", NODE_VERIFIER], input=asked, capture_output=True, text=True, check=True
    )
    return by_python and said.stdout.strip() == "true"


def answers(request: Received) -> Reply:
    return Reply(status=500) if request.target == b"/failing" else Reply()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running node over each store; on PostgreSQL a second one beside it."""
    folder = tmp_path_factory.mktemp("main")
    database, nodes = database_of(request, folder), 2 if request.param == "postgres" else 1
    with world(database, folder, answers=answers, nodes=nodes) as found:
        yield found


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


@pytest.mark.parametrize("credential", ["query", "bearer", "basic"])
def test_a_workflow_is_triggered_runs_by_itself_and_its_result_arrives_signed(
    one: World, credential: str
) -> None:
    """AF-1, AF-2, AF-3, AF-4, AF-6, AF-7, AF-8, AF-9, AF-11, AF-15, AF-X1."""
    webhook = one.webhook(
        f"/result-{credential}",
        ["workflow.execution.completed"],
        name="Results",
        authentication={"type": "bearer", "token": "for-the-receiver"},
    )
    path = "/webhooks/workflows/orders"
    headers: dict[str, Any] = {}
    if credential == "basic":
        one.trigger("orders", auth={"type": "basic", "username": "shop", "password": "p:ssword"})
        headers["Authorization"] = "Basic " + b64encode(b"shop:p:ssword").decode()
    else:
        token = one.trigger("orders")["token"]
        if credential == "query":
            path += f"?token={token}"
        else:
            headers["Authorization"] = f"Bearer {token}"
    order = {"order_id": "A-1", "amount": 12.0, "tiny": 1e-7, "name": "Größe\u2028\U0001f600"}
    started = one(
        "POST", path, {"input_data": order, "trigger_source": "shop", "metadata": {}}, key=None, **headers
    )
    execution_id = started.json["execution_id"]
    request = one.inbox.wait(f"/result-{credential}")[0]
    body = json.loads(request.body)
    data = body["data"]
    execution = one.ended(execution_id)

    assert started.status == 202
    assert list(started.json) == ["success", "message", "execution_id", "status", "estimated_completion"]
    assert started.json["message"] == "Webhook processed successfully"
    assert execution_id.startswith("exec_")
    assert datetime.fromisoformat(started.json["estimated_completion"]).tzinfo is not None
    assert is_accepted(request, webhook["secret"])
    assert request.header("Authorization") == "Bearer for-the-receiver"
    assert list(body) == ["event", "timestamp", "webhook_id", "data"]
    assert (body["event"], body["webhook_id"]) == ("workflow.execution.completed", webhook["id"])
    assert list(data) == COMPLETED_WORKFLOW
    assert (data["workflow_id"], data["execution_id"], data["status"]) == ("orders", execution_id, "success")
    assert (data["credits_used"], data["steps_completed"], data["input_data"]) == (4.5, 1, order)
    assert data["output_data"]["pid"] not in {node.pid for node in one.nodes}
    assert execution["output"]["echo"] == order


def test_an_agent_takes_one_turn_and_tells_of_it(one: World) -> None:
    """AF-1, AF-3, AF-10; the same delivery in the standard dialect."""
    ours = one.webhook("/agent", ["agent.conversation.completed"])
    standard = one.webhook("/agent-standard", ["agent.*"], dialect="standard")
    token = one.trigger("support", kind="agent")["token"]
    started = one("POST", "/webhooks/agents/support", {"message": "Hi", "user_id": "u1"}, key=token)
    request = one.inbox.wait("/agent")[0]
    data = json.loads(request.body)["data"]
    turns = one.inbox.wait("/agent-standard", 4)
    for turn in turns:
        Verifier(standard["secret"]).verify(turn.body, {name.lower(): value for name, value in turn.headers})

    assert started.status == 202
    assert is_accepted(request, ours["secret"])
    assert list(data) == COMPLETED_CONVERSATION
    assert (data["status"], data["user_id"], data["satisfaction_score"]) == ("resolved", "u1", 4.5)
    assert data["resolution"] == {"type": "solved", "category": "billing", "tags": ["refund"]}
    assert data["conversation_id"].startswith("conv_")
    assert {json.loads(turn.body)["type"] for turn in turns} == {
        "agent.conversation.started",
        "agent.message.received",
        "agent.message.sent",
        "agent.conversation.completed",
    }


def test_a_wrong_credential_is_401_whether_the_automation_exists_or_not(one: World) -> None:
    """AF-2, AF-X7."""
    token = one.trigger("orders")["token"]
    refused = [
        one("POST", f"/webhooks/{path}", {"input_data": {}, "message": "x"}, key=key)
        for path in ("workflows/orders", "workflows/none", "agents/support", "agents/orders")
        for key in (None, "wht_wrong", token)
        if (path, key) != ("workflows/orders", token)
    ]

    assert {answer.status for answer in refused} == {401}
    assert len({answer.body for answer in refused}) == 1


def test_a_missing_message_is_worded_as_the_seed_words_it(one: World) -> None:
    """AF-5."""
    token = one.trigger("support", kind="agent")["token"]

    assert one("POST", "/webhooks/agents/support", {"user_id": "u1"}, key=token).json == {
        "success": False,
        "error": {
            "code": "INVALID_INPUT",
            "message": "Required field 'message' is missing",
            "details": {"field": "message", "expected": "string", "received": "null"},
        },
    }


def test_all_that_happened_to_an_execution_can_be_read(one: World) -> None:
    """CONTRACT section 4: executions, steps, logs, timeline, feed."""
    one.webhook("/told", ["workflow.*"])
    execution_id = one.start("orders", {"order_id": "B", "amount": 3})
    one.ended(execution_id)
    place = f"/api/v1/executions/{execution_id}"
    listed = one.get("/api/v1/executions")["executions"]
    steps = one.get(place + "/steps")["steps"]
    logs = one.get(place + "/logs")["logs"]
    timeline = until(
        lambda: json.dumps(one.get(place + "/timeline")), lambda text: "workflow.execution.completed" in text
    )
    mine = [event["type"] for event in every_event(one) if event["execution_id"] == execution_id]

    assert execution_id in {execution["id"] for execution in listed}
    assert [step["name"] for step in steps] == ["price"]
    assert "priced" in json.dumps(logs)
    assert "price" in timeline
    assert mine == [
        "workflow.execution.started",
        "workflow.step.completed",
        "workflow.execution.completed",
    ]


def test_logs_and_statistics_count_what_was_sent(one: World) -> None:
    """AF-12, AF-13, AF-14, AF-20, AF-X2: three retries after the first attempt."""
    good = one.webhook("/good", ["counted"])
    bad = one.webhook("/failing", ["counted"], retry_policy={"max_retries": 3, "backoff_multiplier": 1})
    published = one("POST", "/api/v1/events", {"type": "counted", "data": {"n": 1}})
    assert published.status == 202, published
    log = until(
        lambda: one.get(f"/api/v1/webhooks/{bad['id']}/logs")["logs"],
        lambda logs: bool(logs) and logs[0]["status"] == "failed",
    )[0]
    listed = {webhook["id"]: webhook for webhook in one.get("/api/v1/webhooks?limit=500")["webhooks"]}
    delivery = one.get(f"/api/v1/deliveries/{log['delivery_id']}")
    stats = until(
        lambda: one.get(f"/api/v1/webhooks/{bad['id']}/stats"), lambda found: '"failed' in json.dumps(found)
    )
    attempts = one.inbox.at("/failing")

    assert (log["event"], log["response_code"], log["attempts"]) == ("counted", 500, 4)
    assert log["payload_size"] == len(attempts[0].body)
    assert log["id"].startswith("log_")
    assert len(attempts) == 4
    assert len({attempt.body for attempt in attempts}) == 1
    assert len({attempt.header("webhook-id") for attempt in attempts}) == 1
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2, 3, 4]
    assert listed[good["id"]]["delivery_stats"] == {
        "total_deliveries": 1,
        "successful_deliveries": 1,
        "failed_deliveries": 0,
    }
    assert listed[bad["id"]]["delivery_stats"] == {
        "total_deliveries": 1,
        "successful_deliveries": 0,
        "failed_deliveries": 1,
    }
    assert listed[good["id"]]["last_delivery"] is not None
    assert stats["webhook_id"] == bad["id"]


def test_64_posts_at_once_with_one_key_are_one_event_and_one_answer(one: World) -> None:
    """P5, over two nodes where there are two."""
    path = f"/once-{len(one.nodes)}"
    one.webhook(path, ["paid.once"])

    def post(number: int) -> Any:
        return one(
            "POST",
            "/api/v1/events",
            {"type": "paid.once", "data": {"n": 1}},
            node=number % len(one.nodes),
            Idempotency_Key="the-same",
        )

    with ThreadPoolExecutor(64) as pool:
        posted = list(pool.map(post, range(64)))
    other = one("POST", "/api/v1/events", {"type": "paid.once", "data": {"n": 2}}, Idempotency_Key="the-same")
    one.inbox.wait(path)

    assert {answer.status for answer in posted} == {202}
    assert len({answer.body for answer in posted}) == 1
    assert [answer.headers.get("Idempotent-Replayed") for answer in posted].count("true") == 63
    assert other.status == 409
    assert len([event for event in every_event(one) if event["type"] == "paid.once"]) == 1
    assert len(one.inbox.at(path)) == 1


def test_64_triggers_at_once_with_one_key_are_one_execution(one: World) -> None:
    """P5."""
    token = one.trigger("orders")["token"]

    def post(number: int) -> Any:
        return one(
            "POST",
            "/webhooks/workflows/orders",
            {"input_data": {"order_id": "once"}},
            node=number % len(one.nodes),
            key=token,
            Idempotency_Key="one-run",
        )

    with ThreadPoolExecutor(64) as pool:
        posted = list(pool.map(post, range(64)))

    assert {answer.status for answer in posted} == {202}
    assert len({answer.body for answer in posted}) == 1


def test_each_customer_has_an_organization_of_its_own(one: World) -> None:
    """P14: acting for one by its external id; what is another's is as missing as what never was."""
    made = one("POST", "/api/v1/organizations", {"name": "Customer", "external_id": "cust-1"})
    assert made.status == 201, made
    theirs = one(
        "POST",
        "/api/v1/webhooks",
        {"url": one.inbox.origin + "/theirs", "events": ["*"]},
        Hookline_Organization="cust-1",
    ).json
    ours = one.webhook("/ours", ["tenant.event"])
    published = one(
        "POST", "/api/v1/events", {"type": "tenant.event", "data": 1}, Hookline_Organization="cust-1"
    )
    one.inbox.wait("/theirs")
    delivery = one.get("/api/v1/deliveries", Hookline_Organization="cust-1")["deliveries"][0]
    foreign = [
        one("GET", f"/api/v1/webhooks/{theirs['id']}"),
        one("DELETE", f"/api/v1/webhooks/{theirs['id']}"),
        one("GET", f"/api/v1/deliveries/{delivery['id']}"),
        one("POST", f"/api/v1/deliveries/{delivery['id']}/retry"),
        one("GET", f"/api/v1/webhooks/{ours['id']}", Hookline_Organization="cust-1"),
    ]

    assert published.status == 202
    assert {answer.status for answer in foreign} == {404}
    assert one.inbox.at("/ours") == []
    assert one("GET", "/api/v1/webhooks", Hookline_Organization="nobody").status == 404
