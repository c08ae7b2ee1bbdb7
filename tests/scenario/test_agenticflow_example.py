"""examples/agenticflow: the page's requests, registrations and routes, against a real server and its own receiver."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from model_server import ModelServer

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from model_server import Asked

EXAMPLE = Path(__file__).parents[2] / "examples" / "agenticflow"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
SECRET = "the-secret-of-this-example"
SOURCES = ["52.70.124.191", "54.164.23.45"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Any]:
    server = runpy.run_path(str(EXAMPLE / "receiver.py"))["Receiver"](0, SECRET)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The model behind ``assistant``: it looks the order up, settles the matter, and says so."""

    def answer(asked: Asked) -> None:
        results = [one["content"] for one in asked.body["messages"] if one["role"] == "tool"]
        if not results:
            asked.call(("order_status", "{}"), given=1000, made=100)
        elif len(results) == 1:
            settled = {"category": "orders", "tags": ["delivery"], "satisfaction_score": 5}
            asked.call(("resolve_conversation", json.dumps(settled)), given=2000, made=100)
        else:
            asked.say("It is ", json.loads(results[0])["state"], given=3000, made=50)

    with ModelServer() as server:
        server.answers["some-model"] = answer
        yield server


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("agenticflow")
    settings = {
        "HOOKLINE_SOURCE_IPS": ",".join(SOURCES),
        "HOOKLINE_RETRY_TIME_SCALE": "0.001",
        "HOOKLINE_OPENAI_BASE_URL": model.url,
        "HOOKLINE_OPENAI_MODEL": "some-model",
    }
    node = NodeProcess(
        database=f"sqlite:///{folder}/a.db", folder=folder, app=EXAMPLE / "app.py", settings=settings
    )
    node.start()
    yield node
    assert node.stop() == 0


class Page:
    """What the README's commands answered. webhooks: as they were made, by name."""

    def __init__(self, node: NodeProcess, receiver: Any) -> None:
        self.node = node
        self.receiver = receiver
        self.known = {
            "PATH": os.environ["PATH"],
            "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
            "HOOKLINE_API_KEY": ADMIN_KEY,
            "RECEIVER": f"http://127.0.0.1:{receiver.server_port}",
            "WEBHOOK_SECRET": SECRET,
        }
        self.webhooks = {made["name"]: made for made in self.type("webhooks")}
        self.triggers = self.type("triggers")
        self.receiver.failures = 2
        self.answers = self.type("calls")

    def type(self, name: str, **more: str) -> list[dict[str, Any]]:
        """Run one of the README's snippets; return each JSON object that it printed."""
        done = subprocess.run(
            ["sh", "-ec", COMMANDS[name]],
            env=self.known | more,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found, text = [], done.stdout
        while text.strip():
            value, end = json.JSONDecoder().raw_decode(text.lstrip())
            found.append(value)
            text = text.lstrip()[end:]
        return found

    def taken(
        self, path: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Wait for a verified request to a path of the receiver; return all of them, headers and body."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = [
                (headers, body)
                for where, headers, body in list(self.receiver.taken)
                if where == f"/webhooks/{path}" and wanted(body)
            ]
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"nothing came to {path}: {self.receiver.taken}")


@pytest.fixture(scope="module")
def page(node: NodeProcess, receiver: Any) -> Page:
    return Page(node, receiver)


def of_event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda body: body["event"] == name


def test_the_three_ways_to_call_are_answered_as_printed(page: Page) -> None:
    """AF-1, AF-2, AF-4."""
    assert [set(answer) for answer in page.answers] == [
        {"success", "message", "execution_id", "status", "estimated_completion"}
    ] * 3
    assert {answer["message"] for answer in page.answers} == {"Webhook processed successfully"}


def test_a_body_without_its_message_is_refused_as_printed(page: Page) -> None:
    """AF-3, AF-5."""
    (refused,) = page.type("refused")
    printed = next(line for line in README.splitlines() if line.startswith('{"success":false'))

    assert refused == json.loads(printed)


def test_a_completed_workflow_is_told_as_on_the_page(page: Page) -> None:
    """AF-8, AF-9, AF-11, AF-15, AF-20, AF-21: also when the first answers were 500."""
    ((headers, body),) = page.taken("agenticflow", of_event("workflow.execution.completed"))
    data = body["data"]

    assert list(body) == ["event", "timestamp", "webhook_id", "data"]
    assert body["webhook_id"] == page.webhooks["Order Processing Webhook"]["id"]
    assert headers["authorization"] == "Bearer your_secret_token"
    assert (data["workflow_id"], data["execution_id"]) == ("contact", page.answers[2]["execution_id"])
    assert (data["status"], data["credits_used"], data["steps_completed"]) == ("success", 4.5, 1)
    assert data["input_data"]["name"] == "John Doe"
    assert data["output_data"]["result"] == "Email sent successfully"
    assert page.receiver.failures == 0


