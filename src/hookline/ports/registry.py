"""The seams of a store that keep small things by name: configuration, first answers of POSTs, sealed values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from hookline.model.configuration import Document, Stored
from hookline.model.ids import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from hookline.ports.writes import Epoch, Once, Repeat

D = TypeVar("D", bound=Document)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration object was created, changed or deleted."""

    version: int
    kind: str
    id: Key
    organization_id: Key


class Registry(Protocol):
    """Configuration documents with revisions, unique lookup names, and a gapless change feed."""

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
        """Insert with revision 1. names: (space, value) pairs, unique per kind and space over all organizations.
        Raises ConflictError when one is taken.
        """
        ...

    async def get(self, kind: type[D], id: Key, *, organization_id: Key | None) -> Stored[D] | None:
        """organization_id None: whatever organization it is of (engine's own use, never a caller's)."""
        ...

    async def get_revision(self, kind: type[D], id: Key, revision: int) -> D | None:
        """The document as it was at that revision, deleted or not."""
        ...

    async def revision_at(self, kind: type[D], id: Key, at: datetime) -> int | None:
        """The revision that was current at an instant; None before it was created."""
        ...

    async def find(self, kind: type[D], space: str, value: str) -> Stored[D] | None:
        """Find by unique name."""
        ...

    async def list(
        self,
        kind: type[D],
        *,
        organization_id: Key | None,
        before: Key | None = None,
        limit: int | None = None,
    ) -> list[Stored[D]]:
        """Newest first. before: only ids smaller than it.  limit None: all."""
        ...

    async def put(
        self, stored: Stored[D], *, names: Sequence[tuple[str, str]] | None = None, at: datetime
    ) -> Stored[D]:
        """Replace the document; stored.revision must be the current one, else ConflictError. names: replaces all
        lookup names when given. Returns it with revision + 1.
        """
        ...

    async def delete(self, kind: type[D], id: Key, *, organization_id: Key, at: datetime) -> bool:
        """Delete document and names, keep revisions. False when there was none."""
        ...

    async def version(self) -> int:
        """Version of the latest change, 0 at first. Versions rise by 1 in commit order and never skip."""
        ...

    async def changes(self, since: int, *, limit: int = 1000) -> Sequence[Change]: ...

    async def meta(self, name: str) -> bytes | None:
        """A small value of the installation (key check, first-start mark)."""
        ...

    async def set_meta(self, name: str, value: bytes) -> None: ...


class Onces(Protocol):
    """Remembers answers of POSTs that are not hot writes: reserve, act, finish (P5)."""

    async def reserve(self, once: Once, epoch: Epoch) -> Repeat | bool:
        """True: reserved for us. False: another call holds it and has not finished (a dead epoch's reservation
        is taken over instead). Repeat: finished before.
        """
        ...

    async def finish(self, once: Once, epoch: Epoch) -> None: ...

    async def forget(self, once: Once, epoch: Epoch) -> None:
        """Give a reservation back because the call failed."""
        ...


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """A step through a table. after: where the next one begins, None when this was the last."""

    seen: int
    changed: int
    after: bytes | None


class Sealed(Protocol):
    """Rewrites sealed values in place, when the key that seals them changes."""

    async def reseal(
        self, table: str, *, after: bytes | None, limit: int, change: Callable[[bytes], bytes | None]
    ) -> Resealed:
        """Put what ``change`` makes of the next rows' values in their place, in one transaction.

        table: ``documents``, ``document_revisions`` or ``onces``.  change: pure; None leaves a value as it is.
        Guarantees: no change by others is lost; revisions and times of the rows stay.
        """
        ...
