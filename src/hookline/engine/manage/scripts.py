"""Scripts and script agents: how they are stored and changed, and within which limits."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.engine.manage.contention import TRIES
from hookline.engine.manage.organizations import check_name
from hookline.engine.manage.webhooks import create_webhook, delete_webhook, update_webhook
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Organization
from hookline.model.ids import Key, new_key, parse
from hookline.model.scripts import Script, ScriptAgent, ScriptLimits
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hookline.engine.manage.webhook_fields import Rules
    from hookline.model.configuration import Stored
    from hookline.ports import Registry

SLUGS: Final = "slug"
"""Name space of scripts: organization, branch and slug."""
NUMBERS: Final = "number"
"""Name space of agents."""

MOST_SOURCE_BYTES: Final = 512 * 1024
LIMITS: Final = {
    "time_seconds": (1, 86_400),
    "memory_mb": (64, 8_192),
    "disk_mb": (1, 4_096),
    "processes": (8, 1_024),
}
"""Lowest and highest value of each limit. An interpreter alone takes the lowest."""
MOST_PARALLELISM: Final = 1_000

_SLUG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\.(py|js)", re.ASCII)
_BRANCH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,99}", re.ASCII)
_ORG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}", re.ASCII)
_NOT_IN_ORG: Final = re.compile(r"[^a-z0-9]+")
_LOWEST, _PAST_HIGHEST = 10**15, 2**53
"""Numbers of 16 digits that JavaScript reads exactly (PB-4)."""


def agent_number(id: Key) -> str:
    """The public number of an agent."""
    drawn = int.from_bytes(hashlib.sha256(b"script agent\0" + id).digest()[:16])
    return str(_LOWEST + drawn % (_PAST_HIGHEST - _LOWEST))


def slug_name(organization_id: Key, branch: str, slug: str) -> str:
    """The unique name of a script."""
    return f"{organization_id.hex()}/{branch}/{slug}"


# --- scripts ------------------------------------------------------------------------------------------------


async def create_script(
    registry: Registry,
    organization_id: Key,
    *,
    slug: str,
    source: str,
    branch: str,
    org: str | None,
    now: datetime,
) -> Stored[Script]:
    """Store a script's first version. Raises InputError, or ConflictError when the branch has one of this slug."""
    script = Script(
        slug=_matching(slug, _SLUG, "slug", "letters, digits and . _ - with the ending .py or .js"),
        org=await _org_slug(registry, organization_id) if org is None else _org(org),
        branch=check_branch(branch),
        source=check_source(source),
    )
    names = [(SLUGS, slug_name(organization_id, branch, slug))]
    try:
        return await registry.add(
            Script, id=new_key(), organization_id=organization_id, document=script, names=names, at=now
        )
    except ConflictError as exc:
        message = f"The branch {branch!r} has a script {slug!r} already; PUT a new version of it."
        raise ConflictError(message, code="SCRIPT_EXISTS", field="slug") from exc


async def new_version(
    registry: Registry, organization_id: Key, id: Key, *, source: str, now: datetime
) -> Stored[Script]:
    """Store another version of a script; the same source again makes none. Raises MissingError, InputError."""
    checked = check_source(source)

    def change(script: Script) -> Script:
        return msgspec.structs.replace(script, source=checked)

    return await _rewrite(registry, Script, organization_id, id, change, now=now)


async def delete_script(registry: Registry, organization_id: Key, id: Key, *, now: datetime) -> None:
    """Delete a script; its versions stay with what ran. Raises MissingError, or ConflictError while agents run it."""
    stored = await registry.get(Script, id, organization_id=organization_id)
    if stored is None:
        raise MissingError("There is no such script.")
    script = stored.document
    for agent in await registry.list(ScriptAgent, organization_id=organization_id):
        if (agent.document.script, agent.document.branch) == (script.slug, script.branch):
            raise ConflictError(
                f"The script agent {agent.document.number} runs it; delete that first.", code="SCRIPT_IN_USE"
            )
    await registry.delete(Script, id, organization_id=organization_id, at=now)


def check_source(source: str) -> str:
    """Return a source, or raise InputError for one that no file can hold or that is too long."""
    size = len(source.encode("utf-8", "surrogatepass"))
    if "\0" in source or size > MOST_SOURCE_BYTES:
        raise InputError(
            f"A source is text without NUL characters, at most {MOST_SOURCE_BYTES} bytes.",
            field="source",
            expected=f"at most {MOST_SOURCE_BYTES} bytes",
            received=f"{size} bytes",
        )
    return source


