"""``/api/v1/scripts`` and ``/api/v1/script-agents`` (SEEDS PB): the code that people store, and what launches it."""

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.automations import started
from hookline.api.documents import Documents
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    RawBody,
    Reader,
    Starter,
    Writer,
    found_or_missing,
    key_in_path,
    member,
    no_content,
    raw,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.engine.manage.scripts import (
    MOST_PARALLELISM,
    create_agent,
    create_script,
    delete_agent,
    delete_script,
    get_agent,
    new_version,
    update_agent,
)
from hookline.engine.manage.webhook_fields import Rules
from hookline.engine.receive import ExecutionStart
from hookline.errors import InputError
from hookline.model.configuration import Stored, Webhook
from hookline.model.ids import public
from hookline.model.scripts import Script, ScriptAgent
from hookline.model.states import Kind

router = APIRouter(prefix="/api/v1", tags=["scripts"])

_SCRIPTS: Final = Documents(Script, "script", "scripts")

_MOST_VERSIONS = 50


class NewScript(Body):
    """slug: with its ending, `.py` or `.js`.  org: told as `scriptOrg`; the organization's name when left out."""

    slug: str
    source: str
    branch: str = "main"
    org: str | None = None


class ScriptVersion(Body):
    """What an answer adds is let through unread, so that what was read can be written back."""

    source: str
    id: Any = None
    slug: Any = None
    org: Any = None
    branch: Any = None
    version: Any = None
    size: Any = None
    sha256: Any = None
    created_at: Any = None
    updated_at: Any = None


class LimitsBody(Body):
    time_seconds: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    processes: int | None = None


class WebhookBody(Body):
    """As it is shown: only the URL can be changed here."""

    url: str
    id: Any = None


class AgentFields(Body):
    """script: its slug on the branch, or its id.  argument: any JSON value, for launches that bring none.

    network: whether it may reach public addresses, by a proxy that refuses all others.  webhook: a URL that is told of
    each end, as PhantomBuster does.
    """

    name: str | None = None
    script: str | None = None
    branch: str | None = None
    argument: Any = None
    limits: LimitsBody | None = None
    network: bool | None = None
    max_parallelism: int | None = Field(None, ge=1, le=MOST_PARALLELISM)
    webhook: str | WebhookBody | None = None


class AgentChange(AgentFields):
    """What an answer adds is let through unread, so that what was read can be written back."""

    id: Any = None
    created_at: Any = None
    updated_at: Any = None


class NewAgent(AgentFields):
    script: str


class Launch(Body):
    """argument: any JSON value, kept byte for byte.  input: the same under its other name."""

    argument: Any = None
    input: Any = None


# --- scripts ------------------------------------------------------------------------------------------------


