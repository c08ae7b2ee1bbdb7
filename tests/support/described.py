"""What ``/openapi.json`` says of a route, held against every answer that tests of the API get (``api_bed``).

With ``HOOKLINE_ANSWERS=FOLDER`` every answer is noted there, too: ``scripts/reference_answers.py`` makes the shapes and
examples of the description of these notes.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import msgspec
from asgi import Client, Reply
from jsonschema import Draft202012Validator

from hookline.api.app import management_app
from hookline.api.description import describe
from hookline.api.hot import hot_routes

NOTES = os.environ.get("HOOKLINE_ANSWERS")
AS_THEY_SAY = ("/trigger/", "/results/")
"""Below these a trigger's profile, or what ran, words the answers."""


@cache
def document() -> dict[str, Any]:
    """The description, which is the same of every server of this version."""
    site: Any = SimpleNamespace(settings=SimpleNamespace(version="0.0"))
    found: dict[str, Any] = json.loads(
        msgspec.json.encode(describe(management_app(site), hot_routes(site), "0.0"))
    )
    return found


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Paths as patterns, those with the fewest names in them first, as routes are found."""
    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))), path) for path in paths]


def path_of(url: str) -> str | None:
    """Return the described path that a URL's path is one of; None when there is none."""
    return next((path for pattern, path in _patterns() if pattern.fullmatch(url)), None)


@cache
def _validator(path: str, method: str, status: str) -> Draft202012Validator | None:
    content = document()["paths"][path][method]["responses"][status].get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return None
    return Draft202012Validator({**schema, "components": document()["components"]})


def check(method: str, url: str, status: int, content_type: str | None, sent: bytes, body: bytes) -> None:
    """Fail when an answer is none that the description tells of."""
    path = path_of(url)
    operations = document()["paths"].get(path, {})
    if path is None or method.lower() not in operations or url.startswith(AS_THEY_SAY):
        return
    if NOTES is not None:
        note(method, url, status, content_type, sent, body)
        return
    told = operations[method.lower()]["responses"].get(str(status))
    assert told is not None, f"{method} {path} answers {status}, which is not described: {body[:300]!r}"
    if content_type != "application/json" or not body:
        return
    validator = _validator(path, method.lower(), str(status))
    if validator is None:
        return
    answer = json.loads(body)
    if status >= 400:
        code = answer["error"]["code"]
        assert f"`{code}`" in told["description"], f"{method} {path} answers {status} {code}: not described"
    problem = next(validator.iter_errors(answer), None)
    assert problem is None, f"{method} {path} {status}: {problem.message} at {problem.json_path}"


class DescribedClient(Client):
    """Calls the whole API, and checks every answer."""

    async def __call__(self, method: str, url: str, body: Any = b"", **more: Any) -> Reply:
        reply = await super().__call__(method, url, body, **more)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = unquote(url.partition("?")[0])
        if reply.status:
            check(method, path, reply.status, reply.headers.get("content-type"), sent, reply.body)
        return reply


def note(method: str, url: str, status: int, content_type: str | None, sent: bytes, body: bytes) -> None:
    """Write down an answer in JSON, when notes are asked for."""
    path = path_of(url) if NOTES is not None else None
    if path is None or url.startswith(AS_THEY_SAY) or content_type != "application/json" or status >= 300:
        return
    line = {
        "route": f"{method} {path}",
        "status": status,
        "sent": sent.decode("latin-1"),
        "body": body.decode("latin-1"),
    }
    with (Path(str(NOTES)) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as notes:
        notes.write(json.dumps(line) + "\n")
