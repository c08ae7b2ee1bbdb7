"""Script agents as the engine runs them: the ``DataKind`` of scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hookline.engine.manage.scripts import NUMBERS, SLUGS, slug_name
from hookline.errors import MissingError
from hookline.model.configuration import Organization
from hookline.model.executions import Automation, ScriptFacts
from hookline.model.scripts import Script, ScriptAgent, ScriptDefinition
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.engine.directory import Directory
    from hookline.model.configuration import Stored
    from hookline.model.executions import Execution, Facts
    from hookline.model.ids import Key
    from hookline.ports import Registry


class ScriptAgents:
    """``engine.definitions.DataKind``.

    allows_unsafe: the operator lets scripts of several organizations run where the machine has no walls for them.
    """

    def __init__(self, directory: Directory, registry: Registry, *, allows_unsafe: bool) -> None:
        self._directory = directory
        self._registry = registry
        self._allows_unsafe = allows_unsafe

    def __repr__(self) -> str:
        return "ScriptAgents()"

    async def automation(self, organization_id: Key, id: str) -> Automation | None:
        stored = await self._agent(organization_id, id)
        return None if stored is None else _automation(stored.document)

    async def automations(self, organization_id: Key) -> list[Automation]:
        found = await self._registry.list(ScriptAgent, organization_id=organization_id)
        return [_automation(stored.document) for stored in found]

    async def definition(self, organization_id: Key, id: str) -> bytes:
        agent = await self._agent(organization_id, id)
        if agent is None:
            raise MissingError("There is no such script agent any more.")
        wanted = agent.document
        name = slug_name(organization_id, wanted.branch, wanted.script)
        script = await self._directory.find(Script, SLUGS, name)
        if script is None:
            raise MissingError(f"The branch {wanted.branch!r} has no script {wanted.script!r} any more.")
        return msgspec.json.encode(
            ScriptDefinition(
                slug=wanted.script,
                org=script.document.org,
                branch=wanted.branch,
                source=script.document.source,
                limits=wanted.limits,
                network=wanted.network,
                must_isolate=not self._allows_unsafe and await self._has_tenants(),
            )
        )

    async def facts(self, execution: Execution) -> Facts | None:
        agent = await self._agent(execution.organization_id, execution.automation_id)
        if agent is None:
            return None
        wanted = agent.document
        name = slug_name(execution.organization_id, wanted.branch, wanted.script)
        script = await self._directory.find(Script, SLUGS, name)
        org = None if script is None else script.document.org
        return ScriptFacts(script=wanted.script, script_org=org, branch=wanted.branch)

    async def _agent(self, organization_id: Key, id: str) -> Stored[ScriptAgent] | None:
        stored = await self._directory.find(ScriptAgent, NUMBERS, id)
        return stored if stored is not None and stored.organization_id == organization_id else None

    async def _has_tenants(self) -> bool:
        """Whether there is anybody to protect from these scripts beside whoever runs the server."""
        return len(await self._registry.list(Organization, organization_id=None, limit=2)) > 1


def _automation(agent: ScriptAgent) -> Automation:
    return Automation(
        kind=Kind.SCRIPT,
        id=agent.number,
        name=agent.name,
        timeout_ms=agent.limits.time_seconds * 1000,
        concurrency=agent.max_parallelism,
    )
