"""Tries of a step that gave no result: how the journal names them, and what becomes of the step.

A finished step is a journal entry of op ``step``. Each try of it that failed, was cut off or died is one of op ``try``,
named after the step, with a ``FailedTry`` as its value. An execution that failed and is run again as a whole (PR-18)
begins a new round, in which every step has all of its tries once more.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.executions import Failure, JournalEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

OP: Final = "try"

MAX_RETRIES: Final = 100
"""Of one step in one round. Who needs more has a step that does not work."""

_PLACES: Final = 1000
"""Tries that are kept of one step, over all rounds: (op, name, occurrence) must tell them apart."""

_STEPS: Final = 2_000_000
"""Steps of one name whose tries are kept: an occurrence is a number of 32 bits."""


class FailedTry(msgspec.Struct, frozen=True, omit_defaults=True):
    """step: occurrence of the step.  number: counts the step's tries from 1, over all rounds.  round: 0 for the first.

    retry_at: when the next try is due; None when that is not known, or there is none.  is_final: the step has failed
    for good in this round: whoever calls it is told the same failure again.
    """

    step: int
    number: int
    round: int
    failure: Failure
    retry_at: datetime | None = None
    is_final: bool = False


def entry_of(name: str, tried: FailedTry, *, started_at: datetime, duration_ms: int) -> JournalEntry | None:
    """Return the journal's entry of a try; None for one too many to be kept."""
    if tried.number > _PLACES or tried.step >= _STEPS:
        return None
    return JournalEntry(
        op=OP,
        name=name,
        occurrence=tried.step * _PLACES + tried.number - 1,
        value=msgspec.json.encode(tried),
        started_at=started_at,
        duration_ms=duration_ms,
    )


def step_of(entry: JournalEntry) -> tuple[str, int] | None:
    """Return the step, (name, occurrence), that an entry tells of; None for another entry."""
    if entry.op == OP:
        return entry.name, entry.occurrence // _PLACES
    return (entry.name, entry.occurrence) if entry.op == "step" else None


def tried_of(entry: JournalEntry) -> FailedTry:
    return msgspec.json.decode(entry.value or b"", type=FailedTry)


def tries_by_step(
    entries: Iterable[JournalEntry],
) -> dict[tuple[str, int], list[tuple[JournalEntry, FailedTry]]]:
    """Return the failed tries of each step, (name, occurrence), in their order."""
    found: dict[tuple[str, int], list[tuple[JournalEntry, FailedTry]]] = {}
    for entry in entries:
        if entry.op == OP:
            tried = tried_of(entry)
            found.setdefault((entry.name, tried.step), []).append((entry, tried))
    for tries in found.values():
        tries.sort(key=lambda pair: pair[1].number)
    return found


def rounds_of(entries: Iterable[JournalEntry]) -> int:
    """Return how often the execution has failed as a whole and was run again."""
    return sum(entry.op == "retry" for entry in entries)
