"""``/api/v1/triggers``: inbound URLs and their credentials."""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.automations import not_loaded
from hookline.api.documents import Documents
from hookline.api.identity import Caller
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    found_or_missing,
    key_in_path,
    missing,
    no_content,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.engine.manage import callbacks
from hookline.engine.manage.credentials import definition_of
from hookline.engine.manage.organizations import check_name
from hookline.engine.manage.trigger_settings import SETTINGS
from hookline.engine.manage.triggers import (
    ROTATION,
    NewTrigger,
    create_trigger,
    route,
    update_trigger,
)
from hookline.engine.manage.triggers import rotate as rotate_credential
from hookline.errors import ConflictError, InputError
from hookline.model.configuration import Stored, Trigger, TriggerEndpoint, Webhook
from hookline.model.ids import public
from hookline.model.states import DeliveryState, Kind, Scope

router = APIRouter(prefix="/api/v1", tags=["triggers"])

_TRIGGERS: Final = Documents(Trigger, "trigger", "triggers")


class AutomationName(Body):
    kind: Literal["workflow", "agent", "script", "robot", "render"]
    id: str = Field(min_length=1, max_length=128)


class TriggerSettings(Body):
    """What may be set, and changed later. null unsets."""

    name: str | None = None
    rate_per_second: float | None = None
    ip_allowlist: list[Any] | None = None
    dedupe: dict[str, Any] | None = None
    methods: list[Any] | None = None
    response: dict[str, Any] | None = None
    max_body_bytes: int | None = None
    synchronous: bool | None = None
    wait_seconds: int | None = None
    debounce: dict[str, Any] | None = None
    concurrency: dict[str, Any] | None = None
    callbacks: bool | None = None
    keep_refused: bool | None = None


class NewTriggerBody(TriggerSettings):
    automation: AutomationName
    auth: dict[str, Any]
    profile: Literal["agenticflow", "prismatic", "native"] = "agenticflow"


class TriggerChange(TriggerSettings):
    is_enabled: bool | None = None


class Rotation(Body):
    """secret: the new one of a signature, made by its sender; left out for what we make ourselves."""

    secret: str | None = None
    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = int(ROTATION.total_seconds())


@router.post(
    "/triggers", status_code=201, summary="Create a trigger; its token or key is in this answer only"
)
async def create(site: AtSite, caller: Writer, body: NewTriggerBody) -> Response:
    kind = Kind(body.automation.kind)
    found = await site.services.find_automation(caller.organization_id, kind, body.automation.id)
    if found is None:
        missing = await not_loaded(site, caller, kind)
        raise InputError(
            missing.message,
            code="AUTOMATION_UNKNOWN",
            field="automation.id",
            expected=f"id of a {kind}",
            received="string",
        )
    if body.callbacks:
        callbacks.check_callers(str(body.auth.get("type")), body.auth)
    stored, shown_once = await create_trigger(
        site.services.store,
        site.services.vault,
        caller.organization_id,
        NewTrigger(
            name=None if body.name is None else check_name(body.name),
            kind=kind,
            automation_id=body.automation.id,
            profile=body.profile,
            auth=body.auth,
            settings=_settings(body),
        ),
        now=site.services.clock.now(),
    )
    secret = None
    if body.callbacks:
        stored, secret = await callbacks.switch_on(
            site.services.store, site.services.vault, stored, now=site.services.clock.now()
        )
    await site.services.directory.refresh()
    told = view(site, caller, stored) | _shown_once(site, stored, shown_once) | _callback_secret(secret)
    return reply(told, 201)


@router.get("/triggers", summary="List triggers")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _TRIGGERS.list(site, caller.organization_id, page, lambda stored: view(site, caller, stored))


@router.get("/triggers/{trigger_id}", summary="Show a trigger")
async def show(site: AtSite, caller: Reader, trigger_id: str) -> Response:
    return reply(view(site, caller, await _TRIGGERS.find(site, caller.organization_id, trigger_id)))


@router.patch("/triggers/{trigger_id}", summary="Change a trigger")
async def update(site: AtSite, caller: Writer, trigger_id: str, body: TriggerChange) -> Response:
    if body.callbacks:
        known = await site.services.store.get(
            Trigger, key_in_path("trigger", trigger_id), organization_id=caller.organization_id
        )
        auth = found_or_missing(known, "trigger").document.auth
        callbacks.check_callers(auth.type, auth.options)
    stored = await update_trigger(
        site.services.store,
        caller.organization_id,
        key_in_path("trigger", trigger_id),
        name=None if body.name is None else check_name(body.name),
        is_enabled=body.is_enabled,
        settings=_settings(body),
        now=site.services.clock.now(),
    )
    stored, secret = await _switch_callbacks(site, stored)
    await site.services.directory.refresh()
    return reply(view(site, caller, stored) | _callback_secret(secret))


