"""Files that executions made: the write that keeps one, and what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.stores.artifacts import ARTIFACT, artifact_from, artifact_row
from hookline.stores.rows import listed
from hookline.stores.sqlite.batch import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookline.model.executions import Artifact
    from hookline.model.ids import Key
    from hookline.ports import KeepArtifact
    from hookline.stores.sqlite.batch import Batch
    from hookline.stores.sqlite.database import Database

_IS_HELD: Final = "SELECT 1 FROM executions WHERE id = ? AND epoch = ? AND status = 'running'"
_DROP: Final = """
    INSERT OR IGNORE INTO dropped_blobs (blob_id)
    SELECT blob_id FROM artifacts WHERE execution_id = ? AND name = ? AND blob_id <> ?
"""
_KEEP: Final = f"INSERT OR REPLACE INTO artifacts ({listed(ARTIFACT)}) VALUES ({marks(ARTIFACT)})"

_ALL: Final = f"SELECT {listed(ARTIFACT)} FROM artifacts WHERE execution_id = ? ORDER BY name"
_ONE: Final = f"SELECT {listed(ARTIFACT)} FROM artifacts WHERE execution_id = ? AND name = ?"
_DROPPED: Final = "SELECT blob_id FROM dropped_blobs LIMIT ?"
_DELETED: Final = "DELETE FROM dropped_blobs WHERE blob_id = ?"


def keep(batch: Batch, write: KeepArtifact) -> bool:
    made = write.artifact
    if batch.first(_IS_HELD, (made.execution_id, write.epoch)) is None:
        return False
    batch.cursor.execute(_DROP, (made.execution_id, made.name, made.blob_id))
    batch.cursor.execute(_KEEP, artifact_row(made))
    return True


class SqliteArtifacts:
    """ports.Artifacts."""

    _db: Database

    async def artifacts(self, execution_id: Key) -> list[Artifact]:
        return [artifact_from(row) for row in self._db.read(_ALL, (execution_id,))]

    async def artifact(self, execution_id: Key, name: str) -> Artifact | None:
        row = self._db.read_one(_ONE, (execution_id, name))
        return None if row is None else artifact_from(row)

    async def dropped_blobs(self, *, limit: int) -> list[str]:
        return [id_ for (id_,) in self._db.read(_DROPPED, (limit,))]

    async def blobs_deleted(self, ids: Sequence[str]) -> None:
        await self._db.write(lambda cursor: cursor.executemany(_DELETED, [(id_,) for id_ in ids]))
