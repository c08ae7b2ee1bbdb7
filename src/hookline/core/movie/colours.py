"""Colours of a movie: what a user writes, as numbers."""

from __future__ import annotations

from typing import Final

import msgspec

NAMES: Final = {
    "aqua": "00FFFF",
    "black": "000000",
    "blue": "0000FF",
    "fuchsia": "FF00FF",
    "gray": "808080",
    "green": "008000",
    "lime": "00FF00",
    "maroon": "800000",
    "navy": "000080",
    "olive": "808000",
    "purple": "800080",
    "red": "FF0000",
    "silver": "C0C0C0",
    "teal": "008080",
    "white": "FFFFFF",
    "yellow": "FFFF00",
}
"""The sixteen of HTML 4."""


class RGBA(msgspec.Struct, frozen=True):
    """rgb: six upper-case hex digits.  alpha: 0.0 for invisible to 1.0 for opaque."""

    rgb: str
    alpha: float = 1.0


def colour_of(text: str) -> RGBA:
    """Return a colour. Raises ValueError for a name that nobody knows and for anything else."""
    if not text.startswith("#"):
        rgb = NAMES.get(text.lower())
        if rgb is None:
            raise ValueError(f"there is no colour '{text[:20]}'")
        return RGBA(rgb)
    digits = text[1:].upper()
    if len(digits) not in (6, 8) or not set(digits) <= set("0123456789ABCDEF"):
        raise ValueError("a colour is #RRGGBB or #RRGGBBAA")
    return RGBA(digits[:6], round(int(digits[6:] or "FF", 16) / 255, 4))
