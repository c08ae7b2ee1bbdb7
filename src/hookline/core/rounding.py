"""Say which numbers of a JSON text do not come through JavaScript (SEEDS AF-X1), so that their owner learns of it.

JavaScript's numbers are doubles: an integer beyond 2^53 and a fraction of more digits than a double has reach such a
receiver as the nearest one. The text itself is rewritten in ``canonical``; this module changes nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import number, survives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_TOLD: Final = 20
"""Paths that are told of one text: an array of long ids would else be told whole."""

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


def rounded_numbers(raw: bytes, trim: Callable[[Any], Any] | None = None) -> list[str]:
    """Return the dotted paths of the numbers that ``canonical(raw, trim)`` changes, at most ``MOST_TOLD``.

    raw: JSON that ``canonical.decode`` took, at any depth.  trim: as for ``canonical``. A text that is one number has
    the path ``""``.
    """
    value = _decode(raw)
    found: list[str] = []
    for path in _rounded(value if trim is None else trim(value), ""):
        found.append(path)
        if len(found) == MOST_TOLD:
            break
    return found


def _rounded(value: Any, path: str) -> Iterator[str]:
    kind = type(value)
    if kind is dict or kind is list:
        children = value.items() if kind is dict else enumerate(value)
        for key, child in children:
            yield from _rounded(child, f"{path}.{key}" if path else str(key))
    elif (kind is int and not survives([value])) or (kind is Decimal and not _is_double(value)):
        yield path


def _is_double(value: Decimal) -> bool:
    """Say whether JavaScript prints a number as the same one."""
    return Decimal(number(float(value))) == value
