"""Health, alerts and mails: rare writes that ride in the ledger's transactions, and their reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.ports import AlertFilter, ChangeHealth, HeldBack, Outdated, Settle, SettleMail
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected
from hookline.stores.postgres.registry import replace_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.health import Alert, Health, Mail
    from hookline.model.ids import Key
    from hookline.stores.postgres.batch import Batch
    from hookline.stores.postgres.connection import Connection

# One statement for a first and for a later version, so that a batch goes in one trip, in the order of its webhooks.
_PUT_HEALTH: Final = f"""
INSERT INTO webhook_health AS h ({", ".join(rows.HEALTH)})
SELECT $1::bytea, $2::bytea, $3::integer, $4::boolean, $5::bytea
WHERE $3 = 1 OR EXISTS (SELECT FROM webhook_health WHERE webhook_id = $1)
ON CONFLICT (webhook_id) DO UPDATE
SET version = excluded.version, is_watched = excluded.is_watched, document = excluded.document
WHERE h.organization_id = excluded.organization_id AND h.version = excluded.version - 1
RETURNING webhook_id, version
"""
_PUT_ALERT: Final = f"""
INSERT INTO alerts ({", ".join(rows.ALERT)}) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at, document = excluded.document
"""
_PUT_MAIL: Final = f"INSERT INTO mails ({', '.join(rows.MAIL)}) VALUES ($1, $2, $3, $4, $5, $6)"
_SETTLE_MAIL: Final = """
UPDATE mails SET tries = $2, due_at = $3, ended_at = $4, document = $5
WHERE id = $1 AND tries = $2 - 1 AND due_at IS NOT NULL RETURNING true
"""

_HEALTH: Final = "SELECT document FROM webhook_health WHERE webhook_id = ANY($1::bytea[])"
_WATCHED: Final = "SELECT webhook_id, version FROM webhook_health WHERE is_watched"
_ALERT: Final = "SELECT document FROM alerts WHERE id = $1 AND organization_id = $2"
_ALERTS: Final = """
SELECT document FROM alerts
WHERE organization_id = $1 AND ($2::bytea IS NULL OR webhook_id = $2) AND ($3::text IS NULL OR cause = $3)
    AND ($4::boolean IS NULL OR (closed_at IS NULL) = $4) AND ($5::bytea IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6
"""
_DUE: Final = "SELECT document FROM mails WHERE due_at <= $1 ORDER BY due_at LIMIT $2"
_HELD: Final = """
SELECT count(*), (SELECT created_at FROM deliveries WHERE webhook_id = $1 AND state = 'held' ORDER BY id LIMIT 1)
FROM (SELECT FROM deliveries WHERE webhook_id = $1 AND state = 'held' LIMIT $2) held
"""


async def change_health(connection: Connection, batch: Batch) -> None:
    """In the order of their webhooks, so that two nodes never wait for each other.

    When a receiver of many webhooks fails, a batch holds a change of each: those go in three trips together. Changes
    that also change the webhook are rare; with one among them, each is made for itself.
    """
    of_outcomes = [(place, one.health) for place, one in batch.of(Settle) if one.health is not None]
    writes = sorted([*batch.of(ChangeHealth), *of_outcomes], key=lambda one: one[1].health.webhook_id)
    outcomes = {place for place, _ in of_outcomes}
    if any(write.webhook is not None for _, write in writes):
        stored = [await _change(connection, write) for _, write in writes]
    else:
        stored = await _change_all(connection, [write for _, write in writes])
    for (place, write), is_stored in zip(writes, stored, strict=True):
        if place not in outcomes:
            batch.results[place] = is_stored
        elif not is_stored:
            batch.results[place] = Outdated()
        if is_stored:
            batch.add_events(write.epoch, write.events)


async def _change_all(connection: Connection, writes: list[ChangeHealth]) -> list[bool]:
    healths = [rows.health_row(write.health) for write in writes]
    found: Any = await connection.fetchmany(_PUT_HEALTH, healths)
    stored = {(row[0], row[1]) for row in found}
    results = []
    for write in writes:
        version = (write.health.webhook_id, write.health.version)
        results.append(version in stored)
        stored.discard(version)  # of two that would be the same version, the first was stored
    made = [write for write, is_stored in zip(writes, results, strict=True) if is_stored]
    alerts = [rows.alert_row(alert) for write in made for alert in write.alerts]
    if alerts:
        await connection.executemany(_PUT_ALERT, alerts)
    mails = [rows.mail_row(mail) for write in made for mail in write.mails]
    if mails:
        await connection.executemany(_PUT_MAIL, mails)
    return results


async def _change(connection: Connection, write: ChangeHealth) -> bool:
    """One change with its webhook: all of it, or nothing."""
    await connection.execute("SAVEPOINT changing")
    (is_stored,) = await _change_all(connection, [write])
    if is_stored and write.webhook is not None:
        is_stored = await replace_document(connection, write.webhook, rows.to_ms(write.at))
    if not is_stored:
        await connection.execute("ROLLBACK TO SAVEPOINT changing")
    return is_stored


async def settle_mails(connection: Connection, batch: Batch) -> None:
    for place, write in batch.of(SettleMail):
        id_, _, tries, due, ended_at, document = rows.mail_row(write.mail)
        found = await connection.fetchval(_SETTLE_MAIL, id_, tries, due, ended_at, document)
        batch.results[place] = bool(found)


class PostgresAlerts(Connected):
    """``hookline.ports.AlertRecords``."""

    async def health(self, webhook_ids: Sequence[Key]) -> dict[Key, Health]:
        found = await self._documents(_HEALTH, list(webhook_ids))
        known = [rows.health_from(document) for document in found]
        return {health.webhook_id: health for health in known}

    async def watched(self) -> dict[Key, int]:
        async with self._readers.use() as connection:
            return {row[0]: row[1] for row in await connection.fetch(_WATCHED)}

    async def alert(self, id: Key, *, organization_id: Key) -> Alert | None:
        found = await self._documents(_ALERT, id, organization_id)
        return rows.alert_from(found[0]) if found else None

    async def alerts(
        self, organization_id: Key, filter: AlertFilter, *, before: Key | None, limit: int
    ) -> list[Alert]:
        wanted = (filter.webhook_id, filter.cause, filter.is_open)
        found = await self._documents(_ALERTS, organization_id, *wanted, before, limit)
        return [rows.alert_from(document) for document in found]

    async def due_mails(self, now: datetime, *, limit: int) -> list[Mail]:
        return [rows.mail_from(document) for document in await self._documents(_DUE, rows.to_ms(now), limit)]

    async def held_back(self, webhook_id: Key, *, ceiling: int = 100_000) -> HeldBack:
        async with self._readers.use() as connection:
            row: Any = await connection.fetchrow(_HELD, webhook_id, ceiling)
        return HeldBack(row[0], rows.maybe_at(row[1]))

    async def _documents(self, sql: str, *arguments: Any) -> list[bytes]:
        async with self._readers.use() as connection:
            return [row[0] for row in await connection.fetch(sql, *arguments)]
