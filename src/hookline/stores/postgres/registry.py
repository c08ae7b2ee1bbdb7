"""Configuration documents. Every change locks the one row of ``document_version`` until it commits, so changes stand
one after another and their versions follow the order of commits without a gap. That makes writing slower than on
SQLite with many nodes, and it is rare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
import msgspec

from hookline.errors import ConflictError
from hookline.model.configuration import Document, Stored
from hookline.ports import Change
from hookline.stores import rows
from hookline.stores.postgres.connected import Connected

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.stores.postgres.connection import Connection

D = TypeVar("D", bound=Document)

_STORED: Final = rows.listed(rows.STORED, of="d")

_NEXT_VERSION: Final = "UPDATE document_version SET version = version + 1 RETURNING version"
_ADD_CHANGE: Final = """
WITH changed AS (INSERT INTO document_changes (version, kind, id, organization_id) VALUES ($1, $2, $3, $4))
SELECT pg_notify('hookline', 'configuration')
"""
_ADD: Final = """
INSERT INTO documents (kind, id, organization_id, revision, created_at, updated_at, document)
VALUES ($1, $2, $3, 1, $4, $4, $5)
"""
_ADD_REVISION: Final = """
INSERT INTO document_revisions (kind, id, revision, at, document) VALUES ($1, $2, $3, $4, $5)
"""
_ADD_NAMES: Final = """
INSERT INTO document_names (kind, space, value, id)
SELECT DISTINCT $1, given.space, given.value, $2::bytea
FROM unnest($3::text[], $4::text[]) AS given(space, value)
"""
_DROP_NAMES: Final = "DELETE FROM document_names WHERE kind = $1 AND id = $2"
_PUT: Final = """
UPDATE documents SET revision = revision + 1, updated_at = $5, document = $6
WHERE kind = $1 AND id = $2 AND organization_id = $3 AND revision = $4
RETURNING created_at
"""
_DELETE: Final = (
    "DELETE FROM documents WHERE kind = $1 AND id = $2 AND organization_id = $3 RETURNING revision"
)

_GET: Final = f"""
SELECT {_STORED} FROM documents d
WHERE d.kind = $1 AND d.id = $2 AND ($3::bytea IS NULL OR d.organization_id = $3)
"""
_REVISION_AT: Final = """
SELECT max(revision) FROM document_revisions WHERE kind = $1 AND id = $2 AND at <= $3
"""
_GET_REVISION: Final = "SELECT document FROM document_revisions WHERE kind = $1 AND id = $2 AND revision = $3"
_FIND: Final = f"""
SELECT {_STORED} FROM document_names n JOIN documents d ON d.kind = n.kind AND d.id = n.id
WHERE n.kind = $1 AND n.space = $2 AND n.value = $3
"""
_LIST: Final = f"""
SELECT {_STORED} FROM documents d
WHERE d.kind = $1 AND ($2::bytea IS NULL OR d.organization_id = $2) AND ($3::bytea IS NULL OR d.id < $3)
ORDER BY d.id DESC LIMIT $4
"""
_CHANGES: Final = """
SELECT version, kind, id, organization_id FROM document_changes WHERE version > $1 ORDER BY version LIMIT $2
"""
_SET_META: Final = """
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class PostgresRegistry(Connected):
    """``hookline.ports.Registry``."""

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
        at_ms, data = rows.to_ms(at), rows.document_json(document)
        async with self._control.use() as connection:
            try:
                async with connection.transaction():
                    version = await connection.fetchval(_NEXT_VERSION)
                    await connection.execute(_ADD, kind.kind, id, organization_id, at_ms, data)
                    await connection.execute(_ADD_REVISION, kind.kind, id, 1, at_ms, data)
                    await _add_names(connection, kind, id, names)
                    await connection.execute(_ADD_CHANGE, version, kind.kind, id, organization_id)
            except asyncpg.UniqueViolationError as exc:
                raise _taken(kind) from exc
        return Stored(
            id=id,
            organization_id=organization_id,
            revision=1,
            created_at=at,
            updated_at=at,
            document=document,
        )

    async def get(self, kind: type[D], id: Key, *, organization_id: Key | None) -> Stored[D] | None:
        async with self._readers.use() as connection:
            row: Any = await connection.fetchrow(_GET, kind.kind, id, organization_id)
        return None if row is None else rows.stored_from(kind, row)

    async def get_revision(self, kind: type[D], id: Key, revision: int) -> D | None:
        async with self._readers.use() as connection:
            data: Any = await connection.fetchval(_GET_REVISION, kind.kind, id, revision)
        return None if data is None else rows.document_from(kind, data)

    async def revision_at(self, kind: type[D], id: Key, at: datetime) -> int | None:
        async with self._readers.use() as connection:
            found: int | None = await connection.fetchval(_REVISION_AT, kind.kind, id, rows.to_ms(at))
        return found

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None:
        if "\0" in value:
            return None  # names never hold one, and the type text cannot be asked for it
        async with self._readers.use() as connection:
            row: Any = await connection.fetchrow(_FIND, kind.kind, space, value)
        return None if row is None else rows.stored_from(kind, row)

    async def list(
        self,
        kind: type[D],
        *,
        organization_id: Key | None,
        before: Key | None = None,
        limit: int | None = None,
    ) -> list[Stored[D]]:
        async with self._readers.use() as connection:
            found: Sequence[Any] = await connection.fetch(_LIST, kind.kind, organization_id, before, limit)
        return [rows.stored_from(kind, row) for row in found]

    async def put(
        self, stored: Stored[D], *, names: Sequence[tuple[str, str]] | None = None, at: datetime
    ) -> Stored[D]:
        kind = type(stored.document)
        async with self._control.use() as connection:
            try:
                async with connection.transaction():
                    if not await replace_document(connection, stored, rows.to_ms(at)):
                        raise ConflictError(f"The {kind.kind} was changed or deleted meanwhile.")
                    if names is not None:
                        await connection.execute(_DROP_NAMES, kind.kind, stored.id)
                        await _add_names(connection, kind, stored.id, names)
            except asyncpg.UniqueViolationError as exc:
                raise _taken(kind) from exc
        return msgspec.structs.replace(stored, revision=stored.revision + 1, updated_at=at)

    async def delete(self, kind: type[D], id: Key, *, organization_id: Key, at: datetime) -> bool:  # noqa: ARG002 -- the seam's
        async with self._control.use() as connection, connection.transaction():
            # Locked before the row is known to be there: version first, then documents, as in every change.
            await connection.execute("SELECT version FROM document_version FOR UPDATE")
            if await connection.fetchval(_DELETE, kind.kind, id, organization_id) is None:
                return False
            await connection.execute(_DROP_NAMES, kind.kind, id)
            version = await connection.fetchval(_NEXT_VERSION)
            await connection.execute(_ADD_CHANGE, version, kind.kind, id, organization_id)
        return True

    async def version(self) -> int:
        async with self._readers.use() as connection:
            version: Any = await connection.fetchval("SELECT version FROM document_version")
        assert isinstance(version, int)
        return version

    async def changes(self, since: int, *, limit: int = 1000) -> builtins.list[Change]:
        async with self._readers.use() as connection:
            found = await connection.fetch(_CHANGES, since, limit)
        return [Change(version=row[0], kind=row[1], id=row[2], organization_id=row[3]) for row in found]

    async def meta(self, name: str) -> bytes | None:
        async with self._readers.use() as connection:
            value: Any = await connection.fetchval("SELECT value FROM meta WHERE name = $1", name)
        assert value is None or isinstance(value, bytes)
        return value

    async def set_meta(self, name: str, value: bytes) -> None:
        async with self._control.use() as connection:
            await connection.execute(_SET_META, name, value)


async def replace_document(connection: Connection, stored: Stored[D], at_ms: int) -> bool:
    """Put a document in place of its present revision, ``stored.revision``, as a change that others hear of.

    False when that is not the present one: then the caller rolls back. Within a transaction.
    """
    kind, data, revision = stored.document.kind, rows.document_json(stored.document), stored.revision
    version = await connection.fetchval(_NEXT_VERSION)
    named = (kind, stored.id, stored.organization_id)
    if await connection.fetchval(_PUT, *named, revision, at_ms, data) is None:
        return False
    await connection.execute(_ADD_REVISION, kind, stored.id, revision + 1, at_ms, data)
    await connection.execute(_ADD_CHANGE, version, *named)
    return True


async def _add_names(
    connection: Connection, kind: type[Document], id: Key, names: Sequence[tuple[str, str]]
) -> None:
    if names:
        spaces, values = [space for space, _ in names], [value for _, value in names]
        await connection.execute(_ADD_NAMES, kind.kind, id, spaces, values)


def _taken(kind: type[Document]) -> ConflictError:
    return ConflictError(f"Another {kind.kind} has that name already.")
