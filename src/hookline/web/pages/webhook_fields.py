"""A webhook's settings as a form has them, and as the API does: one way there, one way back."""

from __future__ import annotations

import json
from typing import Any, Final

from hookline.web.forms import number_of, read_json

AUTHENTICATIONS: Final = (
    ("none", "not at all, beside the signature"),
    ("bearer", "a token, as Bearer"),
    ("basic", "a name and a password"),
    ("header", "a header of its own"),
    ("query", "a parameter in the URL"),
)
_NAME_AND_SECRET: Final = {
    "bearer": (None, "token"),
    "basic": ("username", "password"),
    "header": ("name", "value"),
    "query": ("name", "value"),
}
"""What the API calls the two, by the way of authentication."""

_TEXTS: Final = ("url", "events", "name", "dialect", "automation")
_JSON: Final = ("conditions", "headers", "retry_policy", "metadata")
_NUMBERS: Final = ("rate_per_second", "max_in_flight", "timeout_seconds", "max_redirects")
_LISTS: Final = ("include_fields", "exclude_fields")
_BATCH: Final = ("max_events", "max_wait_seconds")
_AUTHENTICATION: Final = ("authentication", "auth_name", "auth_secret")

FIELDS: Final = (
    *_TEXTS,
    *_JSON,
    *_NUMBERS,
    *(f"filters.{name}" for name in _LISTS),
    *(f"batch_settings.{name}" for name in _BATCH),
    *_AUTHENTICATION,
    "ordered",
)
"""Names of the form's fields. Where the API would find fault with one, it says the same name, or one below it."""


def fields_of(given: dict[str, str], *, is_new: bool = True) -> dict[str, Any]:
    """What a form says, as the API takes it. What is no number goes on as text: the API words the fault.

    Empty fields are left out of a new webhook, and unset those of one that is there. Raises Refusal for no JSON.
    """
    fields: dict[str, Any] = {
        "url": given.get("url", "").strip(),
        "events": given.get("events", "").split(),
        "dialect": given.get("dialect") or None,
        "name": given.get("name", "").strip() or None,
        "ordered": given.get("ordered") == "on",
        "automation": _automation(given.get("automation", "")),
        "authentication": _authentication(given),
        "filters": _group(
            {name: given.get(f"filters.{name}", "").split() or None for name in _LISTS},
        ),
        "batch_settings": _group(
            {name: number_of(given.get(f"batch_settings.{name}", "")) for name in _BATCH},
        ),
    }
    for name in _JSON:
        fields[name] = read_json(name, given.get(name, ""))
    for name in _NUMBERS:
        fields[name] = number_of(given.get(name, ""))
    return {name: value for name, value in fields.items() if value is not None} if is_new else fields


def _automation(text: str) -> dict[str, str] | None:
    kind, _, id_ = text.partition(" ")
    return {"kind": kind, "id": id_} if kind else None


def _authentication(given: dict[str, str]) -> dict[str, Any]:
    """Without a secret the one that is stored stays, as the API has it."""
    kind = given.get("authentication") or "none"
    name, secret = _NAME_AND_SECRET.get(kind, (None, None))
    found = {"type": kind}
    if name is not None:
        found[name] = given.get("auth_name", "")
    if secret is not None and given.get("auth_secret"):
        found[secret] = given["auth_secret"]
    return found


def _group(values: dict[str, Any]) -> dict[str, Any] | None:
    """What is set of a group of settings; None when nothing is."""
    return {name: value for name, value in values.items() if value is not None} or None


def given_of(shown: dict[str, Any]) -> dict[str, str]:
    """What the form of a webhook begins with. shown: as the API tells it, which is without secrets."""
    authentication = shown["authentication"] or {"type": "none"}
    name, _ = _NAME_AND_SECRET.get(authentication["type"], (None, None))
    filters, batch = shown["filters"] or {}, shown["batch_settings"] or {}
    automation = shown["automation"]
    return {
        "name": shown["name"] or "",
        "url": shown["url"],
        "events": "\n".join(shown["events"]),
        "dialect": shown["dialect"],
        "ordered": "on" if shown["ordered"] else "",
        "automation": "" if automation is None else f"{automation['kind']} {automation['id']}",
        "authentication": authentication["type"],
        "auth_name": "" if name is None else authentication[name],
        **{f"filters.{name}": "\n".join(filters.get(name) or ()) for name in _LISTS},
        **{f"batch_settings.{name}": _number(batch.get(name)) for name in _BATCH},
        **{name: _json(shown[name]) for name in _JSON},
        **{name: _number(shown[name]) for name in _NUMBERS},
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