def check_branch(branch: str) -> str:
    return _matching(branch, _BRANCH, "branch", "letters, digits and . _ / -")


def _org(org: str) -> str:
    return _matching(org, _ORG, "org", "lower-case letters, digits and -")


async def _org_slug(registry: Registry, organization_id: Key) -> str:
    """The organization's name as a slug (PB-3 ``scriptOrg``)."""
    stored = await registry.get(Organization, organization_id, organization_id=organization_id)
    name = "" if stored is None else stored.document.name.lower()
    return _NOT_IN_ORG.sub("-", name).strip("-")[:100] or "organization"


def _matching(text: str, pattern: re.Pattern[str], field: str, expected: str) -> str:
    if pattern.fullmatch(text) is None:
        raise InputError(f"{field!r} must be {expected}.", field=field, expected=expected, received="string")
    return text


# --- agents -------------------------------------------------------------------------------------------------


async def create_agent(
    registry: Registry, rules: Rules, organization_id: Key, fields: Mapping[str, Any], *, now: datetime
) -> tuple[Stored[ScriptAgent], str | None]:
    """Make an agent, and its webhook when it names one. Returns it with that webhook's secret, shown once.

    Raises InputError, also for a script that is not there.
    """
    id = new_key()
    blank = ScriptAgent(number=agent_number(id), name="", script="", branch="main")
    fields = await _by_slug(registry, organization_id, fields)
    agent = _changed(blank, fields)
    await _check_script(registry, organization_id, agent)
    secret = None
    if fields.get("webhook") is not None:
        webhook_id, secret = await _told_at(
            registry, rules, organization_id, agent, fields["webhook"], now=now
        )
        agent = msgspec.structs.replace(agent, webhook_id=webhook_id)
    stored = await registry.add(
        ScriptAgent,
        id=id,
        organization_id=organization_id,
        document=agent,
        names=[(NUMBERS, agent.number)],
        at=now,
    )
    return stored, secret


async def update_agent(
    registry: Registry,
    rules: Rules,
    organization_id: Key,
    number: str,
    fields: Mapping[str, Any],
    *,
    now: datetime,
) -> tuple[Stored[ScriptAgent], str | None]:
    """Merge fields into an agent. Returns it with the secret of a webhook that this made, or None.

    Raises MissingError, InputError or ConflictError.
    """
    found = await get_agent(registry, organization_id, number)
    fields = await _by_slug(registry, organization_id, fields)
    await _check_script(registry, organization_id, _changed(found.document, fields))
    secret = None
    webhook_id = found.document.webhook_id
    if "webhook" in fields:
        url = fields["webhook"]
        if url is None and webhook_id is not None:
            await _forget_webhook(registry, organization_id, webhook_id, now=now)
            webhook_id = None
        elif url is not None:
            webhook_id, secret = await _told_at(
                registry, rules, organization_id, found.document, url, now=now
            )

    def change(agent: ScriptAgent) -> ScriptAgent:
        return msgspec.structs.replace(_changed(agent, fields), webhook_id=webhook_id)

    return await _rewrite(registry, ScriptAgent, organization_id, found.id, change, now=now), secret


async def delete_agent(registry: Registry, organization_id: Key, number: str, *, now: datetime) -> None:
    """Delete an agent and its own webhook. What runs goes on to its end. Raises MissingError."""
    stored = await get_agent(registry, organization_id, number)
    await registry.delete(ScriptAgent, stored.id, organization_id=organization_id, at=now)
    if stored.document.webhook_id is not None:
        await _forget_webhook(registry, organization_id, stored.document.webhook_id, now=now)


async def get_agent(registry: Registry, organization_id: Key, number: str) -> Stored[ScriptAgent]:
    """Raises MissingError."""
    stored = await registry.find(ScriptAgent, NUMBERS, number)
    if stored is None or stored.organization_id != organization_id:
        raise MissingError("There is no such script agent.")
    return stored


