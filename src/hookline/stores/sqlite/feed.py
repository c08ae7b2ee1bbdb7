"""The feed of events: what came after a place, in the order in which it was committed.

There is one writer and it numbers what it commits, so the order is the table's own and nothing comes in before a
place that was read. A filtered feed is read in windows; between two of them the loop serves others.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hookline.ports import EventPage
from hookline.stores import rows
from hookline.stores.rows import EVENT, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.model.ids import Key
    from hookline.stores.rows import Row
    from hookline.stores.sqlite.database import Database

_FEED_WINDOW: Final = 50_000
"""Index entries looked at in one step of a filtered feed."""

_FEED_END: Final = (
    "SELECT seq FROM events WHERE organization_id = ? AND seq > ? ORDER BY seq LIMIT 1 OFFSET ?"
)


class SqliteFeed:
    """The feed of ports.Archive."""

    _db: Database

    async def events(
        self, organization_id: Key, *, after: str | None, types: Sequence[str] = (), limit: int
    ) -> EventPage:
        start = _position(after)
        found: list[Row] = []
        place = start
        while len(found) < limit:
            found += self._db.read(*_feed_page(organization_id, place, types, limit - len(found)))
            end = self._db.read_one(_FEED_END, (organization_id, place, _FEED_WINDOW - 1)) if types else None
            if end is None:
                break
            place = end[0]
            await asyncio.sleep(0)
        cursor = after if after is not None else _cursor(start)
        if found:
            cursor = _cursor(found[-1][-1])
        return EventPage(events=tuple([rows.event_from(row) for row in found]), cursor=cursor)


def _feed_page(organization_id: Key, place: int, types: Sequence[str], limit: int) -> tuple[str, Row]:
    """Asks for the events after a place, within one window when types are asked for."""
    wanted = f" AND type IN ({', '.join('?' * len(types))})" if types else ""
    # The subquery looks at the index alone; only what matches is read from the table.
    sql = f"""
        SELECT {listed(EVENT)}, seq FROM events WHERE seq IN (
            SELECT seq FROM (
                SELECT seq, type FROM events INDEXED BY events_feed
                WHERE organization_id = ? AND seq > ? ORDER BY seq LIMIT ?
            ) WHERE TRUE{wanted} LIMIT ?
        ) ORDER BY seq
    """
    return sql, (organization_id, place, _FEED_WINDOW if types else limit, *types, limit)


def _cursor(seq: int) -> str:
    return rows.cursor_text(seq.to_bytes(8, "big"))


def _position(cursor: str | None) -> int:
    """Raises InputError for a cursor that is not ours."""
    if cursor is None:
        return 0
    position = rows.cursor_bytes(cursor)
    if len(position) != 8 or position[0] & 0x80:
        raise rows.wrong_cursor()
    return int.from_bytes(position, "big")