async def _switch_callbacks(site: Site, stored: Stored[Trigger]) -> tuple[Stored[Trigger], str | None]:
    """Do what the setting says now. Returns the secret to show, None for none."""
    services, now = site.services, site.services.clock.now()
    if stored.document.settings.get(callbacks.SETTING):
        return await callbacks.switch_on(services.store, services.vault, stored, now=now)
    stored, target = await callbacks.switch_off(services.store, stored, now=now)
    await _cancel_callbacks(site, target)
    return stored, None


async def _cancel_callbacks(site: Site, target: Stored[Webhook] | None) -> None:
    """Send no callback that is still waiting: its target is gone."""
    if target is not None:
        await site.services.directory.refresh()
        await site.services.webhooks.shift(target, DeliveryState.CANCELLED)


def _callback_secret(secret: str | None) -> dict[str, Any]:
    return {} if secret is None else {"callback_secret": secret}


@router.delete(
    "/triggers/{trigger_id}", status_code=204, summary="Delete a trigger; its URL answers 401 at once"
)
async def delete(site: AtSite, caller: Writer, trigger_id: str) -> Response:
    id = key_in_path("trigger", trigger_id)
    now = site.services.clock.now()
    stored = await site.services.store.get(Trigger, id, organization_id=caller.organization_id)
    if stored is not None and stored.document.endpoint is not None:
        raise ConflictError(
            "This URL belongs to an integration: disable or delete the instance, or disable the trigger.",
            code="OWNED_BY_INTEGRATION",
        )
    if not await site.services.store.delete(Trigger, id, organization_id=caller.organization_id, at=now):
        raise missing("trigger")
    if stored is not None:
        await _cancel_callbacks(site, await callbacks.drop_target(site.services.store, stored, now=now))
    await site.services.directory.refresh()
    return no_content()


@router.post("/triggers/{trigger_id}/rotate", summary="Give a trigger a new credential; the old one overlaps")
async def rotate(site: AtSite, caller: Writer, trigger_id: str, body: Rotation | None = None) -> Response:
    wanted = body if body is not None else Rotation()
    stored, shown_once = await rotate_credential(
        site.services.store,
        site.services.vault,
        caller.organization_id,
        key_in_path("trigger", trigger_id),
        secret=wanted.secret,
        overlap=timedelta(seconds=wanted.overlap_seconds),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(view(site, caller, stored) | _shown_once(site, stored, shown_once))


def _settings(body: TriggerSettings) -> dict[str, Any]:
    return {name: value for name, value in body.model_dump(exclude_unset=True).items() if name in SETTINGS}


def _shown_once(site: Site, stored: Stored[Trigger], credential: str | None) -> dict[str, Any]:
    if credential is None:
        return {}
    trigger = stored.document
    shown = {trigger.auth.type: credential}
    if trigger.path_id is None and trigger.auth.type == "token":
        shown["url"] = f"{_url(site, trigger)}?token={credential}"  # AF-2 calls with it as it is
    return shown


def _url(site: Site, trigger: Trigger) -> str:
    if trigger.path_id is not None:
        # As the seed prints it: "=" needs no escape in a path (RFC 3986 section 3.3).
        return f"{site.settings.public_url}/trigger/{quote(trigger.path_id, safe='=')}"
    place = route(trigger.automation_kind, quote(trigger.automation_id, safe=""))
    return f"{site.settings.public_url}/webhooks/{place}"


def view(site: Site, caller: Caller, stored: Stored[Trigger]) -> dict[str, Any]:
    """Return what a caller may see. A path id is as good as a credential where there is no other: only who may change
    the trigger sees it.
    """
    trigger = stored.document
    auth: dict[str, Any] = {"type": trigger.auth.type}
    if trigger.auth.username is not None:
        auth["username"] = trigger.auth.username
    if trigger.auth.type == "signature":
        auth |= definition_of(trigger.auth)
    is_shown = trigger.path_id is None or Scope.WRITE in caller.scopes
    return {
        "id": public("trigger", stored.id),
        "name": trigger.name,
        "automation": {"kind": trigger.automation_kind, "id": trigger.automation_id},
        "profile": trigger.profile,
        "auth": auth,
        "url": _url(site, trigger) if is_shown else None,
        "path_id": trigger.path_id if is_shown else None,
        "integration": _endpoint(trigger.endpoint),
        "is_enabled": trigger.is_enabled,
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
        **trigger.settings,
    }


def _endpoint(endpoint: TriggerEndpoint | None) -> dict[str, Any] | None:
    """Return which part of an integration a trigger leads to, None when none made it."""
    if endpoint is None:
        return None
    instance_id = None if endpoint.instance_id is None else public("instance", endpoint.instance_id)
    return {"id": endpoint.integration_id, "instance_id": instance_id, "flow": endpoint.flow}
