"""Automations that people set up as data: scripts, robots, renders. What each is, and what of it runs.

An automation of the app is shared by all organizations and known from the start; these belong to one organization and
come and go. One ``DataKind`` for each kind of work knows its documents. Every look is asked of the directory's cache,
so a change is in force within a second on every node; what was found is remembered for whoever cannot wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from hookline.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.model.executions import Automation, Execution, Facts
    from hookline.model.ids import Key
    from hookline.model.states import Kind

_MOST_KNOWN: Final = 10_000
"""Automations remembered; past this all are forgotten, which costs each of them its limits until it is asked for."""


class DataKind(Protocol):
    """One kind of work that is set up as data, as the engine sees it. Every method may raise StorageError."""

    async def automation(self, organization_id: Key, id: str) -> Automation | None:
        """What the engine must know to start it: name, time-out, limits. None when that organization has none."""

    async def automations(self, organization_id: Key) -> list[Automation]:
        """All of an organization's."""

    async def definition(self, organization_id: Key, id: str) -> bytes | None:
        """What its runner is given (``RunJob.definition``). Raises MissingError when it is gone."""

    async def facts(self, execution: Execution) -> Facts | None:
        """What its terminal event tells of a run whose runner could not say it: killed in the queue, or lost."""


class Definitions:
    """One per node. kinds: none of them are in the app."""

    def __init__(self, kinds: Mapping[Kind, DataKind]) -> None:
        self._kinds = dict(kinds)
        self._known: dict[tuple[Key, Kind, str], Automation] = {}

    def __repr__(self) -> str:
        return f"Definitions({', '.join(self._kinds)})"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(self._kinds)

    def known(self, organization_id: Key, kind: Kind, id: str) -> Automation | None:
        """The automation as it was when it was last asked for."""
        return self._known.get((organization_id, kind, id))

    async def automation(self, organization_id: Key, kind: Kind, id: str) -> Automation | None:
        """None when there is none, and for kinds of the app. Raises StorageError."""
        source = self._kinds.get(kind)
        if source is None:
            return None
        found = await source.automation(organization_id, id)
        if found is None:
            self._known.pop((organization_id, kind, id), None)
            return None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[organization_id, kind, id] = found
        return found

    async def automations(self, organization_id: Key) -> list[Automation]:
        """All of an organization's, by kind. Raises StorageError."""
        return [each for source in self._kinds.values() for each in await source.automations(organization_id)]

    async def definition(self, execution: Execution) -> bytes | None:
        """What runs now; None for kinds of the app. Raises MissingError when it is gone, StorageError."""
        source = self._kinds.get(execution.kind)
        if source is None:
            return None
        return await source.definition(execution.organization_id, execution.automation_id)

    async def facts(self, execution: Execution) -> Facts | None:
        """What is known of a run without its runner. Raises StorageError."""
        source = self._kinds.get(execution.kind)
        if source is None:
            return None
        try:
            return await source.facts(execution)
        except MissingError:
            return None
