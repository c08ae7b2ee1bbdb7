"""A stand-in for Acme: an API with webhooks, to try the integration against.

python examples/prismatic/acme.py 9900
curl -d '{"text": "hello"}' http://127.0.0.1:9900/messages    # it sends this to every webhook
"""

from __future__ import annotations

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen


class Acme(ThreadingHTTPServer):
    """webhooks: where to send messages, by id.  keys: the keys that callers used."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.webhooks: dict[str, str] = {}
        self.keys: set[str] = set()
        self.numbers = itertools.count(1)

    def send(self, message: Any) -> list[int]:
        """Send a message to every webhook; return the answers' codes."""
        codes = []
        for url in list(self.webhooks.values()):
            data = json.dumps(message).encode()
            request = Request(url, data=data, headers={"Content-Type": "application/json"})
            with urlopen(request, timeout=10) as answer:
                codes.append(answer.status)
        return codes


class Handler(BaseHTTPRequestHandler):
    server: Acme

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/webhooks":
            self.server.keys.add(self.headers["Authorization"])
            id = f"wh-{next(self.server.numbers)}"
            self.server.webhooks[id] = body["endpoint"]
            self._answer(201, {"id": id})
        elif self.path == "/messages":
            self._answer(200, {"sent": self.server.send(body)})
        else:
            self._answer(404, {"error": "no such path"})

    def do_DELETE(self) -> None:
        known = self.server.webhooks.pop(self.path.removeprefix("/webhooks/"), None)
        self._answer(404 if known is None else 200, {})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    Acme(int(sys.argv[1])).serve_forever()