def test_steps_are_told_too(page: Page) -> None:
    """AF-6."""
    ((_, body),) = page.taken("agenticflow", of_event("workflow.step.completed"))

    assert body["data"]["execution_id"] == page.answers[2]["execution_id"]


def test_a_failed_workflow_is_told(page: Page) -> None:
    """AF-6, AF-X7."""
    body = {"input": {"name": "J", "email": "no address"}}
    page.node.api.call("POST", "/api/v1/workflows/contact/executions", body)
    ((_, told),) = page.taken("agenticflow", of_event("workflow.execution.failed"))

    assert told["data"]["status"] == "failed"
    assert "is no address" in told["data"]["error"]["message"]


def test_conversations_are_told_as_on_the_page(page: Page) -> None:
    """AF-6, AF-10: both turns of ``user_123``, each begun, heard, answered and settled."""
    deadline = time.monotonic() + 20
    events: list[str] = []
    while len(events) < 8 and time.monotonic() < deadline:
        events = [body["event"] for _, body in page.taken("conversations")]
        time.sleep(0.05)
    told = [body["data"] for _, body in page.taken("conversations", of_event("agent.conversation.completed"))]

    assert sorted(events) == sorted(
        ["agent.conversation.started", "agent.message.received", "agent.message.sent"] * 2
        + ["agent.conversation.completed"] * 2
    )
    assert {data["status"] for data in told} == {"resolved"}
    assert {data["satisfaction_score"] for data in told} == {2, 4.5}
    assert told[0]["resolution"] == {
        "type": "solved",
        "category": "technical_support",
        "tags": ["password_reset", "account_access"],
    }
    assert {data["user_id"] for data in told} == {"user_123"}


def test_a_conditional_webhook_gets_the_unhappy_ones_only(page: Page) -> None:
    """AF-17."""
    ((_, body),) = page.taken("high-priority")

    assert (body["data"]["satisfaction_score"], body["data"]["message_count"]) == (2, 2)


def test_a_filtered_webhook_gets_the_fields_it_asked_for(page: Page) -> None:
    """AF-18."""
    ((_, body),) = page.taken("orders")

    assert body["data"] == {
        "workflow_id": "contact",
        "status": "success",
        "output_data": {"order_id": "order_7"},
        "credits_used": 4.5,
    }


def test_a_batched_webhook_gets_many_events_at_once(page: Page) -> None:
    """AF-19: two turns of two messages each fill a batch of four."""
    ((_, body),) = page.taken("batch", lambda body: "batch_id" in body)

    assert body["count"] == len(body["events"]) == 4
    assert {one["event"] for one in body["events"]} == {"agent.message.received", "agent.message.sent"}


def test_the_two_printed_handlers_work_with_what_came(page: Page) -> None:
    """AF-22."""
    page.taken("agenticflow", of_event("workflow.execution.completed"))
    page.taken("conversations", of_event("agent.conversation.completed"))

    assert page.receiver.slack[0]["attachments"][0]["color"] == "good"
    assert {row["user_id"] for row in page.receiver.conversations} == {"user_123"}


def test_the_management_routes_answer_as_on_the_page(page: Page) -> None:
    """AF-12, AF-13, AF-14, AF-16."""
    page.taken("agenticflow", of_event("workflow.execution.completed"))
    id_ = page.webhooks["Order Processing Webhook"]["id"]
    listed, _, logs, stats, meta = page.type("manage", WEBHOOK_ID=id_)
    (shown,) = [one for one in listed["webhooks"] if one["id"] == id_]
    page.taken("agenticflow", lambda body: body["data"].get("workflow_id") == "test_workflow")

    assert {"name", "url", "events", "status", "created_at", "last_delivery"} <= set(shown)
    assert set(shown["delivery_stats"]) == {
        "total_deliveries",
        "successful_deliveries",
        "failed_deliveries",
    }
    assert {
        "id",
        "timestamp",
        "event",
        "status",
        "response_code",
        "response_time_ms",
        "attempts",
        "payload_size",
    } <= set(logs["logs"][0])
    assert stats
    assert meta["source_ips"] == SOURCES


def test_a_model_answers_and_its_tokens_are_credits(page: Page) -> None:
    """AF-1, AF-10: counts, credits, resolution and score of a turn that a model answered."""
    page.type("model")

    def taken(event: str) -> dict[str, Any]:
        is_it = of_event(event)
        found = page.taken(
            "conversations", lambda body: is_it(body) and body["data"]["agent_id"] == "assistant"
        )
        ((_, body),) = found
        return dict(body["data"])

    data, sent = taken("agent.conversation.completed"), taken("agent.message.sent")

    assert sent["message"] == "It is on its way"
    assert (data["agent_id"], data["status"], data["message_count"]) == ("assistant", "resolved", 2)
    assert data["credits_used"] == sent["credits_used"] == pytest.approx(6 + 4 * 0.25)
    assert data["satisfaction_score"] == 5
    assert data["resolution"] == {"type": "solved", "category": "orders", "tags": ["delivery"]}
