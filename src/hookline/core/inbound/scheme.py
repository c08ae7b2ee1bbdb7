"""How one sender signs its requests, as data: no provider has code of its own.

``definition`` reads schemes that users write, ``presets`` holds those of the senders we know.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import msgspec

Algorithm = Literal["sha1", "sha256", "sha512", "ed25519", "equality"]
Encoding = Literal["hex", "base64"]
Unit = Literal["s", "ms", "iso8601"]
Transform = Literal["utf8", "whsec", "whsec_base64", "whpk", "base64", "hex"]

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class Source(msgspec.Struct, frozen=True):
    """Where a value stands in a request.

    place: ``header``, ``query``, ``field`` or ``body``.  names: lower-case header names, parameter names, item names
    or paths; more than one are joined into one value.
    """

    place: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}:{'+'.join(self.names)}"


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """One way of signing requests; ``definition`` says what each field means. Made by ``scheme_from``."""

    name: str
    signature: tuple[Source, ...]
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    item_separator: str | None = None
    field_separator: str | None = None
    field: str | None = None
    template: str = "{body}"
    id: Source | None = None
    timestamp: Source | None = None
    timestamp_unit: Unit = "s"
    tolerance_seconds: float | None = None
    secret_transform: Transform = "utf8"  # noqa: S105 -- an encoding
    dedupe_id: tuple[Source, ...] = ()
    handshake: str | None = None

    @property
    def placeholders(self) -> frozenset[str]:
        """What the template fills in."""
        return frozenset(part for part, is_literal in template_parts(self.template) if not is_literal)


@lru_cache(maxsize=256)
def template_parts(template: str) -> tuple[tuple[str, bool], ...]:
    """Split a template into (text, is_literal). Nothing of a request ever reaches a formatter."""
    parts = _PLACEHOLDER.split(template)
    return tuple((part, index % 2 == 0) for index, part in enumerate(parts) if part)
