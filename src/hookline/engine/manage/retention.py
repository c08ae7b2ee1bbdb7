"""An organization's own wishes of how long its things are kept, within what the server keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.errors import InputError, MissingError
from hookline.model.configuration import Organization, Retention

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hookline.core.retention import Kept
    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.ports import Registry

_LEAST_DAYS: Final = 1.0
"""Of an organization's wish: what is gone does not come back, so a slip of a unit must not empty it within minutes."""


async def set_retention(
    registry: Registry, id: Key, fields: Mapping[str, float | None], *, server: Kept, now: datetime
) -> Stored[Organization]:
    """Change some of an organization's wishes; None unsets one. Raises MissingError, InputError or ConflictError."""
    stored = await registry.get(Organization, id, organization_id=id)
    if stored is None:
        raise MissingError("There is no such organization.")
    for name, days in fields.items():
        _check(name, days, most=getattr(server, name))
    wishes = msgspec.structs.replace(stored.document.retention or Retention(), **fields)
    document = msgspec.structs.replace(stored.document, retention=None if wishes == Retention() else wishes)
    return await registry.put(msgspec.structs.replace(stored, document=document), names=None, at=now)


def _check(field: str, days: float | None, *, most: float) -> None:
    least = min(_LEAST_DAYS, most)
    if days is not None and not least <= days <= most:
        raise InputError(
            f"An organization's things are kept for {least:g} to {most:g} days, which is what this server allows.",
            field=field,
            expected=f"a number from {least:g} to {most:g}, or null",
            received=f"{days:g}",
        )
