"""Say whether an event is owed to a webhook, and if not, which rule says no.

A pattern is an event type in which ``*`` stands for any run of characters, dots included: ``workflow.*``,
``*.failed``, ``*``. Users' text never becomes a regular expression, so no pattern can be slow: matching takes time
in proportion to the type's length for each ``*``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Twice the longest type we know, with room; and as many stars as any sensible pattern has segments.
_LONGEST: Final = 200
_MOST_STARS: Final = 8
# Event types are few and come again and again; a hostile publisher's flood of new ones is forgotten at once.
_REMEMBERED: Final = 1024


class Mismatch(StrEnum):
    """The rule by which a webhook does not get an event. They are asked in this order and the first no counts."""

    TARGET = "target"  # the event is for one other webhook alone: a test, a callback
    PATTERN = "pattern"  # no pattern of the webhook fits the event's type
    DIALECT = "dialect"  # the dialect tells only how runs ended
    SUBJECT = "subject"  # the event tells how this very webhook fares
    AUTOMATION = "automation"  # the webhook is for another automation
    CONDITION = "condition"  # the event's data does not meet the webhook's conditions


def check_pattern(text: Any, field: str) -> str:
    """Return the pattern, or raise InputError pointing at ``field``."""
    if not isinstance(text, str):
        raise InputError(
            "An event pattern must be a string.", field=field, expected="string", received=type_name(text)
        )
    if not 0 < len(text) <= _LONGEST:
        raise InputError(
            f"An event pattern has 1 to {_LONGEST} characters.",
            field=field,
            expected=f"1 to {_LONGEST} characters",
            received=f"{len(text)} characters",
        )
    if not text.isprintable() or any(character.isspace() for character in text):
        raise InputError(
            "An event pattern has no spaces or control characters.",
            field=field,
            expected="event type, may hold *",
            received="string",
        )
    if text.count("*") > _MOST_STARS:
        raise InputError(
            f"An event pattern has at most {_MOST_STARS} stars.",
            field=field,
            expected=f"at most {_MOST_STARS} *",
            received=str(text.count("*")),
        )
    return text


def compile_patterns(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that says whether an event type matches one of the patterns.

    patterns: checked ones; none at all matches nothing.
    """
    if "*" in patterns:
        return lambda _: True
    exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
    globs = [pattern.split("*") for pattern in dict.fromkeys(patterns) if "*" in pattern]
    if not globs:
        return exact.__contains__
    known: dict[str, bool] = {}

    def matches(event_type: str) -> bool:
        answer = known.get(event_type)
        if answer is None:
            answer = event_type in exact or any(_fits(parts, event_type) for parts in globs)
            if len(known) >= _REMEMBERED:
                known.clear()
            known[event_type] = answer
        return answer

    return matches


def _fits(parts: list[str], text: str) -> bool:
    """parts: a pattern split at its stars, two or more."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:  # the leftmost place is always good enough: what follows only needs room
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True
