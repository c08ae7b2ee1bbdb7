"""Robots: how they are stored and changed, and within which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import decode
from hookline.core.robots.recording import parse_recording
from hookline.engine.manage.contention import TRIES
from hookline.engine.manage.organizations import check_name
from hookline.errors import ConflictError, MissingError
from hookline.model.ids import Key, new_key
from hookline.model.robots import Matching, Robot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hookline.model.configuration import Stored
    from hookline.ports import Registry

LONGEST_SECONDS: Final = 3 * 3600
"""Of one run: as long as Maxun waits for one (MX-13)."""
MOST_CONCURRENT: Final = 1_000
MOST_REPEATS: Final = 20
LONGEST_PAUSE_MS: Final = 10_000


async def create_robot(
    registry: Registry, organization_id: Key, fields: Mapping[str, Any], *, now: datetime
) -> Stored[Robot]:
    """Store a robot. fields: as ``changed`` takes them, ``name`` and ``recording`` among them. Raises InputError."""
    robot = changed(Robot(name="", recording="{}"), fields)
    return await registry.add(
        Robot, id=new_key(), organization_id=organization_id, document=robot, names=[], at=now
    )


async def update_robot(
    registry: Registry, organization_id: Key, id: Key, fields: Mapping[str, Any], *, now: datetime
) -> Stored[Robot]:
    """Change the fields that are given. Raises MissingError, InputError or ConflictError."""
    for _ in range(TRIES):
        stored = await registry.get(Robot, id, organization_id=organization_id)
        if stored is None:
            raise missing_robot()
        robot = changed(stored.document, fields)
        if robot == stored.document:
            return stored
        try:
            return await registry.put(msgspec.structs.replace(stored, document=robot), at=now)
        except ConflictError:
            continue
    raise ConflictError("Others keep changing this robot; try again.")


async def delete_robot(registry: Registry, organization_id: Key, id: Key, *, now: datetime) -> None:
    """Delete a robot; what waits to run fails. Raises MissingError."""
    if not await registry.delete(Robot, id, organization_id=organization_id, at=now):
        raise missing_robot()


def changed(robot: Robot, fields: Mapping[str, Any]) -> Robot:
    """Return the robot with these fields; numbers are within their limits already.

    fields: by name; ``recording`` as the caller's bytes. Raises InputError with the path of what it may not say.
    """
    values = dict(fields)
    if "name" in values:
        values["name"] = check_name(values["name"])
    if "recording" in values:
        parse_recording(decode(values["recording"], field="recording"), field="recording")
        values["recording"] = bytes(values["recording"]).decode()
    if "matching" in values:
        values["matching"] = Matching(values["matching"])
    return msgspec.structs.replace(robot, **values)


def missing_robot() -> MissingError:
    return MissingError("There is no such robot.")
