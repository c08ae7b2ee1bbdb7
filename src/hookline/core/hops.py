"""Count how many deliveries of ours led to a request, so that automations cannot call each other for ever.

A delivery of an execution's event says in ``Hookline-Hops`` how many there were with it; a request that a delivery
made carries the number into what ``ctx.trigger`` shows, and so to the events of its own execution. A receiver that
makes a request of its own may pass the header on.
"""

from __future__ import annotations

import re
from typing import Final

from hookline.errors import ConflictError, InputError

HEADER: Final = "Hookline-Hops"

MOST_HOPS: Final = 5
"""More are refused: nobody chains so many systems on purpose."""

_SHOWN: Final = re.compile(rb'\{"hops":([0-9]{1,3}),')


def hops_in(header: bytes | None) -> int:
    """Return the number in a header, 0 without one. Raises InputError, or ConflictError for too many."""
    if header is None:
        return 0
    if not header.isdigit() or len(header) > 3:
        raise InputError(
            f"{HEADER} is a whole number.", field=HEADER, expected="whole number", received="string"
        )
    hops = int(header)
    if hops > MOST_HOPS:
        raise ConflictError(
            f"This request came through {hops} deliveries: automations call each other in a circle.",
            code="LOOP_DETECTED",
            field=HEADER,
        )
    return hops


def shown(hops: int) -> dict[str, int]:
    """Return what stands first in the JSON of ``ctx.trigger``: nothing for none."""
    return {"hops": hops} if hops else {}


def hops_of(trigger: bytes | None) -> int:
    """Return how many led to an execution. trigger: JSON text of what ``ctx.trigger`` shows, or None."""
    found = None if trigger is None else _SHOWN.match(trigger)
    return 0 if found is None else int(found[1])
