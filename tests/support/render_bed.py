"""Render jobs as their users have them: submitted, followed, read."""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from world import Answer, World, call, until

from hookline.model.ids import bare, new_key
from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from collections.abc import Generator

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HELLO = {"type": "text", "text": "Hello World", "font_size": 48, "position": "center"}
LONG = {"width": 1280, "height": 720, "scenes": [{"duration": 600, "elements": [HELLO]}]}


def small(**movie: Any) -> dict[str, Any]:
    return {"width": 160, "height": 90, "fps": 10, "scenes": [{"duration": 1}], **movie}


def submit(one: World, movie: object, path: str = "/api/jobs", **more: Any) -> str:
    answer = one("POST", path, movie, **more)
    assert answer.status == 202, answer
    assert answer.json["status"] == "queued"
    assert UUID.fullmatch(answer.json["job_id"])
    return str(answer.json["job_id"])


def ended(one: World, job_id: str, *, within: float = 30.0) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: one.get(f"/api/jobs/{job_id}"),
        lambda job: job["status"] in {"completed", "failed"},
        within=within,
    )
    return found


def read(url: str, **headers: Any) -> Answer:
    parts = urlsplit(url)
    return call(parts.port or 80, "GET", f"{parts.path}?{parts.query}", key=None, **headers)


class Event:
    """One server-sent event."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines)
        self.name = fields["event"]
        self.id = int(fields["id"]) if "id" in fields else None
        self.data = json.loads(fields["data"])


def follow(one: World, job_id: str, **headers: str) -> Generator[Event]:
    """The events of a stream, until the server ends it."""
    connection = http.client.HTTPConnection("127.0.0.1", one.nodes[0].port, timeout=30)
    sent = {"x-api-key": ADMIN_KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request("GET", f"/api/jobs/{job_id}/progress", headers=sent)
    try:
        answer = connection.getresponse()
        assert (answer.status, answer.headers.get_content_type()) == (200, "text/event-stream")
        held: list[str] = []
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if line == "" and held:
                yield Event(held)
                held = []
            elif line and not line.startswith(":"):
                held.append(line)
        answer.close()
    finally:
        connection.close()


def new_uuid() -> str:
    return bare(new_key())
