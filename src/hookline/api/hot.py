"""The table of hot routes: what the front dispatches on, and what ``/openapi.json`` adds for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hookline.api import publish, results, trigger_in, webhooks_in
from hookline.api.call import Gatekeeper
from hookline.api.front import HotRoute
from hookline.core.own_events import EVENT_TYPE

if TYPE_CHECKING:
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.model.states import Kind


def hot_routes(site: Site) -> tuple[HotRoute, ...]:
    """Return every hot route, ready to be served."""
    gatekeeper = Gatekeeper()
    return (
        HotRoute(
            method="POST",
            path="/api/v1/events",
            handler=partial(publish.publish, site),
            is_shared=True,
            operation=_publish_operation(),
        ),
        *(
            HotRoute(
                method="POST",
                path=f"{prefix}{{{kind}_id}}",
                prefix=prefix,
                handler=_incoming(site, gatekeeper, prefix),
                operation=_incoming_operation(kind),
            )
            for prefix, kind in webhooks_in.ROUTES.items()
        ),
        HotRoute(
            method="POST",
            others=trigger_in.OTHER_METHODS,
            path=f"{trigger_in.PREFIX}{{path_id}}",
            prefix=trigger_in.PREFIX,
            handler=partial(trigger_in.receive, site, gatekeeper),
            operation=_trigger_operation(),
        ),
        HotRoute(
            method="GET",
            path=f"{results.PREFIX}{{profile}}/{{execution_id}}",
            prefix=results.PREFIX,
            handler=partial(results.result, site),
            operation=_result_operation(),
        ),
    )


def _incoming(site: Site, gatekeeper: Gatekeeper, prefix: str) -> Any:
    def handle(request: Inbound) -> Any:
        return webhooks_in.receive(site, gatekeeper, request, prefix)

    return handle


def _publish_operation() -> dict[str, object]:
    event = {
        "type": "object",
        "required": ["type", "data"],
        "additionalProperties": False,
        "properties": {
            "type": {"type": "string", "pattern": f"^{EVENT_TYPE.pattern}$"},
            "data": {"description": "Any JSON value; kept byte for byte."},
            "id": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
            "timestamp": {"type": "string", "format": "date-time"},
            "execution_id": {"type": "string"},
            "ordering_key": {"type": "string", "minLength": 1, "maxLength": 200},
        },
    }
    batch = {
        "type": "object",
        "required": ["events"],
        "additionalProperties": False,
        "properties": {
            "events": {"type": "array", "minItems": 1, "maxItems": publish.MOST_EVENTS, "items": event}
        },
    }
    one = {
        "type": "object",
        "required": ["id", "status", "duplicate"],
        "properties": {
            "id": {"type": "string"},
            "status": {"const": "accepted"},
            "duplicate": {"type": "boolean", "description": "An event of this own id was there before."},
        },
    }
    many = {
        "type": "object",
        "required": ["status", "events"],
        "properties": {
            "status": {"const": "accepted"},
            "events": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "duplicate": {"type": "boolean"}},
                },
            },
        },
    }
    return {
        "operationId": "publish_events",
        "tags": ["events"],
        "summary": "Publish one event, or up to 1,000",
        "description": "Answered when all of it is stored durably. The same `id` twice is one event.",
        "security": [{"key": []}],
        "requestBody": _body({"oneOf": [event, batch]}),
        "responses": _responses("Stored", {"oneOf": [one, many]}),
    }


def _incoming_operation(kind: Kind) -> dict[str, object]:
    words = {"string": {"type": "string"}, "object": {"type": "object"}}
    fields = webhooks_in.FIELDS[kind]
    accepted: dict[str, object] = {
        "type": "object",
        "required": ["success", "message", "execution_id", "status", "estimated_completion"],
        "properties": {
            "success": {"const": True},
            "message": {"type": "string"},
            "execution_id": {"type": "string"},
            "status": {"const": "queued"},
            "estimated_completion": {"type": "string", "format": "date-time"},
        },
    }
    return {
        "operationId": f"start_{kind}_by_webhook",
        "tags": ["incoming"],
        "summary": f"Start a run of {'an agent' if kind == 'agent' else 'a workflow'}",
        "description": "The credential alone selects the trigger: `?token=`, a Bearer token, or Basic.",
        "security": [{"trigger_token": []}, {"trigger_bearer": []}, {"trigger_basic": []}],
        "parameters": [
            {"name": f"{kind}_id", "in": "path", "required": True, "schema": {"type": "string"}},
        ],
        "requestBody": _body(
            {
                "type": "object",
                "required": [name for name, field in fields.items() if field.is_required],
                "properties": {name: words[field.expected] for name, field in fields.items()},
            }
        ),
        "responses": _responses("Queued", accepted),
    }


def _trigger_operation() -> dict[str, object]:
    return {
        "operationId": "call_trigger",
        "tags": ["incoming"],
        "summary": "Start what a trigger starts",
        "description": "Any method that the trigger takes, with any path below it and any body. The trigger says how "
        "its callers are known, and whether the answer is the result. One of the profile `prismatic` words refusals as "
        "Prismatic does.",
        "security": [
            {},
            {"trigger_token": []},
            {"trigger_bearer": []},
            {"trigger_basic": []},
            {"trigger_key": []},
        ],
        "parameters": [
            {"name": "path_id", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}},
            {
                "name": "Prefer",
                "in": "header",
                "schema": {"type": "string"},
                "description": "`wait=N`, in seconds: answer with the result (native profile).",
            },
        ],
        "requestBody": {"content": {"*/*": {"schema": {}}}},
        "responses": {
            "200": {"description": "Accepted in the Prismatic profile, or the result itself"},
            "202": {"description": "Queued, or still running"},
            "303": {"description": "The result is at Location"},
            "500": {
                "description": "The run failed, or a defect of ours: `FAILED`, `KILLED`, `LOST`, `INTERNAL`"
            },
            "504": {"description": "The run took longer than its time limit: `TIMED_OUT`"},
        },
    }


def _result_operation() -> dict[str, object]:
    texts = {"type": "string"}
    return {
        "operationId": "get_result",
        "tags": ["incoming"],
        "summary": "Get what a run returned, by a signed link",
        "description": "The link comes with a synchronous answer and expires. Knows ranges and entity tags.",
        "parameters": [
            {"name": "profile", "in": "path", "required": True, "schema": {"enum": list(results.PROFILES)}},
            {"name": "execution_id", "in": "path", "required": True, "schema": texts},
            {"name": "token", "in": "query", "required": True, "schema": texts},
            {"name": "Prefer", "in": "header", "schema": texts, "description": "`wait=N`, in seconds."},
        ],
        "responses": {
            "200": {"description": "The result itself, in its own type"},
            "202": {"description": "It still runs; ask again after Retry-After"},
            "206": {"description": "The range asked for"},
            "304": {"description": "It is what the caller has"},
            "500": {
                "description": "The run failed, or a defect of ours: `FAILED`, `KILLED`, `LOST`, `INTERNAL`"
            },
            "504": {"description": "The run took longer than its time limit: `TIMED_OUT`"},
        },
    }


def _body(schema: dict[str, Any]) -> dict[str, object]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _responses(description: str, schema: dict[str, Any]) -> dict[str, object]:
    return {"202": {"description": description, "content": {"application/json": {"schema": schema}}}}
