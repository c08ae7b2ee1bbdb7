"""Why a webhook gets an event or not: of past events for a definition, and of one event for every webhook."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.deliveries import brief_view
from hookline.api.identity import Caller
from hookline.api.reply import (
    AtSite,
    Body,
    RawBody,
    Reader,
    Writer,
    body_view,
    found_or_missing,
    instant,
    key_in_path,
    member,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.api.webhook_bodies import WebhookFields
from hookline.api.webhooks import changed_by
from hookline.core.own_events import EVENT_TYPE
from hookline.core.signing import new_secret
from hookline.core.templates import TemplateFailedError
from hookline.engine.explain import Judged, Verdict, reason_of
from hookline.engine.manage.webhooks import blank_webhook, get_webhook
from hookline.errors import InputError, PayloadGoneError
from hookline.model.configuration import Stored, Webhook
from hookline.model.events import Event
from hookline.model.ids import OWN_EVENT_ID, Key, new_key, public

router = APIRouter(prefix="/api/v1", tags=["explain"])

_LAST: Final = 100
_NOWHERE: Final = Key(bytes.fromhex("00000000000070008000000000000000"))


class DryRun(Body):
    """last: so many of the newest events.  since: only those received at or after it, RFC 3339.

    changes: fields of the webhook as a PUT takes them, tried and not stored.  bodies: for so many of the events that
    it would get, the body too.
    """

    last: int = Field(_LAST, ge=1, le=1000)
    since: str | None = None
    changes: WebhookFields | None = None
    bodies: int = Field(3, ge=0, le=20)


class Preview(Body):
    """event_id: an event there is; or event and data: one that has not happened.

    changes: fields of the webhook as a PUT takes them, tried and not stored.
    """

    event_id: str | None = None
    event: str = "webhook.test"
    data: Any = None
    changes: WebhookFields | None = None


@router.post(
    "/webhooks/dry-run", summary="Say which of the last events a webhook of these `changes` would have got"
)
async def dry_run_new(site: AtSite, caller: Writer, body: DryRun) -> Response:
    return await _dry_run(site, _imagined(site, caller, body.changes), body)


@router.post("/webhooks/{webhook_id}/dry-run", summary="Say which of the last events it would have got")
async def dry_run(site: AtSite, caller: Reader, webhook_id: str, body: DryRun | None = None) -> Response:
    wanted = body or DryRun.model_construct(last=_LAST, since=None, changes=None, bodies=3)
    return await _dry_run(site, await _tried(site, caller, webhook_id, wanted.changes), wanted)


async def _tried(
    site: Site, caller: Caller, webhook_id: str, changes: WebhookFields | None
) -> Stored[Webhook]:
    """A webhook as these changes would make it; nothing is stored."""
    id = key_in_path("webhook", webhook_id)
    stored = await get_webhook(site.services.store, caller.organization_id, id)
    if changes is None:
        return stored
    return msgspec.structs.replace(stored, document=_changed(site, stored.document, changes))


def _changed(site: Site, webhook: Webhook, changes: WebhookFields) -> Webhook:
    """Raises InputError that points to where the caller said it."""
    try:
        return changed_by(site, webhook, changes)
    except InputError as exc:
        exc.field = f"changes.{exc.field}"
        raise


def _imagined(site: Site, caller: Caller, fields: WebhookFields | None) -> Stored[Webhook]:
    """A webhook that is not there. Its id is always the same; its secret can be any: nothing is signed."""
    now = site.services.clock.now()
    blank = blank_webhook(site.services.vault, new_secret(bytes(32)))
    return Stored(
        id=_NOWHERE,
        organization_id=caller.organization_id,
        document=blank if fields is None else _changed(site, blank, fields),
        revision=1,
        created_at=now,
        updated_at=now,
    )


async def _dry_run(site: Site, stored: Stored[Webhook], wanted: DryRun) -> Response:
    services = site.services
    judged = await services.explainer.dry_run(stored, last=wanted.last, since=instant(wanted.since, "since"))
    fitting = [one.event for one in judged if one.mismatch is None]
    readable = [event for event in fitting if not event.is_stripped]
    bodies = {event.key: await _worded(site, stored, event) for event in readable[: wanted.bodies]}
    return reply(
        {
            "webhook_id": public("webhook", stored.id),
            "looked_at": len(judged),
            "matched": len(fitting),
            "events": [_judged_view(one, bodies.get(one.event.key)) for one in judged],
        }
    )


@router.get("/events/{event_id}/explain", summary="Say what became of an event for each webhook, and why")
async def explain(site: AtSite, caller: Reader, event_id: str) -> Response:
    known = OWN_EVENT_ID.fullmatch(event_id) is not None
    found = await site.services.store.event(caller.organization_id, event_id) if known else None
    event = found_or_missing(found, "event")
    verdicts = await site.services.explainer.explain(event)
    return reply(
        {
            "event_id": event.public_id,
            "type": event.type,
            "received_at": when(event.received_at),
            "execution_id": None if event.execution_id is None else public("execution", event.execution_id),
            "webhooks": [_verdict_view(one) for one in verdicts],
        }
    )


@router.post("/webhooks/preview", summary="Show what a webhook of these `changes` would send for an event")
async def preview_new(site: AtSite, caller: Reader, raw_body: RawBody, body: Preview) -> Response:
    return await _preview(site, _imagined(site, caller, body.changes), body, member(raw_body, "data"))


@router.post(
    "/webhooks/{webhook_id}/preview", summary="Show what it would send for an event, without sending"
)
async def preview(
    site: AtSite, caller: Reader, webhook_id: str, raw_body: RawBody, body: Preview | None = None
) -> Response:
    wanted = body or Preview()
    stored = await _tried(site, caller, webhook_id, wanted.changes)
    return await _preview(site, stored, wanted, member(raw_body, "data"))


async def _preview(site: Site, stored: Stored[Webhook], wanted: Preview, data: bytes | None) -> Response:
    event = await _previewed(site, stored.organization_id, wanted, data)
    named = {"event_id": event.public_id, "type": event.type}
    content_type = {"content_type": site.services.explainer.content_type(stored)}
    return reply(named | content_type | await _worded(site, stored, event))


async def _previewed(site: Site, organization_id: Key, wanted: Preview, data: bytes | None) -> Event:
    """The event that was named, or one that has not happened."""
    if wanted.event_id is not None:
        known = OWN_EVENT_ID.fullmatch(wanted.event_id) is not None
        found = await site.services.store.event(organization_id, wanted.event_id) if known else None
        return found_or_missing(found, "event")
    if EVENT_TYPE.fullmatch(wanted.event) is None:
        raise InputError(
            "This is not an event type.", field="event", expected="event type", received="string"
        )
    now = site.services.clock.now()
    return Event(
        key=new_key(),
        organization_id=organization_id,
        type=wanted.event,
        data=data or b"{}",
        occurred_at=now,
        received_at=now,
    )


async def _worded(site: Site, stored: Stored[Webhook], event: Event) -> dict[str, Any]:
    """The body, or why there is none: a template that cannot word the event, a payload that retention emptied."""
    try:
        return body_view("body", await site.services.explainer.body(stored, event)) | {"error": None}
    except (TemplateFailedError, PayloadGoneError) as exc:
        return {"body": None, "error": str(exc)}


def _judged_view(judged: Judged, worded: dict[str, Any] | None) -> dict[str, Any]:
    event, mismatch = judged.event, judged.mismatch
    return {
        "id": event.public_id,
        "type": event.type,
        "received_at": when(event.received_at),
        "matches": mismatch is None,
        "rule": mismatch,
        "reason": None if mismatch is None else reason_of(mismatch),
    } | (worded or {})


def _verdict_view(verdict: Verdict) -> dict[str, Any]:
    return {
        "webhook_id": public("webhook", verdict.webhook_id),
        "name": verdict.name,
        "state": verdict.state,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "webhook_revision": verdict.revision,
        "delivery": None if verdict.delivery is None else brief_view(verdict.delivery),
    }
