"""What the description says of each route beside what the framework knows of it: refusals, answers, examples.

Two files of data, one entry for each ``METHOD path``. ``refusals.json`` is read from the code, and a test reads it
again. ``answers.json`` holds the shapes of answers with one real one, as tests of the API got them; the same tests
compare every answer that they get with it. Neither is looked at to answer a request.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from hookline.api.errors import is_job_path

_STREAM: Final = "text/event-stream"

WORDS: Final = {
    "400": "What was sent cannot be accepted",
    "401": "No valid credential",
    "403": "The credential is not enough",
    "404": "There is no such thing here",
    "405": "Not with this method",
    "409": "Not in the present state",
    "413": "Too large",
    "415": "Of another type than is read",
    "416": "The range begins behind the end",
    "429": "Too many; Retry-After says when",
    "500": "A defect of ours",
    "502": "What the answer needs has failed",
    "503": "Not now; nothing was stored, try again",
}
"""What each refusal says before its codes."""


@cache
def refusals() -> dict[str, dict[str, list[str]]]:
    """Return the codes of each status that refuses, by ``METHOD path``."""
    found: dict[str, dict[str, list[str]]] = _read("refusals.json")
    return found


@cache
def shapes() -> dict[str, Any]:
    """Return ``components``, the shapes that answers share, and ``routes``: body and answer by ``METHOD path``."""
    found: dict[str, Any] = _read("answers.json")
    return found


def _read(name: str) -> Any:
    return msgspec.json.decode(files(__package__).joinpath(name).read_bytes())


def refused(method: str, path: str) -> dict[str, Any]:
    """Return the responses of a route that refuse, as OpenAPI writes them."""
    name = "JobError" if is_job_path(path) else "Error"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    found: dict[str, Any] = {}
    for status, codes in refusals().get(f"{method.upper()} {path}", {}).items():
        described = f"{WORDS[status]}: {', '.join(f'`{code}`' for code in codes)}."
        found[status] = {"description": described, "content": content}
        if status in {"429", "503"}:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
            }
    return found


def complete(method: str, path: str, operation: dict[str, Any]) -> None:
    """Put into the description of a route how it refuses, and what a body and its answer look like."""
    _name_parameters(path, operation)
    responses = operation["responses"]
    for status in ("422", "4XX"):
        responses.pop(status, None)
    for answer in responses.values():
        if _STREAM in answer.get("content", {}):
            # What the framework writes here, ``itemSchema``, is of OpenAPI 3.2.
            answer["content"] = {
                _STREAM: {"schema": {"type": "string", "description": "Server-sent events."}}
            }
    known = shapes()["routes"].get(f"{method.upper()} {path}", {})
    for status, shape in known.get("answers", {}).items():
        answer = responses.setdefault(status, {"description": "Done"})
        answer["content"] = {"application/json": shape}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and "body" in known:
        body["example"] = known["body"]
    for status, answer in refused(method, path).items():
        responses.setdefault(status, answer)


def _name_parameters(path: str, operation: dict[str, Any]) -> None:
    """Add the parameters of a path that its handler reads from the path itself, such as those of signed links."""
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
    for name in re.findall(r"{(\w+)}", path):
        if name not in known:
            parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            operation.setdefault("parameters", []).append(parameter)
