"""Say what can run here: the automations of the app, and those that organizations set up as data.

An automation of the app is shared by all organizations; one set up as data belongs to its own. Who asks need not know
the difference.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hookline.errors import StorageError
from hookline.model.ids import Key
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.engine.definitions import Definitions
    from hookline.model.executions import Automation, Execution

Place = tuple[Key | None, Kind, str]
"""An automation: of an organization, or (None) of the app, which all of them share."""


class Catalogue:
    """One per node; empty of the app's until the runner has loaded it."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._of_app: dict[tuple[Kind, str], Automation] = {}

    def __repr__(self) -> str:
        return f"Catalogue(of_app={len(self._of_app)})"

    def fill(self, automations: Iterable[Automation]) -> None:
        """Take what the app was found to have."""
        self._of_app = {(one.kind, one.id): one for one in automations}

    @property
    def kinds(self) -> tuple[Kind, ...] | None:
        """What this node may take from the table: without an app, no code of it. None for everything."""
        return None if self._of_app else self._definitions.kinds

    def of_app(self, kind: Kind, automation_id: str) -> Automation | None:
        """An automation of the app."""
        return self._of_app.get((kind, automation_id))

    async def find(self, organization_id: Key, kind: Kind, automation_id: str) -> Automation | None:
        """An automation of the app or of an organization's own. Raises StorageError."""
        found = self._of_app.get((kind, automation_id))
        return found or await self._definitions.automation(organization_id, kind, automation_id)

    async def all_of(self, organization_id: Key) -> list[Automation]:
        """All that an organization can run. Raises StorageError."""
        return [*self._of_app.values(), *await self._definitions.automations(organization_id)]

    async def learn(self, execution: Execution) -> None:
        """Have the facts of its automation at hand; a store that is away leaves it without limits of its own."""
        with suppress(StorageError):
            await self.find(execution.organization_id, execution.kind, execution.automation_id)

    def known(self, execution: Execution) -> Automation | None:
        """The automation of an execution that this node has taken, as it last was."""
        return self._of_app.get((execution.kind, execution.automation_id)) or self._definitions.known(
            execution.organization_id, execution.kind, execution.automation_id
        )

    def place(self, execution: Execution) -> Place:
        """Whose limit an execution counts against."""
        is_shared = (execution.kind, execution.automation_id) in self._of_app
        return None if is_shared else execution.organization_id, execution.kind, execution.automation_id
