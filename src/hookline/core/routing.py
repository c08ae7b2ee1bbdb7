"""Find in a request what it names: its flow, its customer, its own id (PR-16, PR-18, PR-19).

A field is a dotted path into what ``ctx.trigger`` shows, such as ``headers.x-flow`` or ``body.data.tenant.id``. It
may begin with ``payload.`` or ``results.`` and say ``queryParameters`` for ``query_parameters``, as the seed's system
does. Whole numbers step into lists. What a path leads to counts when it is a text or a whole number, and nothing
else: neither true nor 1.5 names a customer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME: Final = 256
"""Characters of a name that a request may give; longer ones name nothing."""

_PREFIXES: Final = ("payload", "results")
_SPELLINGS: Final = {"queryParameters": "query_parameters", "pathFragment": "path_fragment"}
_ROOTS: Final = ("headers", "body", "query_parameters", "path_fragment")


class Route(msgspec.Struct, frozen=True):
    """What a request names. flow, customer: None when it does not."""

    flow: str | None = None
    customer: str | None = None


def parse_field(text: str) -> tuple[str, ...]:
    """Return the steps of a field. Raises ValueError, worded for who wrote it."""
    steps = tuple(text.split("."))
    while steps and steps[0] in _PREFIXES:
        steps = steps[1:]
    root = _SPELLINGS.get(steps[0], steps[0]) if steps else ""
    if root not in _ROOTS:
        raise ValueError(f"must begin with {', '.join(_ROOTS[:-1])} or {_ROOTS[-1]}; got {text!r}")
    if root == "headers":
        steps = (root, ".".join(steps[1:]).lower())  # a header's name may hold dots
    if root == "path_fragment" and len(steps) > 1:
        raise ValueError(f"path_fragment is one text and has no fields; got {text!r}")
    if not all(steps) or (root != "path_fragment" and len(steps) < 2):
        raise ValueError(f"must name a field, such as {root}.name; got {text!r}")
    return (root, *steps[1:])


def resolve(field: str, payload: Mapping[str, Any]) -> str | None:
    """Return what a request says at this field, None when that is no name.

    payload: what ``ctx.trigger`` shows, header names in lower case.  field: see ``parse_field``, which it has passed.
    """
    value: Any = payload
    for step in parse_field(field):
        value = _step(value, step)
    return name_of(value)


def name_of(value: object) -> str | None:
    """Return a text or whole number as a name, None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME else None


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
        return value[int(step)]
    return None
