"""``/api/v1/robots``: recordings in Maxun's format (SEEDS MX-14 to MX-16), and runs of them."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.automations import NewExecution, started
from hookline.api.documents import Documents
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    RawBody,
    Reader,
    Starter,
    Writer,
    key_in_path,
    member,
    no_content,
    raw,
    reply,
    when,
)
from hookline.engine.manage.robots import (
    LONGEST_PAUSE_MS,
    LONGEST_SECONDS,
    MOST_CONCURRENT,
    MOST_REPEATS,
    create_robot,
    delete_robot,
    update_robot,
)
from hookline.engine.receive import ExecutionStart
from hookline.model.configuration import Stored
from hookline.model.ids import public
from hookline.model.robots import Robot
from hookline.model.states import Kind

router = APIRouter(prefix="/api/v1/robots", tags=["robots"])

_ROBOTS: Final = Documents(Robot, "robot", "robots")


class RobotFields(Body):
    """recording: `{"workflow": […]}` as Maxun exports it.  matching: `order` runs its pairs from the last to the first,
    `where` runs the last one whose `where` holds.  pause_ms: after each action.  max_repeats: of a pair that failed.
    """

    name: str = ""
    recording: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = 600
    concurrency: Annotated[int | None, Field(ge=1, le=MOST_CONCURRENT)] = None
    matching: Literal["order", "where"] = "order"
    pause_ms: Annotated[int, Field(ge=0, le=LONGEST_PAUSE_MS)] = 500
    max_repeats: Annotated[int, Field(ge=0, le=MOST_REPEATS)] = 5


class NewRobot(RobotFields):
    name: str
    recording: dict[str, Any]


@router.post("", status_code=201, summary="Store a robot")
async def create(site: AtSite, caller: Writer, body: NewRobot, raw_body: RawBody) -> Response:
    stored = await create_robot(
        site.services.store, caller.organization_id, _fields(body, raw_body), now=site.services.clock.now()
    )
    await site.services.directory.refresh()
    return reply(robot_view(stored), 201)


@router.get("", summary="List robots")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _ROBOTS.list(site, caller.organization_id, page, robot_view)


@router.get("/{robot_id}", summary="Show a robot with its recording")
async def show(site: AtSite, caller: Reader, robot_id: str) -> Response:
    stored = await _ROBOTS.find(site, caller.organization_id, robot_id)
    return reply(robot_view(stored) | {"recording": raw(stored.document.recording.encode())})


@router.put("/{robot_id}", summary="Change a robot; fields left out stay")
async def change(
    site: AtSite, caller: Writer, robot_id: str, body: RobotFields, raw_body: RawBody
) -> Response:
    stored = await update_robot(
        site.services.store,
        caller.organization_id,
        key_in_path("robot", robot_id),
        _fields(body, raw_body),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(robot_view(stored))


@router.delete("/{robot_id}", status_code=204, summary="Delete a robot; its runs stay")
async def delete(site: AtSite, caller: Writer, robot_id: str) -> Response:
    id = key_in_path("robot", robot_id)
    await delete_robot(site.services.store, caller.organization_id, id, now=site.services.clock.now())
    await site.services.directory.refresh()
    return no_content()


@router.post("/{robot_id}/runs", status_code=202, summary="Run a robot")
async def run(
    site: AtSite, caller: Starter, robot_id: str, raw_body: RawBody, _: NewExecution | None = None
) -> Response:
    stored = await _ROBOTS.find(site, caller.organization_id, robot_id)
    start = ExecutionStart(
        organization_id=caller.organization_id,
        kind=Kind.ROBOT,
        automation_id=public("robot", stored.id),
        input=member(raw_body, "input"),
        source="api",
    )
    return reply(await started(site, start), 202)


def _fields(body: RobotFields, raw_body: bytes) -> dict[str, Any]:
    """What the caller gave; the recording byte for byte."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if "recording" in given:
        given["recording"] = member(raw_body, "recording")
    return given


def robot_view(stored: Stored[Robot]) -> dict[str, Any]:
    robot = stored.document
    return {
        "id": public("robot", stored.id),
        "name": robot.name,
        "timeout_seconds": robot.timeout_seconds,
        "concurrency": robot.concurrency,
        "matching": robot.matching,
        "pause_ms": robot.pause_ms,
        "max_repeats": robot.max_repeats,
        "revision": stored.revision,
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
    }
