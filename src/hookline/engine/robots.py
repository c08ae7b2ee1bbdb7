"""Robots as the engine runs them: the ``DataKind`` of robots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hookline.errors import MissingError
from hookline.model.executions import Automation, RobotFacts
from hookline.model.ids import parse, public
from hookline.model.robots import Robot, RobotDefinition
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.engine.directory import Directory
    from hookline.model.configuration import Stored
    from hookline.model.executions import Execution, Facts
    from hookline.model.ids import Key
    from hookline.ports import Registry


class Robots:
    """``engine.definitions.DataKind``."""

    def __init__(self, directory: Directory, registry: Registry) -> None:
        self._directory = directory
        self._registry = registry

    def __repr__(self) -> str:
        return "Robots()"

    async def automation(self, organization_id: Key, id: str) -> Automation | None:
        stored = await self._robot(organization_id, id)
        return None if stored is None else _automation(stored)

    async def automations(self, organization_id: Key) -> list[Automation]:
        return [
            _automation(each) for each in await self._registry.list(Robot, organization_id=organization_id)
        ]

    async def definition(self, organization_id: Key, id: str) -> bytes:
        stored = await self._robot(organization_id, id)
        if stored is None:
            raise MissingError("There is no such robot any more.")
        robot = stored.document
        return msgspec.json.encode(
            RobotDefinition(
                recording=msgspec.Raw(robot.recording.encode()),
                matching=robot.matching,
                pause_ms=robot.pause_ms,
                max_repeats=robot.max_repeats,
            )
        )

    async def facts(self, execution: Execution) -> Facts | None:
        """No browser was opened that anybody knows of."""
        assert execution.kind is Kind.ROBOT
        return RobotFacts()

    async def _robot(self, organization_id: Key, id: str) -> Stored[Robot] | None:
        key = parse("robot", id)
        stored = None if key is None else await self._directory.get(Robot, key)
        return stored if stored is not None and stored.organization_id == organization_id else None


def _automation(stored: Stored[Robot]) -> Automation:
    robot = stored.document
    return Automation(
        kind=Kind.ROBOT,
        id=public("robot", stored.id),
        name=robot.name,
        timeout_ms=robot.timeout_seconds * 1000,
        concurrency=robot.concurrency,
    )
