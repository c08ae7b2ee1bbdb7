"""A receiver as the page prints it: it checks ``X-AgenticFlow-Signature``, then works with what came.

python examples/agenticflow/receiver.py 9901 the-secret-of-this-example
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def verify_webhook_signature(payload: str, signature: str, secret: str) -> bool:
    """The page's own verifier, as printed."""
    expected_signature = hmac.new(secret.encode("utf-8"), payload.encode("utf-8"), hashlib.sha256).hexdigest()
    provided_signature = signature.replace("sha256=", "")
    return hmac.compare_digest(expected_signature, provided_signature)


class Receiver(ThreadingHTTPServer):
    """taken: path, headers and parsed body of what verified, in order.  conversations: the page's database.

    slack: the page's messages to Slack.  failures: how many requests are still to be answered 500.
    """

    daemon_threads = True

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret = secret
        self.taken: list[tuple[str, dict[str, str], Any]] = []
        self.conversations: list[dict[str, Any]] = []
        self.slack: list[dict[str, Any]] = []
        self.failures = 0

    def take(self, event: str, data: dict[str, Any]) -> None:
        """Do what the page's two handlers do."""
        if event == "agent.conversation.completed":
            columns = (
                "agent_id",
                "conversation_id",
                "user_id",
                "completed_at",
                "satisfaction_score",
                "credits_used",
            )
            self.conversations.append({name: data[name] for name in columns})
        elif event == "workflow.execution.completed" and "duration_seconds" in data:
            fields = [
                {"title": "Duration", "value": f"{data['duration_seconds']}s", "short": True},
                {"title": "Credits Used", "value": data["credits_used"], "short": True},
            ]
            color = "good" if data["status"] == "success" else "danger"
            text = f"Workflow {data['workflow_id']} completed successfully!"
            self.slack.append({"text": text, "attachments": [{"color": color, "fields": fields}]})


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"])).decode()
        signature = self.headers.get("X-AgenticFlow-Signature", "")
        if not verify_webhook_signature(payload, signature, self.server.secret):
            self._answer(401, b"Invalid signature")
        elif self.server.failures > 0:
            self.server.failures -= 1
            self._answer(500, b"Internal server error")
        else:
            body = json.loads(payload)
            headers = {name.lower(): value for name, value in self.headers.items()}
            for one in body.get("events", [body]):
                self.server.take(one["event"], one["data"])
            self.server.taken.append((self.path, headers, body))
            print(self.path, json.dumps(body, indent=2), flush=True)
            self._answer(200, b"OK")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    Receiver(int(sys.argv[1]), sys.argv[2]).serve_forever()