async def _by_slug(registry: Registry, organization_id: Key, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields with slug and branch in place of a script's id, where one was given."""
    id = parse("script", fields.get("script") or "")
    if id is None:
        return fields
    stored = await registry.get(Script, id, organization_id=organization_id)
    if stored is None:
        return fields  # refused below, as a slug that is not there
    return {**fields, "script": stored.document.slug, "branch": stored.document.branch}


def _changed(agent: ScriptAgent, fields: Mapping[str, Any]) -> ScriptAgent:
    """An agent with fields merged into it. Raises InputError."""
    values: dict[str, Any] = {}
    for name in ("script", "branch", "max_parallelism", "network"):
        if fields.get(name) is not None:
            values[name] = fields[name]
    if fields.get("name") is not None:
        values["name"] = check_name(fields["name"])
    if "argument" in fields:
        text = fields["argument"]
        values["argument"] = None if text is None else text.decode("utf-8", "surrogatepass")
    if fields.get("limits") is not None:
        given = {name: value for name, value in fields["limits"].items() if value is not None}
        values["limits"] = _checked(msgspec.structs.replace(agent.limits, **given))
    changed = msgspec.structs.replace(agent, **values)
    return changed if changed.name else msgspec.structs.replace(changed, name=changed.script)


def _checked(limits: ScriptLimits) -> ScriptLimits:
    for name, (lowest, highest) in LIMITS.items():
        value = getattr(limits, name)
        if not lowest <= value <= highest:
            raise InputError(
                f"{name!r} must be {lowest} to {highest}.",
                field=f"limits.{name}",
                expected=f"{lowest} to {highest}",
                received=str(value),
            )
    return limits


async def _check_script(registry: Registry, organization_id: Key, agent: ScriptAgent) -> None:
    name = slug_name(organization_id, agent.branch, agent.script)
    if await registry.find(Script, SLUGS, name) is None:
        raise InputError(
            f"There is no script {agent.script!r} on the branch {agent.branch!r}.",
            code="SCRIPT_UNKNOWN",
            field="script",
            expected="slug of a script on that branch",
            received="string",
        )


async def _told_at(
    registry: Registry, rules: Rules, organization_id: Key, agent: ScriptAgent, url: str, *, now: datetime
) -> tuple[Key, str | None]:
    """Let an agent's own webhook lead to a URL. Returns it, and the secret of one that this made."""
    try:
        if agent.webhook_id is not None:
            try:
                await update_webhook(
                    registry, rules, organization_id, agent.webhook_id, {"url": url}, now=now
                )
            except MissingError:
                pass  # somebody deleted it as the webhook that it is
            else:
                return agent.webhook_id, None
        return await _register(registry, rules, organization_id, agent, url, now=now)
    except InputError as exc:  # a webhook's field, which is not one of an agent
        raise InputError(
            exc.message, code=exc.code, field="webhook", expected=exc.expected, received=exc.received
        ) from exc


async def _register(
    registry: Registry, rules: Rules, organization_id: Key, agent: ScriptAgent, url: str, *, now: datetime
) -> tuple[Key, str]:
    """Register the agent's own webhook (PB-1, PB-2): its ends and no one else's, as PhantomBuster words them."""
    fields = {
        "name": agent.name,
        "url": url,
        "events": ["script.execution.ended"],
        "dialect": "phantombuster",
        "automation": {"kind": str(Kind.SCRIPT), "id": agent.number},
    }
    webhook, secret = await create_webhook(registry, rules, organization_id, fields, now=now)
    return webhook.id, secret


async def _forget_webhook(registry: Registry, organization_id: Key, id: Key, *, now: datetime) -> None:
    try:
        await delete_webhook(registry, organization_id, id, now=now)
    except MissingError:
        return  # somebody deleted it as the webhook that it is


async def _rewrite(
    registry: Registry,
    kind: type[Any],
    organization_id: Key,
    id: Key,
    edit: Callable[[Any], Any],
    *,
    now: datetime,
) -> Stored[Any]:
    """Read, edit, write; again when somebody else wrote in between."""
    for _ in range(TRIES):
        stored = await registry.get(kind, id, organization_id=organization_id)
        if stored is None:
            raise MissingError(f"There is no such {kind.kind.replace('_', ' ')}.")
        edited = edit(stored.document)
        if edited == stored.document:
            return stored
        try:
            return await registry.put(msgspec.structs.replace(stored, document=edited), at=now)
        except ConflictError:
            continue
    raise ConflictError("Others keep changing this; try again.")
