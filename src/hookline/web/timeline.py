"""A run's story: the request that began it, its steps, its log, its events, and every attempt to deliver them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRESS: Final = "progress"
"""Stream of the lines that say how far a run has come."""

_UNTOLD: Final = frozenset({"log", "credits"})
"""Entries of the journal that stand elsewhere: the lines themselves, and the sum."""


def story(
    moments: Sequence[dict[str, Any]],
    lines: Sequence[dict[str, Any]],
    *,
    request: dict[str, Any] | None,
    webhooks: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Everything in its order; log lines that follow each other are one entry, ``lines``.

    request: the trigger request that began it, None where there was none or it is gone.  webhooks: names by id.
    """
    told = [moment | _names(moment, moments, webhooks) for moment in moments if moment["what"] not in _UNTOLD]
    if request is not None:
        told.append({"at": request["received_at"], "what": "request", "request": request})
    told += [{"at": line["at"], "what": "line", "line": line} for line in lines if line["stream"] != PROGRESS]
    # Sorting is stable: what the API told first stays first within a millisecond, but for the request.
    told.sort(key=lambda moment: (moment["at"], moment["what"] != "request"))
    return _grouped(told)


def _names(
    moment: dict[str, Any], moments: Sequence[dict[str, Any]], webhooks: Mapping[str, str]
) -> dict[str, Any]:
    """Whom a delivery or an attempt was for."""
    if moment["what"] == "attempt":
        wanted = moment["delivery_id"]
        owner = next((one for one in moments if one["what"] == "delivery" and one["id"] == wanted), {})
    else:
        owner = moment
    return {"webhook": webhooks.get(owner.get("webhook_id", ""), "a deleted webhook")}


def _grouped(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for is_line, group in groupby(told, lambda moment: moment["what"] == "line"):
        if is_line:
            lines = [moment["line"] for moment in group]
            found.append({"at": lines[0]["at"], "what": "lines", "lines": lines})
        else:
            found += group
    return found


def progress(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """How far a run has come, as it last told: ``share`` 0.0 to 1.0 and a ``label``; None when it tells nothing."""
    told = [fields for fields in _told(lines) if "percent" in fields or "label" in fields]
    if not told:
        return None
    percent = told[-1].get("percent")
    share = percent / 100 if isinstance(percent, int | float) and not isinstance(percent, bool) else 0.0
    return {"share": min(max(share, 0.0), 1.0), "label": str(told[-1].get("label") or "")}


def spoken(lines: Sequence[dict[str, Any]]) -> str:
    """What an agent has said so far of an answer that it still works on. Asked again, it begins again."""
    words = ""
    place = None
    for fields in _told(lines):
        delta, here = fields.get("delta"), (fields.get("round"), fields.get("attempt"))
        if isinstance(delta, str):
            words = words + delta if here == place else delta
            place = here
    return words


def _told(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        line["fields"] for line in lines if line["stream"] == PROGRESS and isinstance(line["fields"], dict)
    ]
