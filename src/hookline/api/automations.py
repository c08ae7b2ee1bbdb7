"""What can run here, and starting it: ``/api/v1/automations``, ``/api/v1/workflows/{id}/executions`` and for agents."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from hookline.api.identity import Caller
from hookline.api.reply import AtSite, Body, RawBody, Reader, Starter, member, reply
from hookline.api.services import Site
from hookline.engine.receive import ExecutionStart
from hookline.errors import MissingError, StorageError
from hookline.model.ids import public
from hookline.model.states import Kind
from hookline.ports import Repeat

router = APIRouter(prefix="/api/v1", tags=["automations"])

_MOST_NAMED = 20


class NewExecution(Body):
    """input: any JSON value; kept byte for byte."""

    input: Any = None


@router.get("/automations", summary="List what can run here")
async def list_all(site: AtSite, caller: Reader) -> Response:
    shown = [
        {
            "kind": automation.kind,
            "id": automation.id,
            "name": automation.name,
            "description": automation.description,
            "timeout_seconds": automation.timeout_ms / 1000,
            "concurrency": automation.concurrency,
        }
        for automation in await site.services.automations_of(caller.organization_id)
    ]
    return reply({"automations": shown})


@router.post("/workflows/{workflow_id}/executions", status_code=202, summary="Start a workflow")
async def start_workflow(
    site: AtSite, caller: Starter, workflow_id: str, raw_body: RawBody, _: NewExecution | None = None
) -> Response:
    return await _start(site, caller, Kind.WORKFLOW, workflow_id, raw_body)


@router.post("/agents/{agent_id}/executions", status_code=202, summary="Start an agent")
async def start_agent(
    site: AtSite, caller: Starter, agent_id: str, raw_body: RawBody, _: NewExecution | None = None
) -> Response:
    return await _start(site, caller, Kind.AGENT, agent_id, raw_body)


async def _start(site: Site, caller: Caller, kind: Kind, automation_id: str, body: bytes) -> Response:
    if site.services.automation(kind, automation_id) is None:
        raise await not_loaded(site, caller, kind)
    start = ExecutionStart(
        organization_id=caller.organization_id,
        kind=kind,
        automation_id=automation_id,
        input=member(body, "input"),
        source="api",
    )
    return reply(await started(site, start), 202)


async def not_loaded(site: Site, caller: Caller, kind: Kind) -> MissingError:
    """Say which there are: code is everybody's, and what an organization set up is its own."""
    all_ = await site.services.automations_of(caller.organization_id)
    ids = sorted(each.id for each in all_ if each.kind == kind)
    named = ", ".join(ids[:_MOST_NAMED]) + (", …" if len(ids) > _MOST_NAMED else "")
    return MissingError(
        f"There is no such {kind}. Loaded: {named or f'no {kind} at all'}.", field=f"{kind}_id"
    )


async def started(site: Site, start: ExecutionStart) -> dict[str, Any]:
    """Start an execution and return its answer."""
    execution = await site.services.start_execution(start)
    if isinstance(execution, Repeat):
        raise StorageError("The execution was started once already.")
    return {"execution_id": public("execution", execution.id), "status": "queued"}
