"""What every part of the store holds: its connections and the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookline.ports import Clock
    from hookline.stores.postgres.connection import Link, Readers


class Connected:
    """writer: for ``commit`` alone.  control: for leases and configuration, so that neither a long batch nor slow
    reads delay a lease's renewal.  readers: for reads that callers ask for.  era: of the feed (``moved``).
    """

    _writer: Link
    _control: Link
    _readers: Readers
    _clock: Clock
    _era: int
