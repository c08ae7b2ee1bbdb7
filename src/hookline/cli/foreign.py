"""Read what other systems export, and say which webhooks and triggers of ours are the same.

Pure: JSON in, bodies for ``POST /api/v1/webhooks`` and ``/api/v1/triggers`` out. What has no counterpart is told in a
note; where leaving it out would send too much, or to the wrong people, the webhook begins paused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from hookline.cli.client import CommandError

SVIX_WAITS: Final = (5, 300, 1800, 7200, 18000, 36000, 36000)
"""Seconds between the attempts of Svix, as its documentation lists them."""

_MOST_WAITS: Final = 20
_LONGEST_WAIT: Final = 604_800
_OPERATORS: Final = {
    **{f"${name}": name for name in ("eq", "gt", "gte", "lt", "lte", "in", "nin")},
    "$neq": "ne",
    "$exist": "exists",
}
"""Convoy's filter operators to those of conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One object to make. source: its name there.  path: of our route.  body: to POST.  is_paused: pause it at once.

    notes: what is not the same, one sentence each.  was_at: the path that callers know, of a trigger.
    """

    source: str
    path: str
    body: dict[str, Any]
    is_paused: bool = False
    notes: tuple[str, ...] = ()
    was_at: str | None = None


@dataclass(slots=True)
class _Notes:
    """Collects what could not be taken over. must_pause: going on without it would be wrong."""

    said: list[str] = field(default_factory=list)
    must_pause: bool = False

    def say(self, text: str, *, pause: bool = False) -> None:
        self.said.append(text)
        self.must_pause |= pause


def listed(export: Any, *names: str) -> list[dict[str, Any]]:
    """The objects of an export: a list, or an answer of the system's API that has one below one of these names."""
    while isinstance(export, dict):
        inside = next((export[name] for name in (*names, "data", "content") if name in export), None)
        if inside is None:
            return [export]
        export = inside
    if not isinstance(export, list) or not all(isinstance(one, dict) for one in export):
        raise CommandError("the file holds no list of objects: give what the system's API answered")
    return export


def from_svix(exports: list[Any]) -> list[Taken]:
    """Endpoints of Svix: its list, each with what ``…/secret/`` and ``…/headers/`` answered beside it."""
    return [_svix_endpoint(endpoint) for export in exports for endpoint in listed(export)]


def _svix_endpoint(endpoint: dict[str, Any]) -> Taken:
    notes = _Notes()
    secret, headers = endpoint.get("secret"), endpoint.get("headers") or {}
    secret = secret.get("key") if isinstance(secret, dict) else secret
    if secret is None:
        notes.say("The export has no secret: the receiver needs the new one that is printed.", pause=True)
    if endpoint.get("channels"):
        notes.say(
            "It listens to channels only: say by conditions on the data which events it gets.", pause=True
        )
    rate = endpoint.get("throttleRate") or endpoint.get("rateLimit")
    body = {
        "name": endpoint.get("description") or endpoint.get("uid") or endpoint.get("id"),
        "url": endpoint.get("url"),
        "events": endpoint.get("filterTypes") or ["*"],
        "dialect": "raw",
        "secret": secret,
        "retry_policy": {"schedule_seconds": list(SVIX_WAITS), "jitter": 0.2},
        "rate_per_second": rate,
        "headers": headers.get("headers", headers) or None,
        "metadata": endpoint.get("metadata") or None,
    }
    return _webhook(endpoint, body, notes, is_off=bool(endpoint.get("disabled")))


def from_convoy(exports: list[Any]) -> list[Taken]:
    """Subscriptions of Convoy, each with its endpoint. exports: what the lists of both answered, in either order."""
    objects = [one for export in exports for one in listed(export, "endpoints", "subscriptions")]
    endpoints = {one["uid"]: one for one in objects if "url" in one or "target_url" in one}
    subscriptions = [one for one in objects if one.get("uid") not in endpoints]
    if not subscriptions:
        raise CommandError("there is no subscription in the files: give the endpoints and the subscriptions")
    return [_convoy_subscription(one, endpoints) for one in subscriptions]


def _convoy_subscription(subscription: dict[str, Any], endpoints: dict[str, dict[str, Any]]) -> Taken:
    notes = _Notes()
    uid = str(subscription.get("endpoint_id") or (subscription.get("endpoint_metadata") or {}).get("uid"))
    endpoint = endpoints.get(uid) or subscription.get("endpoint_metadata") or {}
    chosen = subscription.get("filter_config") or {}
    valid = [one["value"] for one in endpoint.get("secrets") or () if not one.get("expires_at")]
    if not valid:
        notes.say("The export has no secret: the receiver needs the new one that is printed.", pause=True)
    notes.say("Its receiver finds the signature in webhook-signature, no longer in X-Convoy-Signature.")
    body = {
        "name": subscription.get("name") or endpoint.get("name") or endpoint.get("title"),
        "url": endpoint.get("url") or endpoint.get("target_url"),
        "events": chosen.get("event_types") or ["*"],
        "dialect": "raw",
        "secret": valid[-1] if valid else None,
        "authentication": _convoy_authentication(endpoint.get("authentication") or {}, notes),
        "conditions": _convoy_conditions(chosen.get("filter") or {}, notes),
        "retry_policy": _convoy_retries(subscription.get("retry_config") or {}),
        "rate_per_second": _rate(endpoint.get("rate_limit"), endpoint.get("rate_limit_duration")),
        "timeout_seconds": endpoint.get("http_timeout") or None,
    }
    return _webhook(subscription, body, notes, is_off=endpoint.get("status", "active") != "active")


