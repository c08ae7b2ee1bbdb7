"""What the handlers of an integration are given, and what they may return.

Handlers are declared with the flows (flows.py) and called in child processes. Nothing here calls anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from hookline.core.routing import Route
from hookline.triggered import Headers, Part, Record, Trigger

__all__ = ["HandlerContext", "HttpResponse", "Payload", "Route", "TriggerResult"]

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4096}")
_OURS: Final = frozenset({"connection", "content-length", "content-type", "transfer-encoding", "set-cookie"})
"""Headers of an answer that a handler may not set: framing is the server's, and its cookies are the dashboard's."""


class HttpResponse(msgspec.Struct, frozen=True):
    """An answer to the caller (PR-3). Raises ValueError or TypeError.

    status: 200 to 599.  body: a text or bytes as they are, anything else as JSON; None for the answer that names the
    execution, or an empty one when there is none.  content_type: None for what suits the body.
    """

    status: int = 200
    content_type: str | None = None
    body: Any = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not 200 <= self.status <= 599:
            raise ValueError(f"HttpResponse: status must be 200 to 599; got {self.status!r}")
        if self.content_type is not None:
            _check_header("content-type", self.content_type)
        for name, value in self.headers.items():
            if name.lower() in _OURS:
                raise ValueError(f"HttpResponse: the header {name!r} cannot be set here")
            _check_header(name, value)


def _check_header(name: Any, value: Any) -> None:
    if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
        raise ValueError(f"HttpResponse: {name!r} is not a header's name")
    if not isinstance(value, str) or _HEADER_VALUE.fullmatch(value) is None:
        raise ValueError(f"HttpResponse: the value of {name!r} must be printable Latin-1")


class TriggerResult(msgspec.Struct, frozen=True):
    """What ``on_trigger`` may return: the flow runs with ``payload``, and the caller gets ``response``.

    payload: None for the one that came.  response: None for the answer that names the execution.
    """

    payload: Payload | Mapping[str, Any] | None = None
    response: HttpResponse | None = None


class Payload(Trigger):
    """A request that is about to start a flow, as ``ctx.trigger`` will show it. Change what you like of ``body``,
    ``headers``, ``query_parameters`` and ``path_fragment``; ``raw_body`` stays as it came.
    """

    body: Any

    def replaced(self) -> dict[str, Any]:
        """Return what may have been changed, by name."""
        return {
            "headers": dict(self.headers),
            "query_parameters": self.query_parameters,
            "path_fragment": self.path_fragment,
            "body": self.body.as_dict() if isinstance(self.body, Record) else self.body,
        }


class HandlerContext:
    """The ``ctx`` of a handler.

    config: the instance's values by name, secrets among them.  instance_state: what ``on_deploy`` returned last, else
    None.  customer, instance, flow, integration: records with ``name`` and what else is known.
    webhook_urls: URL by flow name.  webhook_api_keys: keys by flow name.  invoke_url: of the shared endpoint, or None.
    """

    def __init__(self, values: Mapping[str, Any], log: Callable[[str, str, dict[str, Any]], None]) -> None:
        self.config: dict[str, Any] = values.get("config") or {}
        self.instance_state: Any = values.get("instance_state")
        self.webhook_urls: dict[str, str] = values.get("webhook_urls") or {}
        self.webhook_api_keys: dict[str, list[str]] = values.get("webhook_api_keys") or {}
        self.invoke_url: str | None = values.get("invoke_url")
        self.customer, self.instance, self.flow, self.integration = (
            Record(values.get(name)) for name in ("customer", "instance", "flow", "integration")
        )
        self._log = log

    def log(self, text: object, level: str = "info", **fields: Any) -> None:
        """Write a line to the node's log. level: debug, info, warning or error."""
        self._log(str(text), level, fields)

    def __repr__(self) -> str:
        return f"<HandlerContext of {self.instance.name!r}, flow {self.flow.name!r}>"


def trigger_answer(result: object, payload: Payload) -> dict[str, Any]:
    """Return what ``on_trigger`` returned, in the engine's words. Raises TypeError for anything it may not return.

    ``runs``: whether an execution starts.  ``payload``: what replaces fields of the trigger.  ``response``: or None.
    """
    if isinstance(result, HttpResponse):
        return {"runs": False, "payload": None, "response": _response(result)}
    if isinstance(result, TriggerResult):
        taken = payload if result.payload is None else result.payload
        response = None if result.response is None else _response(result.response)
        return {"runs": True, "payload": _replaced(taken), "response": response}
    if result is None:
        result = payload
    return {"runs": True, "payload": _replaced(result), "response": None}


def route_answer(result: object) -> dict[str, Any]:
    """Return what a route function returned. Raises TypeError for anything but a Route, a flow's name or None."""
    if isinstance(result, str):
        result = Route(flow=result)
    if result is None:
        result = Route()
    if not isinstance(result, Route):
        raise TypeError(f"route returns a Route, a flow's name or None; got {type(result).__name__}")
    return {"flow": result.flow, "customer": result.customer}


def _replaced(payload: object) -> dict[str, Any]:
    if isinstance(payload, Payload):
        return payload.replaced()
    if isinstance(payload, Mapping):
        return {name: payload[name] for name in _CHANGEABLE if name in payload}
    raise TypeError(
        "on_trigger returns its payload, an HttpResponse, a TriggerResult or None; "
        f"got {type(payload).__name__}"
    )


_CHANGEABLE: Final = ("headers", "query_parameters", "path_fragment", "body")


def _response(response: HttpResponse) -> dict[str, Any]:
    body, suits = _encoded(response.body)
    return {
        "status": response.status,
        "content_type": response.content_type or suits,
        "headers": dict(response.headers),
        "body": body,
    }


def _encoded(body: Any) -> tuple[bytes | None, str | None]:
    """Return a body as bytes and the content type that suits it."""
    match body:
        case None:
            return None, None
        case str():
            return body.encode(), "text/plain; charset=utf-8"
        case bytes() | bytearray():
            return bytes(body), "application/octet-stream"
        case _:
            import json

            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), "application/json"


def plain(value: Any) -> Any:
    """Return a value with records as objects, of JSON's types and bytes."""
    match value:
        case Part() | Record():
            return plain(value.as_dict())
        case Headers() | dict():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value
