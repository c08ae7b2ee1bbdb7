"""Empty the payloads of what is old and ended; that it happened, when, to whom and with what answer, stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import Stripped
from hookline.stores.sqlite.prune import IS_OWED

if TYPE_CHECKING:
    import apsw

    from hookline.model.ids import Key
    from hookline.stores.rows import Row

_NEVER: Final = 1 << 62
"""Later than any end: an event that has ended at all may go."""

_PAGE: Final = """
    SELECT key, received_at, length(data) FROM events
    WHERE organization_id = ? AND key > ? ORDER BY key LIMIT ?
"""
_EMPTY_EVENT: Final = "UPDATE events SET data = x'' WHERE organization_id = ? AND key = ?"
_DELIVERIES: Final = """
    SELECT rowid, id, coalesce(length(body), 0) FROM deliveries WHERE event_key = ?1
    UNION
    SELECT d.rowid, d.id, coalesce(length(d.body), 0)
    FROM batch_items AS i JOIN deliveries AS d ON d.id = i.batch_id WHERE i.event_key = ?1
"""
_EMPTY_DELIVERY: Final = "UPDATE deliveries SET body = NULL WHERE rowid = ? AND body IS NOT NULL"
_ANSWERS: Final = "SELECT coalesce(sum(length(response_body)), 0) FROM attempts WHERE delivery_id = ?"
_EMPTY_ANSWERS: Final = """
    UPDATE attempts SET response_body = x'' WHERE delivery_id = ? AND length(response_body) > 0
"""


def strip(cursor: apsw.Cursor, organization_id: Key, after: Key, before_ms: int, limit: int) -> Stripped:
    """Look at up to ``limit`` events, oldest first; see ``ports.Keeping``."""
    page: list[Row] = cursor.execute(_PAGE, (organization_id, after, limit)).fetchall()
    freed = 0
    for key, received_at, size in page:
        if received_at >= before_ms:
            return Stripped(after=after, is_end=True, freed=freed)
        after = key
        if size and not cursor.execute(IS_OWED, (key, _NEVER)).fetchall()[0][0]:
            cursor.execute(_EMPTY_EVENT, (organization_id, key))
            freed += size + _strip_deliveries(cursor, key)
    return Stripped(after=after, is_end=len(page) < limit, freed=freed)


def _strip_deliveries(cursor: apsw.Cursor, event_key: Key) -> int:
    freed = 0
    found: list[Row] = cursor.execute(_DELIVERIES, (event_key,)).fetchall()
    for rowid, id_, size in found:
        freed += size + cursor.execute(_ANSWERS, (id_,)).fetchall()[0][0]
        cursor.execute(_EMPTY_DELIVERY, (rowid,))
        cursor.execute(_EMPTY_ANSWERS, (id_,))
    return freed