@router.post("/scripts", status_code=201, summary="Store a script")
async def create(site: AtSite, caller: Writer, body: NewScript) -> Response:
    stored = await create_script(
        site.services.store,
        caller.organization_id,
        slug=body.slug,
        source=body.source,
        branch=body.branch,
        org=body.org,
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(script_view(stored), 201)


@router.get("/scripts", summary="List scripts")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _SCRIPTS.list(site, caller.organization_id, page, script_view)


@router.get("/scripts/{script_id}", summary="Show a script with its source")
async def show(site: AtSite, caller: Reader, script_id: str) -> Response:
    found = await _SCRIPTS.find(site, caller.organization_id, script_id)
    return reply(script_view(found) | {"source": found.document.source})


@router.put("/scripts/{script_id}", summary="Store a new version; agents run it from their next launch on")
async def change(site: AtSite, caller: Writer, script_id: str, body: ScriptVersion) -> Response:
    stored = await new_version(
        site.services.store,
        caller.organization_id,
        key_in_path("script", script_id),
        source=body.source,
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(script_view(stored))


@router.get("/scripts/{script_id}/versions", summary="List versions, newest first")
async def versions(
    site: AtSite,
    caller: Reader,
    script_id: str,
    before: Annotated[int | None, Query(ge=1, description="Only older ones than this version.")] = None,
) -> Response:
    stored = await _SCRIPTS.find(site, caller.organization_id, script_id)
    newest = stored.revision if before is None else min(before - 1, stored.revision)
    oldest = max(1, newest - _MOST_VERSIONS + 1)
    found = [
        (number, await site.services.store.get_revision(Script, stored.id, number))
        for number in range(newest, oldest - 1, -1)
    ]
    shown = [_version_view(number, script) for number, script in found if script is not None]
    return reply({"versions": shown, "next": oldest if oldest > 1 else None})


@router.get("/scripts/{script_id}/versions/{version}", summary="Show the source of one version")
async def version(site: AtSite, caller: Reader, script_id: str, version: int) -> Response:
    stored = await _SCRIPTS.find(site, caller.organization_id, script_id)
    script = None
    if 1 <= version < 1 << 31:
        script = await site.services.store.get_revision(Script, stored.id, version)
    found = found_or_missing(script, "version")
    return reply(_version_view(version, found) | {"source": found.source})


@router.delete("/scripts/{script_id}", status_code=204, summary="Delete a script that no agent runs")
async def delete(site: AtSite, caller: Writer, script_id: str) -> Response:
    id = key_in_path("script", script_id)
    await delete_script(site.services.store, caller.organization_id, id, now=site.services.clock.now())
    await site.services.directory.refresh()
    return no_content()


def script_view(stored: Stored[Script]) -> dict[str, Any]:
    script = stored.document
    return {
        "id": public("script", stored.id),
        "slug": script.slug,
        "org": script.org,
        "branch": script.branch,
        **_version_view(stored.revision, script),
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
    }


def _version_view(number: int, script: Script) -> dict[str, Any]:
    source = script.source.encode("utf-8", "surrogatepass")
    return {"version": number, "size": len(source), "sha256": hashlib.sha256(source).hexdigest()}


# --- agents -------------------------------------------------------------------------------------------------


@router.post("/script-agents", status_code=201, summary="Create an agent that runs a script")
async def create_one(site: AtSite, caller: Writer, body: NewAgent, raw_body: RawBody) -> Response:
    stored, secret = await create_agent(
        site.services.store,
        _rules(site),
        caller.organization_id,
        _fields(body, raw_body),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(await agent_view(site, stored, secret), 201)


@router.get("/script-agents", summary="List script agents")
async def list_agents(site: AtSite, caller: Reader, page: AtPage) -> Response:
    found = await site.services.store.list(
        ScriptAgent, organization_id=caller.organization_id, before=page.before, limit=page.enough
    )
    views = {stored.id: await agent_view(site, stored) for stored in found}
    return page.reply("script_agents", found, lambda stored: stored.id, lambda stored: views[stored.id])


@router.get("/script-agents/{agent_id}", summary="Show a script agent")
async def show_agent(site: AtSite, caller: Reader, agent_id: str) -> Response:
    stored = await get_agent(site.services.store, caller.organization_id, agent_id)
    return reply(await agent_view(site, stored))


@router.put("/script-agents/{agent_id}", summary="Change a script agent; fields left out stay")
async def change_agent(
    site: AtSite, caller: Writer, agent_id: str, body: AgentChange, raw_body: RawBody
) -> Response:
    stored, secret = await update_agent(
        site.services.store,
        _rules(site),
        caller.organization_id,
        agent_id,
        _fields(body, raw_body),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(await agent_view(site, stored, secret))


@router.delete("/script-agents/{agent_id}", status_code=204, summary="Delete a script agent")
async def delete_one(site: AtSite, caller: Writer, agent_id: str) -> Response:
    now = site.services.clock.now()
    await delete_agent(site.services.store, caller.organization_id, agent_id, now=now)
    await site.services.directory.refresh()
    return no_content()


@router.post("/script-agents/{agent_id}/launch", status_code=202, summary="Launch a script agent")
async def launch(
    site: AtSite, caller: Starter, agent_id: str, raw_body: RawBody, body: Launch | None = None
) -> Response:
    agent = (await get_agent(site.services.store, caller.organization_id, agent_id)).document
    given = set() if body is None else body.model_fields_set
    if given == {"argument", "input"}:
        raise InputError(
            "'argument' and 'input' are two names of one thing; give one of them.",
            field="input",
            expected="left out",
            received="both",
        )
    default = None if agent.argument is None else agent.argument.encode("utf-8", "surrogatepass")
    start = ExecutionStart(
        organization_id=caller.organization_id,
        kind=Kind.SCRIPT,
        automation_id=agent.number,
        input=member(raw_body, given.pop()) if given else default,
        source="api",
    )
    return reply(await started(site, start), 202)


async def agent_view(site: Site, stored: Stored[ScriptAgent], secret: str | None = None) -> dict[str, Any]:
    """Words an agent. secret: of a webhook that was just made for it, shown once."""
    agent = stored.document
    webhook = None
    if agent.webhook_id is not None:
        webhook = await site.services.store.get(
            Webhook, agent.webhook_id, organization_id=stored.organization_id
        )
    shown = None if webhook is None else {"id": public("webhook", webhook.id), "url": webhook.document.url}
    if shown is not None and secret is not None:
        shown["secret"] = secret
    limits = agent.limits
    return {
        "id": agent.number,
        "name": agent.name,
        "script": agent.script,
        "branch": agent.branch,
        "argument": raw(None if agent.argument is None else agent.argument.encode("utf-8", "surrogatepass")),
        "limits": {
            "time_seconds": limits.time_seconds,
            "memory_mb": limits.memory_mb,
            "disk_mb": limits.disk_mb,
            "processes": limits.processes,
        },
        "network": agent.network,
        "max_parallelism": agent.max_parallelism,
        "webhook": shown,
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
    }


def _fields(body: AgentFields, raw_body: bytes) -> dict[str, Any]:
    """What was given, with the argument as it was written."""
    fields = body.model_dump(exclude_unset=True, exclude={"id", "created_at", "updated_at"})
    if isinstance(body.webhook, WebhookBody):
        fields["webhook"] = body.webhook.url
    if "argument" in fields:
        text = member(raw_body, "argument")
        fields["argument"] = None if text == b"null" else text
    return fields


def _rules(site: Site) -> Rules:
    return Rules(site.services.vault, site.addresses, site.settings.max_retries)
