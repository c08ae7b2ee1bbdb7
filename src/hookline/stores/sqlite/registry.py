"""Configuration documents: the current one, every revision of it, its unique names, and the feed of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from hookline.errors import ConflictError
from hookline.model.configuration import Document, Stored
from hookline.ports import Change
from hookline.stores import rows
from hookline.stores.rows import STORED, listed, to_ms

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from datetime import datetime

    import apsw

    from hookline.model.ids import Key
    from hookline.stores.sqlite.database import Database

D = TypeVar("D", bound=Document)

_INSERT: Final = f"""
    INSERT INTO documents (kind, {listed(STORED)}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (kind, id) DO NOTHING RETURNING 1
"""
_UPDATE: Final = """
    UPDATE documents SET revision = revision + 1, updated_at = ?, document = ?
    WHERE kind = ? AND id = ? AND organization_id = ? AND revision = ? RETURNING 1
"""
_DELETE: Final = "DELETE FROM documents WHERE kind = ? AND id = ? AND organization_id = ? RETURNING 1"
_KEEP_REVISION: Final = (
    "INSERT INTO document_revisions (kind, id, revision, at, document) VALUES (?, ?, ?, ?, ?)"
)
_NAME: Final = """
    INSERT INTO document_names (kind, space, value, id) VALUES (?, ?, ?, ?)
    ON CONFLICT (kind, space, value) DO NOTHING RETURNING 1
"""
_UNNAME: Final = "DELETE FROM document_names WHERE kind = ? AND id = ?"
_CHANGE: Final = """
    INSERT INTO document_changes (version, kind, id, organization_id)
    VALUES ((SELECT coalesce(max(version), 0) + 1 FROM document_changes), ?, ?, ?)
"""

_GET: Final = f"""
    SELECT {listed(STORED)} FROM documents WHERE kind = ?1 AND id = ?2 AND (?3 IS NULL OR organization_id = ?3)
"""
_REVISION_AT: Final = "SELECT max(revision) FROM document_revisions WHERE kind = ? AND id = ? AND at <= ?"
_GET_REVISION: Final = "SELECT document FROM document_revisions WHERE kind = ? AND id = ? AND revision = ?"
_FIND: Final = f"""
    SELECT {listed(STORED, of="d")} FROM document_names AS n JOIN documents AS d ON d.kind = n.kind AND d.id = n.id
    WHERE n.kind = ? AND n.space = ? AND n.value = ?
"""
_LIST: Final = f"""
    SELECT {listed(STORED)} FROM documents
    WHERE kind = ?1 AND organization_id = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4
"""
_LIST_ALL: Final = f"""
    SELECT {listed(STORED)} FROM documents
    WHERE kind = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3
"""
_VERSION: Final = "SELECT coalesce(max(version), 0) FROM document_changes"
_CHANGES: Final = """
    SELECT version, kind, id, organization_id FROM document_changes WHERE version > ? ORDER BY version LIMIT ?
"""
_META: Final = "SELECT value FROM meta WHERE name = ?"
_SET_META: Final = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)"


class SqliteRegistry:
    """ports.Registry."""

    _db: Database

    async def add(
        self,
        kind: type[D],
        *,
        id: Key,
        organization_id: Key,
        document: D,
        names: Sequence[tuple[str, str]],
        at: datetime,
    ) -> Stored[D]:
        data, at_ms = rows.document_json(document), to_ms(at)

        def work(cursor: apsw.Cursor) -> None:
            row = (kind.kind, id, organization_id, 1, at_ms, at_ms, data)
            if not cursor.execute(_INSERT, row).fetchall():
                raise ConflictError(f"This {kind.kind} exists already.")
            cursor.execute(_KEEP_REVISION, (kind.kind, id, 1, at_ms, data))
            _put_names(cursor, kind.kind, id, names)
            cursor.execute(_CHANGE, (kind.kind, id, organization_id))

        await self._db.write(work)
        return Stored(
            id=id,
            organization_id=organization_id,
            revision=1,
            created_at=at,
            updated_at=at,
            document=document,
        )

    async def get(self, kind: type[D], id: Key, *, organization_id: Key | None) -> Stored[D] | None:
        row = self._db.read_one(_GET, (kind.kind, id, organization_id))
        return None if row is None else rows.stored_from(kind, row)

    async def get_revision(self, kind: type[D], id: Key, revision: int) -> D | None:
        row = self._db.read_one(_GET_REVISION, (kind.kind, id, revision))
        return None if row is None else rows.document_from(kind, row[0])

    async def revision_at(self, kind: type[D], id: Key, at: datetime) -> int | None:
        row = self._db.read_one(_REVISION_AT, (kind.kind, id, to_ms(at)))
        found: int | None = None if row is None else row[0]
        return found

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None:
        row = self._db.read_one(_FIND, (kind.kind, space, value))
        return None if row is None else rows.stored_from(kind, row)

    async def list(
        self,
        kind: type[D],
        *,
        organization_id: Key | None,
        before: Key | None = None,
        limit: int | None = None,
    ) -> builtins.list[Stored[D]]:
        most = -1 if limit is None else limit
        if organization_id is None:
            found = self._db.read(_LIST_ALL, (kind.kind, before, most))
        else:
            found = self._db.read(_LIST, (kind.kind, organization_id, before, most))
        return [rows.stored_from(kind, row) for row in found]

    async def put(
        self, stored: Stored[D], *, names: Sequence[tuple[str, str]] | None = None, at: datetime
    ) -> Stored[D]:
        kind = stored.document.kind

        def work(cursor: apsw.Cursor) -> None:
            if not replace_document(cursor, stored, to_ms(at)):
                raise ConflictError(f"This {kind} was changed or deleted meanwhile.")
            if names is not None:
                cursor.execute(_UNNAME, (kind, stored.id))
                _put_names(cursor, kind, stored.id, names)

        await self._db.write(work)
        return msgspec.structs.replace(stored, revision=stored.revision + 1, updated_at=at)

    async def delete(self, kind: type[D], id: Key, *, organization_id: Key, at: datetime) -> bool:  # noqa: ARG002
        def work(cursor: apsw.Cursor) -> bool:
            if not cursor.execute(_DELETE, (kind.kind, id, organization_id)).fetchall():
                return False
            cursor.execute(_UNNAME, (kind.kind, id))
            cursor.execute(_CHANGE, (kind.kind, id, organization_id))
            return True

        return await self._db.write(work)

    async def version(self) -> int:
        row = self._db.read_one(_VERSION)
        assert row is not None
        return int(row[0])

    async def changes(self, since: int, *, limit: int = 1000) -> builtins.list[Change]:
        return [
            Change(version=version, kind=kind, id=id_, organization_id=organization_id)
            for version, kind, id_, organization_id in self._db.read(_CHANGES, (since, limit))
        ]

    async def meta(self, name: str) -> bytes | None:
        row = self._db.read_one(_META, (name,))
        return None if row is None else row[0]

    async def set_meta(self, name: str, value: bytes) -> None:
        await self._db.write(lambda cursor: cursor.execute(_SET_META, (name, value)))


def replace_document(cursor: apsw.Cursor, stored: Stored[D], at_ms: int) -> bool:
    """Put a document in place of its present revision, ``stored.revision``, as a change that others hear of.

    False, and nothing changes, when that is not the present one.
    """
    kind, data = stored.document.kind, rows.document_json(stored.document)
    row = (at_ms, data, kind, stored.id, stored.organization_id, stored.revision)
    if not cursor.execute(_UPDATE, row).fetchall():
        return False
    cursor.execute(_KEEP_REVISION, (kind, stored.id, stored.revision + 1, at_ms, data))
    cursor.execute(_CHANGE, (kind, stored.id, stored.organization_id))
    return True


def _put_names(cursor: apsw.Cursor, kind: str, id_: Key, names: Sequence[tuple[str, str]]) -> None:
    for space, value in names:
        if not cursor.execute(_NAME, (kind, space, value, id_)).fetchall():
            raise ConflictError(f"Another {kind} has this {space.replace('_', ' ')} already.")
