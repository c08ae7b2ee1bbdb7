"""Which executions take turns, and which one a later request means: names of gates and marks.

A gate or a mark is a digest of where it counts (one trigger, one flow of one instance) and of the value that the
request gave for it, so equal values of different places never meet.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.core.routing import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.model.executions import Automation

MODES = ("queue", "skip", "replace")
"""What a trigger may ask for when its gate is full."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one new execution among others.

    gate, limit: at most ``limit`` of one gate run at once, None for no gate.  when_full: one of MODES.
    mark, same_mark: see ``ports.Accept``; None for no mark.
    delay: how long it waits before it begins, in case another of its mark comes (debounce); None begins at once.
    most_delay: the longest that later ones can put it off, from the first on; None for no end.
    """

    gate: bytes | None = None
    limit: int = 1
    when_full: str = "queue"
    mark: bytes | None = None
    same_mark: str = "merge"
    delay: timedelta | None = None
    most_delay: timedelta | None = None


def digest(*parts: str | bytes) -> bytes:
    """Return 16 bytes that name these parts in this order; no two lists of parts read the same."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8))
        hashed.update(data)
    return hashed.digest()


def conversation_gate(conversation_id: bytes) -> bytes:
    """Return the gate of the turns of a conversation that is kept open: one runs at a time, in the order they came."""
    return digest("conversation", conversation_id)


def place_of(trigger_id: bytes, automation: Automation) -> bytes:
    """Return where the gates and marks of one automation behind one trigger count."""
    return digest(trigger_id, automation.kind, automation.id)


def turn_of(
    place: bytes,
    settings: Mapping[str, Any],
    automation: Automation,
    payload: Callable[[], Mapping[str, Any]],
) -> Turn | None:
    """Return the place of what a request starts among others, None when it takes no turns.

    place: where gates and marks count.  settings: the trigger's, whose ``concurrency`` goes before the flow's own
    queue.  payload: as of ``core.routing.resolve``, asked for only when a rule needs it; requests that name nothing
    share one gate.
    """
    concurrency, debounce = settings.get("concurrency"), settings.get("debounce")
    if not (concurrency or debounce or automation.queue or automation.retry):
        return None
    shown = payload()
    fields = _gate(place, concurrency, automation, shown) | _mark(place, debounce, automation, shown)
    return Turn(**fields) if fields else None


def _gate(
    place: bytes, concurrency: Mapping[str, Any] | None, automation: Automation, payload: Mapping[str, Any]
) -> dict[str, Any]:
    if concurrency is not None:
        return {
            "gate": digest(place, "gate", _named(concurrency.get("key"), payload)),
            "limit": concurrency["limit"],
            "when_full": concurrency["mode"],
        }
    if automation.queue is not None:
        return {"gate": digest(place, "queue"), "limit": automation.queue.limit}
    return {}


def _mark(
    place: bytes,
    debounce: Mapping[str, Any] | None,
    automation: Automation,
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    if debounce is not None:
        longest = debounce.get("max_seconds")
        return {
            "mark": digest(place, "debounce", _named(debounce.get("key"), payload)),
            "delay": timedelta(seconds=debounce["delay_seconds"]),
            "most_delay": None if longest is None else timedelta(seconds=longest),
        }
    if automation.retry is None or automation.retry.unique_id is None:
        return {}
    name = resolve(automation.retry.unique_id, payload)
    return {} if name is None else {"mark": digest(place, "retry", name), "same_mark": "supersede"}


def _named(field: str | None, payload: Mapping[str, Any]) -> str:
    return "" if field is None else resolve(field, payload) or ""
