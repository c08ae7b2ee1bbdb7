"""The verifiers that the AgenticFlow seed prints, typed as a user would type them, against our deliveries (AF-15).

The Node one signs ``JSON.stringify(req.body)`` of a parsed body, the Python one the body as text.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from programs import program

from hookline.core.signing import new_secret
from hookline.dialects import Recipient, get
from hookline.model.events import Event

NODE_VERIFIER = """
const crypto = require('crypto');
function verifyWebhookSignature(payload, signature, secret) {
  const expectedSignature = crypto
    .createHmac('sha256', secret)
    .update(payload)
    .digest('hex');
  const providedSignature = signature.replace('sha256=', '');
  return crypto.timingSafeEqual(
    Buffer.from(expectedSignature),
    Buffer.from(providedSignature)
  );
}
const requests = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const answers = requests.map(({raw, signature, secret}) => {
  const req = {headers: {'x-agenticflow-signature': signature}, body: JSON.parse(raw)};
  const payload = JSON.stringify(req.body);
  return verifyWebhookSignature(payload, req.headers['x-agenticflow-signature'], secret);
});
console.log(JSON.stringify(answers));
"""

WORKFLOW = """{
"workflow_id": "wf_abc123",
"execution_id": "exec_1234567890",
"status": "success",
"started_at": "2024-01-15T10:25:00Z",
"completed_at": "2024-01-15T10:30:00Z",
"duration_seconds": 300,
"input_data": {
"name": "John Doe",
"email": "john@example.com"
},
"output_data": {
"result": "Email sent successfully",
"email_id": "email_567890"
},
"credits_used": 4.5,
"steps_completed": 5
}"""
CONVERSATION = """{
"agent_id": "agent_abc123",
"conversation_id": "conv_1234567890",
"user_id": "user_123",
"status": "resolved",
"started_at": "2024-01-15T10:20:00Z",
"completed_at": "2024-01-15T10:30:00Z",
"message_count": 8,
"satisfaction_score": 4.5,
"credits_used": 12.0,
"resolution": {
"type": "solved",
"category": "technical_support",
"tags": ["password_reset", "account_access"]
}
}"""
HOSTILE = """{"b":1.50e1,"10":"ten","2":"two","u":"\\u00e9\\u2028\\ud83d\\ude00 \\/","tiny":0.0000001,"big":1e21,
"neg":-0.0,"long":12345678901234567890,"nul":"\\u0000","__proto__":{"x":1},"k":1,"k":2,"deep":[[{"1":1,"0":0}]]}"""

SECRET = new_secret(b"seed" * 8)
CASES = {
    "workflow.execution.completed": WORKFLOW,
    "agent.conversation.completed": CONVERSATION,
    "order.größe": HOSTILE,
}


def verify_webhook_signature(payload: str, signature: str, secret: str) -> bool:
    expected_signature = hmac.new(secret.encode("utf-8"), payload.encode("utf-8"), hashlib.sha256).hexdigest()
    provided_signature = signature.replace("sha256=", "")
    return hmac.compare_digest(expected_signature, provided_signature)


def deliver(event_type: str, data: str, secret: str = SECRET) -> tuple[bytes, str]:
    """Body and AgenticFlow signature of a delivery."""
    at = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
    event = Event(
        key=b"k" * 16,
        organization_id=b"o" * 16,
        type=event_type,
        data=data.encode(),
        occurred_at=at,
        received_at=at,
    )
    dialect = get("agenticflow")
    body = dialect.body(event, Recipient(webhook_id="wh_987654321"))
    headers = dialect.signature_headers(
        secret=secret,
        previous_secret=None,
        message_id=event.public_id,
        timestamp=int(at.timestamp()),
        body=body,
    )
    return body, dict(headers)["X-AgenticFlow-Signature"]


def ask_node(requests: list[dict[str, Any]]) -> list[bool]:
    run = subprocess.run(
        [program("node"), "-e", NODE_VERIFIER],
        input=json.dumps(requests).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    answers: list[bool] = json.loads(run.stdout)
    return answers


def test_the_seeds_node_verifier_accepts_our_deliveries() -> None:
    """AF-15, AF-X1: JSON.stringify(req.body) gives our bytes, 12.0 and all."""
    sent = [deliver(event_type, data) for event_type, data in CASES.items()]

    assert (
        ask_node([{"raw": body.decode(), "signature": sign, "secret": SECRET} for body, sign in sent])
        == [True] * 3
    )


@pytest.mark.parametrize("event_type", CASES)
def test_the_seeds_python_verifier_accepts_our_deliveries(event_type: str) -> None:
    """AF-15: the raw body as text."""
    body, signature = deliver(event_type, CASES[event_type])

    assert verify_webhook_signature(body.decode("utf-8", "replace"), signature, SECRET)


def test_both_refuse_what_we_did_not_sign() -> None:
    """AF-15: the verifiers are typed right, so they do say no."""
    body, _ = deliver("workflow.execution.completed", WORKFLOW)
    _, foreign = deliver("workflow.execution.completed", WORKFLOW, new_secret(b"else" * 8))

    assert not verify_webhook_signature(body.decode(), foreign, SECRET)
    assert ask_node([{"raw": body.decode(), "signature": foreign, "secret": SECRET}]) == [False]


def test_the_seeds_receivers_find_their_fields() -> None:
    """AF-22: the Slack handler's and the database handler's."""
    slack = json.loads(deliver("workflow.execution.completed", WORKFLOW)[0])
    database = json.loads(deliver("agent.conversation.completed", CONVERSATION)[0])

    assert (slack["event"], slack["data"]["workflow_id"]) == ("workflow.execution.completed", "wf_abc123")
    assert (slack["data"]["status"], slack["data"]["duration_seconds"]) == ("success", 300)
    assert slack["data"]["credits_used"] == 4.5
    keys = ("agent_id", "conversation_id", "user_id", "completed_at", "satisfaction_score", "credits_used")
    assert database["event"] == "agent.conversation.completed"
    assert all(database["data"][key] is not None for key in keys)


def test_the_printed_conversation_goes_out_in_the_seeds_order_with_javascripts_numbers() -> None:
    """AF-8, AF-10, AF-X1."""
    body, _ = deliver("agent.conversation.completed", CONVERSATION)

    assert body.decode() == (
        '{"event":"agent.conversation.completed","timestamp":"2024-01-15T10:30:00.000Z","webhook_id":"wh_987654321",'
        '"data":{"agent_id":"agent_abc123","conversation_id":"conv_1234567890","user_id":"user_123",'
        '"status":"resolved","started_at":"2024-01-15T10:20:00Z","completed_at":"2024-01-15T10:30:00Z",'
        '"message_count":8,"satisfaction_score":4.5,"credits_used":12,"resolution":{"type":"solved",'
        '"category":"technical_support","tags":["password_reset","account_access"]}}}'
    )