def _convoy_authentication(given: dict[str, Any], notes: _Notes) -> dict[str, Any] | None:
    kind = given.get("type")
    if kind == "api_key":
        return {
            "type": "header",
            "name": given["api_key"]["header_name"],
            "value": given["api_key"]["header_value"],
        }
    if kind == "basic_auth":
        one = given["basic_auth"]
        return {"type": "basic", "username": one["username"], "password": one["password"]}
    if kind:
        notes.say(f"Its authentication '{kind}' has no counterpart.", pause=True)
    return None


def _convoy_conditions(chosen: dict[str, Any], notes: _Notes) -> dict[str, Any] | None:
    if chosen.get("headers") or chosen.get("query") or chosen.get("path"):
        notes.say("It filters by headers, query or path, which events here do not have.", pause=True)
    found: dict[str, Any] = {}
    if not _collect(chosen.get("body") or {}, "", found):
        notes.say("Its filter of the body has a part that conditions cannot say: write it anew.", pause=True)
        return None
    return found or None


def _collect(part: Any, path: str, found: dict[str, Any]) -> bool:
    """Put the conditions of a nested filter into found, by dotted path. Returns whether all of it could be said."""
    if not isinstance(part, dict):
        found[path] = {"eq": part}
        return bool(path) and not isinstance(part, list)
    said = True
    for key, value in part.items():
        if key in _OPERATORS and path:
            found.setdefault(path, {})[_OPERATORS[key]] = value
        elif key.startswith("$"):
            said = False
        else:
            said &= _collect(value, f"{path}.{key}" if path else key, found)
    return said


def _convoy_retries(given: dict[str, Any]) -> dict[str, Any] | None:
    first, count = given.get("duration") or 0, min(given.get("retry_count") or 0, _MOST_WAITS)
    if not first or not count:
        return None
    growth = 2 if given.get("type") == "exponential" else 1
    waits = [min(max(first, 1) * growth**number, _LONGEST_WAIT) for number in range(count)]
    return {"schedule_seconds": waits, "jitter": 0.1}


def _rate(most: float | None, seconds: float | None) -> float | None:
    return most / seconds if most and seconds else None


def _webhook(there: dict[str, Any], body: dict[str, Any], notes: _Notes, *, is_off: bool) -> Taken:
    return Taken(
        source=str(there.get("uid") or there.get("id") or body["name"]),
        path="/api/v1/webhooks",
        body={name: value for name, value in body.items() if value is not None},
        is_paused=is_off or notes.must_pause,
        notes=tuple(notes.said),
    )


def from_n8n(exports: list[Any]) -> list[Taken]:
    """Webhook nodes of n8n's workflows. exports: workflows, and decrypted credentials where nodes have such."""
    objects = [one for export in exports for one in listed(export)]
    credentials = {str(one.get("id")): one.get("data") or {} for one in objects if "nodes" not in one}
    return [
        _n8n_node(workflow, node, credentials)
        for workflow in objects
        for node in workflow.get("nodes", ())
        if node.get("type") == "n8n-nodes-base.webhook"
    ]


def _n8n_node(workflow: dict[str, Any], node: dict[str, Any], credentials: dict[str, Any]) -> Taken:
    notes = _Notes()
    parameters = node.get("parameters") or {}
    method = parameters.get("httpMethod", "GET")
    methods = method if isinstance(method, list) else [method]
    body = {
        "profile": "native",
        "automation": {"kind": "workflow", "id": workflow_id(str(workflow.get("name")))},
        "auth": _n8n_auth(parameters.get("authentication", "none"), node, credentials),
        "methods": [one for one in methods if one != "OPTIONS"],
        "synchronous": parameters.get("responseMode", "onReceived") != "onReceived",
    }
    if parameters.get("responseMode") == "responseNode":
        notes.say("Its answer is what the workflow returns: a value, or {'data', 'content_type'}.")
    path = str(parameters.get("path") or node.get("webhookId"))
    return Taken(
        source=f"{workflow.get('name')} / {node.get('name')}",
        path="/api/v1/triggers",
        body=body,
        notes=tuple(notes.said),
        was_at=f"/webhook/{path.lstrip('/')}",
    )


def _n8n_auth(kind: str, node: dict[str, Any], credentials: dict[str, Any]) -> dict[str, Any]:
    if kind == "none":
        return {"type": "none"}
    of_node = (node.get("credentials") or {}).values()
    data = next(
        (credentials[str(one.get("id"))] for one in of_node if str(one.get("id")) in credentials), None
    )
    if data is None or kind not in {"headerAuth", "basicAuth"}:
        raise CommandError(
            f"the node '{node.get('name')}' asks for {kind}: give its decrypted credentials in another file"
            if kind in {"headerAuth", "basicAuth"}
            else f"the node '{node.get('name')}' asks for {kind}, which triggers here do not know"
        )
    if kind == "basicAuth":
        return {"type": "basic", "username": data["user"], "password": data["password"]}
    return {"type": "signature", "header": data["name"], "algorithm": "equality", "secret": data["value"]}


def workflow_id(name: str) -> str:
    """The id of the workflow to write for one of n8n's: its name in lower case, words joined."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "workflow"
