"""``hookline explain``: what became of an event or a run, for every webhook, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hookline.cli import show
from hookline.cli.client import AnswerError, Client, CommandError, segment
from hookline.cli.options import Json

_OTHERS: Final = {
    "dlv": "deliveries",
    "wh": "webhooks",
    "trg": "triggers",
    "req": "requests",
    "conv": "conversations",
}
"""What else people have the id of at hand, and the command that shows it."""


def explain(id: str, /, *, json: Json = False) -> None:
    """Tell the story of an event or an execution: what happened, each attempt, and which rule kept it from whom.

    For example:

    ```
    hookline explain evt_…
    hookline explain exec_…
    ```

    Parameters
    ----------
    id
        An event's id, also one of your own, or an execution's.
    """
    client = Client.from_environment()
    try:
        story = _of_execution(client, id) if id.startswith("exec_") else _of_event(client, id)
    except AnswerError as error:
        word = _OTHERS.get(id.partition("_")[0])
        if error.status != 404 or word is None:
            raise
        raise CommandError(
            f"explain takes the id of an event or an execution; `hookline {word} show {id}` shows this one"
        ) from error
    if json:
        show.as_json(story)
        return
    for moment in story["timeline"]:
        show.line(_worded(moment))
    for event in story["events"]:
        show.line("")
        show.line(f"{event['type']}  {event['event_id']}", "bold")
        show.table(
            show.columns(("name", "webhook"), "state", ("reason", "why")),
            event["webhooks"],
            empty="  no webhooks: nobody is told",
        )


def _of_execution(client: Client, id: str) -> dict[str, Any]:
    timeline = client.get(f"/api/v1/executions/{segment(id)}/timeline")["timeline"]
    timeline = [*_request_of(client, id), *timeline]
    ids = [moment["id"] for moment in timeline if moment["what"] == "event"]
    return {"id": id, "timeline": timeline, "events": [_explained(client, one) for one in ids]}


def _request_of(client: Client, id: str) -> list[dict[str, Any]]:
    """The request that began a run; none for one that began otherwise, or whose request is not kept any more."""
    request_id = client.get(f"/api/v1/executions/{segment(id)}")["trigger"]["request_id"]
    if request_id is None:
        return []
    try:
        found = client.get(f"/api/v1/requests/{segment(request_id)}")
    except AnswerError as error:
        if error.status != 404:
            raise
        return []
    return [
        {
            "at": found["received_at"],
            "what": "request",
            "method": found["method"],
            "path": found["path"],
            "status": found["status"],
        }
    ]


def _of_event(client: Client, id: str) -> dict[str, Any]:
    event = _explained(client, id)
    if event["execution_id"] is not None:
        try:
            return _of_execution(client, event["execution_id"]) | {"id": id, "events": [event]}
        except AnswerError as error:
            if error.status != 404:
                raise
    moments = [{"at": event["received_at"], "what": "event", "type": event["type"], "id": event["event_id"]}]
    for webhook in event["webhooks"]:
        if webhook["delivery"] is not None:
            found = client.get(f"/api/v1/deliveries/{segment(webhook['delivery']['id'])}")
            moments += [
                {
                    "at": attempt["started_at"],
                    "what": "attempt",
                    "number": attempt["number"],
                    "webhook": webhook["name"],
                    "outcome": attempt["outcome"],
                    "status": attempt["status"],
                    "duration_ms": attempt["duration_ms"],
                }
                for attempt in found["attempts"]
            ]
    moments.sort(key=lambda moment: str(moment["at"]))
    return {"id": id, "timeline": moments, "events": [event]}


def _explained(client: Client, event_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/events/{segment(event_id)}/explain")
    return found


def _worded(moment: dict[str, Any]) -> str:
    """One line: the time of day, what, and the rest of what is known, each with what it counts."""
    found = {name: value for name, value in moment.items() if value is not None}
    at, what = str(found.pop("at"))[11:23], str(found.pop("what", ""))
    words = _WORDS.get(what)
    rest = words(found) if words is not None else "  ".join(_fact(*one) for one in found.items())
    return f"{at}  {what:<8}  {rest}".rstrip()


def _fact(name: str, value: object) -> str:
    if isinstance(value, dict | list):
        return ""
    return f"{value} ms" if name.endswith("_ms") else str(value)


def _attempt(found: dict[str, Any]) -> str:
    status = found.get("response_code", found.get("status"))
    answer = f"answered {status}" if status is not None else found["outcome"]
    to = f" to {found['webhook']}" if "webhook" in found else ""
    return f"{found['number']}{to}: {answer} in {found['duration_ms']} ms"


_WORDS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "request": lambda found: f"{found['method']} {found['path']}: {found['status']}",
    "queued": lambda found: f"by {found['source']}",
    "started": lambda found: f"after {found.get('launch_duration_ms', 0)} ms",
    "log": lambda found: (
        str(found["text"]) if found["level"] == "info" else f"{found['level']}: {found['text']}"
    ),
    "step": lambda found: f"{found['name']} ({found['duration_ms']} ms)",
    # Its id stands below, where what became of it is told.
    "event": lambda found: str(found["type"]),
    "delivery": lambda found: f"{found['id']} {found['state']}",
    "attempt": _attempt,
    "ended": lambda found: str(found["status"]),
}
"""What happened to how it is told; what is not here is told as it came."""
