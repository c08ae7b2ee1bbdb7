"""A receiver as PhantomFlow's page asks for: known jobs only, each once, answered at once.

    python receiver.py 9902

``GET /jobs/JOB`` answers what came for a job, 404 until something did.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """taken: the body that came for each job.  repeats: how many came again, and were dropped."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.taken: dict[str, dict[str, Any]] = {}
        self.repeats = 0


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # The same event may come more than once: the job's id tells.
        if body["job_id"] in self.server.taken:
            self.server.repeats += 1
        else:
            self.server.taken[body["job_id"]] = body
            told = body.get("output_url") or body["error"]["message"]
            print(f"{body['job_id']} {body['status']}: {told}", flush=True)
        self._answer(200, {})

    def do_GET(self) -> None:
        body = self.server.taken.get(self.path.rpartition("/")[2])
        self._answer(404 if body is None else 200, body or {})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """One line for each job is enough."""


if __name__ == "__main__":
    Receiver(int(sys.argv[1])).serve_forever()
