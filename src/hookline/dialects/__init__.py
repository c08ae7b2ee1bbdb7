"""Dialects: how each system words an event, pure functions of what is stored.

``get`` finds one by name. A new dialect is one module with one class, one line in ``_ALL``, and its schedule in
``core.retry``.
"""

from __future__ import annotations

from typing import Any, Final

from hookline.core.canonical import type_name
from hookline.dialects.agenticflow import AgenticFlow
from hookline.dialects.base import (
    BATCH_CONTENT_TYPE,
    Dialect,
    Recipient,
    Trim,
    batch_body,
    check_options,
    signature_headers,
)
from hookline.dialects.cloudevents import CloudEvents
from hookline.dialects.maxun import Maxun, MaxunSource
from hookline.dialects.phantombuster import PhantomBuster
from hookline.dialects.phantomflow import PhantomFlow
from hookline.dialects.raw import Raw
from hookline.dialects.standard import Standard
from hookline.errors import InputError

__all__ = [
    "BATCH_CONTENT_TYPE",
    "DEFAULT",
    "NAMES",
    "Dialect",
    "Recipient",
    "Trim",
    "batch_body",
    "check_options",
    "get",
    "signature_headers",
]

_ALL: Final[dict[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        AgenticFlow(),
        PhantomBuster(),
        Maxun(),
        MaxunSource(),
        PhantomFlow(),
        Standard(),
        CloudEvents(),
        Raw(),
    )
}

DEFAULT: Final = "agenticflow"
NAMES: Final = tuple(_ALL)


def get(name: Any, *, field: str = "dialect") -> Dialect:
    """Return the dialect of that name; InputError when there is none."""
    dialect = _ALL.get(name) if isinstance(name, str) else None
    if dialect is None:
        received = name[:40] if isinstance(name, str) and name else type_name(name)
        raise InputError(
            "There is no such dialect.", field=field, expected="one of " + " ".join(NAMES), received=received
        )
    return dialect
