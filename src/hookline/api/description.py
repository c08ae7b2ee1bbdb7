"""``/openapi.json`` and ``/docs``: the framework's routes and the hot ones in one description.

The page needs no network and no script: it is the description, written out.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from hookline.api.documented import complete, shapes
from hookline.api.errors import is_job_path
from hookline.api.gate import OPEN
from hookline.core.movie import movie_components

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from fastapi.routing import APIRoute

    from hookline.api.front import HotRoute

_ABOUT: Final = (
    'The webhook engine. Errors are `{"success":false,"error":{"code","message","details"}}`. Every POST '
    "under `/api/v1` takes an `Idempotency-Key`. Admin keys act for another organization with the header "
    "`Hookline-Organization`."
)

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every refusal, but those of render jobs.",
    "example": {
        "success": False,
        "error": {
            "code": "INVALID_INPUT",
            "message": "Required field 'name' is missing",
            "details": {"field": "name", "expected": "string", "received": "null"},
        },
    },
    "required": ["success", "error"],
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string", "description": "Stable, UPPER_SNAKE."},
                "message": {"type": "string"},
                "details": {
                    "type": "object",
                    "properties": {
                        name: {"type": ["string", "null"]} for name in ("field", "expected", "received")
                    },
                },
            },
        },
    },
}

_JOB_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A refusal of a route of render jobs.",
    "example": {
        "error": {
            "code": "SCHEMA_VALIDATION_ERROR",
            "message": "Field 'scenes.0.duration': Expected number > 0.0.",
            "path": "scenes.0.duration",
        }
    },
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Stable, UPPER_SNAKE."},
                "message": {"type": "string"},
                "path": {"type": "string", "description": "What is wrong, such as `scenes.0.duration`."},
            },
        },
    },
}

_SCHEMES: Final[dict[str, Any]] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "job_key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
    "trigger_token": {"type": "apiKey", "in": "query", "name": "token"},
    "trigger_bearer": {"type": "http", "scheme": "bearer", "description": "A trigger's token."},
    "trigger_basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A trigger's user name and password.",
    },
    "trigger_key": {"type": "apiKey", "in": "header", "name": "Api-Key"},
}


def operation_id(route: APIRoute) -> str:
    """Name an operation by the module of its handler and what it does: generated clients name functions so."""
    group = route.endpoint.__module__.rpartition(".")[2]
    end = "_part" if "PATCH" in (route.methods or ()) else ""
    return f"{group}_{route.name}{end}"


def describe(app: FastAPI, routes: tuple[HotRoute, ...], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    document = get_openapi(
        title="Hookline", version=version, openapi_version="3.1.0", description=_ABOUT, routes=app.routes
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(movie_components())
    components["schemas"] |= {"Error": _ERROR, "JobError": _JOB_ERROR} | shapes()["components"]
    components["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/v1"):
                operation["security"] = [{"key": []}]
            elif is_job_path(path) and path != OPEN:
                operation["security"] = [{"key": []}, {"job_key": []}]
    for route in routes:
        document["paths"].setdefault(route.path, {})[route.method.lower()] = dict(route.operation)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            complete(method, path, operation)
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return document


# --- the page -----------------------------------------------------------------------------------------------

_STYLE: Final = (
    ":root{color-scheme:light dark;--line:#8884;--soft:#8881}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:14px/1.45 ui-monospace,monospace}pre{overflow:auto;background:var(--soft);padding:.75rem}"
    "section{border-top:1px solid var(--line);margin-top:1.5rem}summary{cursor:pointer;padding:.35rem 0}"
    "summary b{display:inline-block;min-width:4.5rem}td,th{text-align:left;padding:.15rem 1rem .15rem 0}"
)
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def docs_page(document: dict[str, Any]) -> Response:
    """Return the description as a page."""
    return _shown("".join(_page(document)))


def _shown(page: str) -> Response:
    return Response(
        page,
        media_type="text/html",
        headers={
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        },
    )


def _page(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        '<p>The same as <a href="/openapi.json">OpenAPI 3.1</a>, for programs.</p>'
    )
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            by_tag.setdefault(tag, []).append((method.upper(), path, operation))
    for tag, entries in by_tag.items():
        yield f"<section><h2>{escape(tag)}</h2>"
        for method, path, operation in entries:
            yield from _operation(method, path, operation)
        yield "</section>"
    yield "<section><h2>Shapes</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>'
    yield "</section></body></html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield (
        f"<details><summary><b>{method}</b> <code>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
    )
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    if operation.get("parameters"):
        yield "<table><tr><th>Parameter</th><th>In</th><th>About</th></tr>"
        for parameter in operation["parameters"]:
            about = parameter.get("description", "required" if parameter.get("required") else "")
            yield (
                f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
                f"<td>{escape(about)}</td></tr>"
            )
        yield "</table>"
    for kind in operation.get("requestBody", {}).get("content", {}).values():
        yield f"<p>Body</p>{_json(kind['schema'])}"
        if "example" in kind:
            yield f"<p>For example</p>{_json(kind['example'])}"
    yield "<table><tr><th>Answer</th><th>Says</th></tr>"
    for status, answer in operation["responses"].items():
        shown = answer.get("content", {}).get("application/json", {})
        example = _json(shown["example"]) if "example" in shown else ""
        yield f"<tr><td>{status}</td><td>{escape(answer.get('description', ''))}{example}</td></tr>"
    yield "</table></details>"


def _json(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"
