"""Answers of cold POST routes: reserved before the act, finished after it, given back when it failed."""

from __future__ import annotations

from typing import Final

from hookline.ports import Epoch, Once, Repeat
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected
from hookline.stores.postgres.leases import NOW_MS

# Taken over where it has expired, or where the node that reserved it died before it finished.
_RESERVE: Final = f"""
INSERT INTO onces AS o (scope, name, digest, answer, epoch, expires_at) VALUES ($1, $2, $3, NULL, $4, $5)
ON CONFLICT (scope, name) DO UPDATE
    SET digest = excluded.digest, answer = NULL, instead = NULL, epoch = excluded.epoch,
        expires_at = excluded.expires_at
    WHERE o.expires_at <= $6 OR (o.answer IS NULL AND NOT EXISTS (
        SELECT FROM nodes n WHERE n.epoch = o.epoch AND n.closed_at IS NULL AND n.seen_at + n.lease_ms > {NOW_MS}))
RETURNING true
"""
_READ: Final = "SELECT digest, answer FROM onces WHERE scope = $1 AND name = $2"
_FINISH: Final = """
UPDATE onces SET answer = $4, expires_at = $5
WHERE scope = $1 AND name = $2 AND epoch = $3 AND answer IS NULL
"""
_FORGET: Final = "DELETE FROM onces WHERE scope = $1 AND name = $2 AND epoch = $3 AND answer IS NULL"


class PostgresOnces(Connected):
    """``hookline.ports.Onces``."""

    async def reserve(self, once: Once, epoch: Epoch) -> Repeat | bool:
        now_ms, expires_ms = rows.to_ms(self._clock.now()), rows.to_ms(once.expires_at)
        async with self._control.use() as connection:
            while True:
                is_ours = await connection.fetchval(
                    _RESERVE, once.scope, once.name, once.digest, epoch, expires_ms, now_ms
                )
                if is_ours:
                    return True
                row = await connection.fetchrow(_READ, once.scope, once.name)
                if row is None:
                    continue  # given back between the two statements
                if row["answer"] is None:
                    return False
                return Repeat(answer=row["answer"], is_same=row["digest"] == once.digest)

    async def finish(self, once: Once, epoch: Epoch) -> None:
        async with self._control.use() as connection:
            await connection.execute(
                _FINISH, once.scope, once.name, epoch, once.answer, rows.to_ms(once.expires_at)
            )

    async def forget(self, once: Once, epoch: Epoch) -> None:
        async with self._control.use() as connection:
            await connection.execute(_FORGET, once.scope, once.name, epoch)
