"""Health, alerts and mails: rare writes that ride in the ledger's transactions, and their reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.ports import AlertFilter, ChangeHealth, HeldBack, SettleMail
from hookline.stores import rows
from hookline.stores.rows import ALERT, HEALTH, MAIL, from_ms, listed, to_ms
from hookline.stores.sqlite.batch import marks
from hookline.stores.sqlite.registry import replace_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.health import Alert, Health, Mail
    from hookline.model.ids import Key
    from hookline.stores.rows import Row
    from hookline.stores.sqlite.batch import Batch
    from hookline.stores.sqlite.database import Database

_VERSION: Final = "SELECT version FROM webhook_health WHERE webhook_id = ?"
_PUT_HEALTH: Final = f"""
    INSERT INTO webhook_health ({listed(HEALTH)}) VALUES ({marks(HEALTH)})
    ON CONFLICT (webhook_id) DO UPDATE SET
        version = excluded.version, is_watched = excluded.is_watched, document = excluded.document
"""
_PUT_ALERT: Final = f"""
    INSERT INTO alerts ({listed(ALERT)}) VALUES ({marks(ALERT)})
    ON CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at, document = excluded.document
"""
_PUT_MAIL: Final = f"INSERT INTO mails ({listed(MAIL)}) VALUES ({marks(MAIL)})"
_SETTLE_MAIL: Final = """
    UPDATE mails SET tries = ?2, due_at = ?3, ended_at = ?4, document = ?5
    WHERE id = ?1 AND tries = ?2 - 1 AND due_at IS NOT NULL
"""

_HEALTH: Final = "SELECT document FROM webhook_health WHERE webhook_id = ?"
_WATCHED: Final = """
    SELECT webhook_id, version FROM webhook_health INDEXED BY webhook_health_watched WHERE is_watched
"""
_ALERT: Final = "SELECT document FROM alerts WHERE id = ? AND organization_id = ?"
_DUE: Final = "SELECT document FROM mails WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?"
_HELD: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM deliveries INDEXED BY deliveries_held WHERE webhook_id = ? AND state = 'held' LIMIT ?
    )
"""
_OLDEST_HELD: Final = """
    SELECT created_at FROM deliveries INDEXED BY deliveries_held
    WHERE webhook_id = ? AND state = 'held' ORDER BY id LIMIT 1
"""


def change_health(batch: Batch, write: ChangeHealth) -> bool:
    health = write.health
    found = batch.first(_VERSION, (health.webhook_id,))
    if (0 if found is None else found[0]) != health.version - 1:
        return False
    if write.webhook is not None and not replace_document(batch.cursor, write.webhook, to_ms(write.at)):
        return False
    batch.cursor.execute(_PUT_HEALTH, rows.health_row(health))
    batch.cursor.executemany(_PUT_ALERT, [rows.alert_row(alert) for alert in write.alerts])
    batch.cursor.executemany(_PUT_MAIL, [rows.mail_row(mail) for mail in write.mails])
    batch.add_all(write.events, write.epoch)
    return True


def settle_mail(batch: Batch, write: SettleMail) -> bool:
    id_, _, tries, due, ended_at, document = rows.mail_row(write.mail)
    return batch.change(_SETTLE_MAIL, (id_, tries, due, ended_at, document)) == 1


class SqliteAlerts:
    """ports.AlertRecords."""

    _db: Database

    async def health(self, webhook_ids: Sequence[Key]) -> dict[Key, Health]:
        found = [self._db.read_one(_HEALTH, (id_,)) for id_ in webhook_ids]
        known = [rows.health_from(row[0]) for row in found if row is not None]
        return {health.webhook_id: health for health in known}

    async def watched(self) -> dict[Key, int]:
        return dict(self._db.read(_WATCHED))

    async def alert(self, id: Key, *, organization_id: Key) -> Alert | None:
        row = self._db.read_one(_ALERT, (id, organization_id))
        return None if row is None else rows.alert_from(row[0])

    async def alerts(
        self, organization_id: Key, filter: AlertFilter, *, before: Key | None, limit: int
    ) -> list[Alert]:
        sql, bindings = _search(organization_id, filter, before)
        found = self._db.read(f"{sql} ORDER BY id DESC LIMIT ?", (*bindings, limit))
        return [rows.alert_from(row[0]) for row in found]

    async def due_mails(self, now: datetime, *, limit: int) -> list[Mail]:
        return [rows.mail_from(row[0]) for row in self._db.read(_DUE, (to_ms(now), limit))]

    async def held_back(self, webhook_id: Key, *, ceiling: int = 100_000) -> HeldBack:
        counted = self._db.read_one(_HELD, (webhook_id, ceiling))
        oldest = self._db.read_one(_OLDEST_HELD, (webhook_id,))
        return HeldBack(counted[0] if counted else 0, None if oldest is None else from_ms(oldest[0]))


def _search(organization_id: Key, filter: AlertFilter, before: Key | None) -> tuple[str, Row]:
    wanted, bindings = ["organization_id = ?"], [organization_id]
    for column, value in (("webhook_id", filter.webhook_id), ("cause", filter.cause)):
        if value is not None:
            wanted.append(f"{column} = ?")
            bindings.append(value)  # type: ignore[arg-type]
    if filter.is_open is not None:
        wanted.append("closed_at IS NULL" if filter.is_open else "closed_at IS NOT NULL")
    if before is not None:
        wanted.append("id < ?")
        bindings.append(before)
    return f"SELECT document FROM alerts WHERE {' AND '.join(wanted)}", tuple(bindings)
