"""How one object is shown to people: an execution, a webhook, a delivery with its attempts."""

from __future__ import annotations

import json
from typing import Any, Final

from hookline.cli import show

_ANSWER_LINES: Final = 10
_ANSWER_WIDTH: Final = 200
"""How much of a receiver's answer is shown: lines, and letters of each."""


def show_execution(execution: dict[str, Any]) -> None:
    """Print an execution."""
    automation = execution.get("automation") or {}
    error = execution.get("error") or {}
    duration = execution.get("run_duration_ms")
    show.sheet(
        [
            ("execution", execution.get("id")),
            ("automation", f"{automation.get('kind')} {automation.get('id')}"),
            ("status", execution.get("status")),
            ("waits for", execution.get("waits_for") or None),
            ("created", execution.get("created_at")),
            ("ran for", None if duration is None else show.took(duration)),
            ("steps", execution.get("steps")),
            ("credits", execution.get("credits_used")),
            ("processes", execution.get("attempt")),
            ("output", _as_it_is(execution.get("output"))),
            ("error", error_line(error) if error else None),
        ]
    )
    if error.get("stack"):
        for row in str(error["stack"]).splitlines():
            show.line(f"  {row}", "dim")


def error_line(error: dict[str, Any]) -> str:
    """Return why a run failed: what code raised by its type, anything else by its code."""
    raised = error.get("type") if error.get("code") == "FAILED" else None
    return f"{raised or error.get('code')}: {error.get('message')}"


def _as_it_is(value: object) -> str | None:
    """Return what a user's function returned, as JSON where it is no text."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def show_webhook(webhook: dict[str, Any]) -> None:
    """Print a webhook. Its secret is there only right after it was made."""
    numbers = webhook.get("delivery_stats") or {}
    show.sheet(
        [
            ("webhook", webhook.get("id")),
            ("name", webhook.get("name")),
            ("url", webhook.get("url")),
            ("events", webhook.get("events")),
            ("dialect", webhook.get("dialect")),
            ("status", webhook.get("status")),
            ("because", webhook.get("status_reason")),
            ("health", health_line(webhook)),
            ("last delivery", webhook.get("last_delivery")),
            ("delivered", numbers.get("successful_deliveries")),
            ("failed", numbers.get("failed_deliveries")),
            ("public key", webhook.get("public_key")),
            ("secret", webhook.get("secret")),
        ]
    )
    if webhook.get("secret"):
        show.line("The secret is shown once: give it to whoever runs the receiver.", "yellow")


def health_line(webhook: dict[str, Any]) -> str:
    """How a webhook's receiver fares, in a few words."""
    health = webhook.get("health") or {}
    if health.get("state") != "failing":
        return "ok"
    last = health.get("last_failure") or {}
    count = health["failures"]
    return (
        f"failing since {minute(health['failing_since'])}, {count} failure{'' if count == 1 else 's'}, "
        f"last: {answer_word(last)}"
    )


def minute(instant: str) -> str:
    """An instant of the API as people read it: ``2026-11-21 11:02``."""
    return instant[:16].replace("T", " ")


def answer_word(failure: dict[str, Any]) -> str:
    """What came of a failed attempt: its status, or the outcome without one."""
    return str(failure.get("status") or str(failure.get("outcome", "unknown")).replace("_", " "))


def show_delivery(delivery: dict[str, Any]) -> None:
    """Print a delivery and its attempts."""
    body = delivery.get("request_body")
    told = delivery | ({} if body is None else {"request_body": show.on_one_line(body)})
    show.sheet((name, value) for name, value in told.items() if name != "attempts" and value != [])
    attempts = delivery.get("attempts")
    if isinstance(attempts, list):
        show.line("")
        show.table(
            show.columns(
                "number",
                ("started_at", "when"),
                "outcome",
                ("status", "HTTP"),
                ("duration_ms", "took"),
                "address",
                "error",
            ),
            attempts,
            spare=("address", "duration_ms", "started_at"),
            empty="not attempted yet",
        )
        if attempts:
            _show_answer(delivery["id"], max(attempts, key=lambda attempt: attempt["number"]))


def _show_answer(delivery_id: str, attempt: dict[str, Any]) -> None:
    """Print the first lines of what a receiver answered; nothing where it said nothing."""
    body = attempt["response_body"]
    if not body:
        return
    show.line("")
    if attempt["response_body_encoding"] != "utf-8":
        show.line(f"attempt {attempt['number']} was answered with bytes that are no text", "dim")
        return
    show.line(f"attempt {attempt['number']} was answered:", "dim")
    rows = body.splitlines()
    for row in rows[:_ANSWER_LINES]:
        show.line(f"  {row if len(row) <= _ANSWER_WIDTH else row[:_ANSWER_WIDTH] + '…'}")
    if len(rows) > _ANSWER_LINES or attempt["is_response_cut"]:
        show.line(f"  … `hookline deliveries show {delivery_id} --json` has all that is kept", "dim")


def show_trigger(trigger: dict[str, Any]) -> None:
    """Print a trigger. Its credential is there only right after it was made."""
    automation, auth = trigger.get("automation") or {}, trigger.get("auth") or {}
    known = {"id", "name", "automation", "auth", "integration", "path_id", "created_at", "updated_at"}
    show.sheet(
        [
            ("trigger", trigger.get("id")),
            ("name", trigger.get("name")),
            ("automation", f"{automation.get('kind')} {automation.get('id')}"),
            ("auth", " ".join(str(value) for value in auth.values() if isinstance(value, str))),
            *((name, value) for name, value in trigger.items() if name not in known),
        ]
    )


def show_request(request: dict[str, Any]) -> None:
    """Print a request as it came: its headers and its body after what is known of it."""
    query = f"?{request['query']}" if request["query"] else ""
    show.sheet(
        [
            ("request", request["id"]),
            ("came", f"{request['received_at']} from {request['remote_address']}"),
            ("trigger", request["trigger_id"]),
            ("execution", request["execution_id"]),
            ("answered", request["status"]),
            ("because", request["reason"]),
            ("body", _kept_of(request)),
        ]
    )
    if request["explain"] is not None:
        show.line("")
        show_findings(request["explain"])
    show.line("")
    show.line(f"{request['method']} {request['path']}{query}")
    for name, value in request["headers"]:
        show.line(f"{name}: {value}")
    show.line("")
    if request["body_encoding"] == "utf-8":
        show.line(request["body"])
    else:
        show.line(f"bytes that are no text: `hookline capture {request['id']} --out DIR` writes them", "dim")


def _kept_of(request: dict[str, Any]) -> str:
    """How much of a request's body there is: nothing of one that was refused before it was read."""
    if request["body_size"] is None:
        return "not kept"
    return f"{request['body_size']} bytes" + ("" if request["is_body_whole"] else ", not all kept")


def show_findings(told: dict[str, Any]) -> None:
    """Print what is wrong with a request."""
    show.line(told["reason"] or "it would run now", "red" if told["reason"] else "green")
    for sentence in told["findings"]:
        show.line(f"  {sentence}")
