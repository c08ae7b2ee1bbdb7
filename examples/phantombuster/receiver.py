"""A receiver as PhantomBuster's page describes it: any POST, the secret in the query, the body as it comes.

python examples/phantombuster/receiver.py 9902 MY_SECRET_KEY
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Receiver(ThreadingHTTPServer):
    """taken: the bodies that came with the secret, in order."""

    daemon_threads = True

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret = secret
        self.taken: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if parse_qs(urlsplit(self.path).query).get("secret") != [self.server.secret]:
            self.send_response(401)
            self.end_headers()
            return
        ended = json.loads(body)
        self.server.taken.append(ended)
        if ended["exitMessage"] == "finished" and ended["exitCode"] == 0:
            print(f"{ended['agentName']} took {ended['runDuration']} ms: {ended['resultObject']}")
        else:
            print(f"{ended['agentName']} did not work: {ended['exitMessage']}, exit code {ended['exitCode']}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet: what matters is printed above."""


if __name__ == "__main__":
    Receiver(int(sys.argv[1]), sys.argv[2]).serve_forever()
