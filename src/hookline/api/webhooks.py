"""``/api/v1/webhooks`` (SEEDS AF-7, AF-12 to AF-14; CONTRACT section 5): where events go."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hookline.api.reply import (
    AtPage,
    AtSite,
    Page,
    RawBody,
    Reader,
    Writer,
    key_in_path,
    member,
    missing,
    no_content,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.api.shape import check_no_nul
from hookline.api.statistics import stats_view, window_of
from hookline.api.webhook_bodies import NewWebhook, SecretRotation, TestEvent, WebhookChange, WebhookFields
from hookline.api.webhook_views import LOG_STATES, LogStatus, log_view, webhook_view
from hookline.core.own_events import EVENT_TYPE
from hookline.engine.manage.webhook_fields import Rules, change
from hookline.engine.manage.webhooks import (
    create_webhook,
    delete_webhook,
    finish_rotation,
    get_webhook,
    rotate_secret,
    set_status,
    update_webhook,
)
from hookline.errors import InputError
from hookline.model.configuration import Stored, Webhook
from hookline.model.ids import Key, public
from hookline.model.states import DeliveryState, Origin, WebhookStatus
from hookline.ports import DeliveryFilter

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])


@router.post("", status_code=201, summary="Register a webhook; its secret is in this answer only")
async def create(site: AtSite, caller: Writer, body: NewWebhook) -> Response:
    stored, secret = await create_webhook(
        site.services.store,
        _rules(site),
        caller.organization_id,
        _given(body),
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(webhook_view(stored, None, None) | {"secret": secret}, 201)


@router.get("", summary="List webhooks with their health")
async def list_all(
    site: AtSite, caller: Reader, page: AtPage, status: Literal["active", "paused", "disabled"] | None = None
) -> Response:
    found = await _registered(site, caller.organization_id, page, status)
    ids = [stored.id for stored in found[: page.limit]]
    totals = await site.services.store.totals(ids)
    health = await site.services.store.health(ids)
    return page.reply(
        "webhooks",
        found,
        lambda stored: stored.id,
        lambda stored: webhook_view(stored, totals.get(stored.id), health.get(stored.id)),
    )


@router.get("/{webhook_id}", summary="Show a webhook")
async def show(site: AtSite, caller: Reader, webhook_id: str) -> Response:
    stored = await _get(site, caller.organization_id, webhook_id)
    return await _shown(site, stored)


@router.put("/{webhook_id}", summary="Change a webhook; what is left out stays as it is")
@router.patch("/{webhook_id}", summary="Change a webhook; what is left out stays as it is")
async def update(site: AtSite, caller: Writer, webhook_id: str, body: WebhookChange) -> Response:
    id = key_in_path("webhook", webhook_id)
    if body.status is not None:
        present = await get_webhook(site.services.store, caller.organization_id, id)
        _check_status(body.status, present.document.status)
    stored = await update_webhook(
        site.services.store,
        _rules(site),
        caller.organization_id,
        id,
        _given(body),
        now=site.services.clock.now(),
    )
    if "conditions" in body.model_fields_set:  # what they could not be asked of waits for this
        await site.services.webhooks.settle_in(caller.organization_id, stored.id)
    await site.services.directory.refresh()
    return await _shown(site, stored)


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook and cancel what waits for it")
async def delete(site: AtSite, caller: Writer, webhook_id: str) -> Response:
    id = key_in_path("webhook", webhook_id)
    stored = await delete_webhook(
        site.services.store, caller.organization_id, id, now=site.services.clock.now()
    )
    await site.services.directory.refresh()
    await site.services.alerts.deleted(stored.id)
    await site.services.webhooks.shift(stored, DeliveryState.CANCELLED)
    return no_content()


@router.post("/{webhook_id}/pause", summary="Hold its events until it is resumed")
async def pause(site: AtSite, caller: Writer, webhook_id: str) -> Response:
    return await _set_status(site, caller.organization_id, webhook_id, WebhookStatus.PAUSED, "paused")


@router.post("/{webhook_id}/resume", summary="Send again, beginning with what was held")
async def resume(site: AtSite, caller: Writer, webhook_id: str) -> Response:
    return await _set_status(site, caller.organization_id, webhook_id, WebhookStatus.ACTIVE, None)


@router.post("/{webhook_id}/test", summary="Send a test event now and tell how it went")
async def send_test(
    site: AtSite, caller: Writer, webhook_id: str, raw_body: RawBody, body: TestEvent | None = None
) -> Response:
    stored = await _get(site, caller.organization_id, webhook_id)
    event = (body or TestEvent()).event
    if EVENT_TYPE.fullmatch(event) is None:
        raise InputError(
            "This is not an event type.", field="event", expected="event type", received="string"
        )
    data = member(raw_body, "test_data") or b"{}"
    result = await site.services.webhooks.test(caller.organization_id, stored.id, event, data)
    if result is None:
        raise missing("webhook")
    return reply(
        {
            "success": result.status == "success",
            "status": result.status,
            "response_code": result.response_code,
            "response_time_ms": result.response_time_ms,
            "error": result.error,
            "delivery_id": public("delivery", result.delivery_id),
        }
    )


@router.get("/{webhook_id}/logs", summary="What was sent to it and what it answered")
async def logs(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    webhook_id: str,
    status: LogStatus | None = None,
    event: Annotated[str | None, Query(description="Only this exact type.", max_length=200)] = None,
) -> Response:
    stored = await _get(site, caller.organization_id, webhook_id)
    wanted = DeliveryFilter(
        webhook_id=stored.id, states=LOG_STATES[status] if status is not None else (), event_type=event
    )
    found = await site.services.store.deliveries(
        caller.organization_id, wanted, before=page.before, limit=page.enough
    )
    return page.reply("logs", found, lambda delivery: delivery.id, log_view)


@router.get("/{webhook_id}/stats", summary="Counts, success rate and latency over a window")
async def stats(
    site: AtSite,
    caller: Reader,
    webhook_id: str,
    window: Annotated[str, Query(description="Such as 15m, 24h or 7d; 90d at most.", max_length=8)] = "24h",
) -> Response:
    stored = await _get(site, caller.organization_id, webhook_id)
    length = window_of(window)
    until = site.services.clock.now()
    minutes = await site.services.store.minutes(stored.id, since=until - length, until=until)
    return reply(
        {"webhook_id": public("webhook", stored.id), "window": window}
        | stats_view(minutes, since=until - length, until=until)
    )


@router.post("/{webhook_id}/secret/rotate", summary="Give it a new secret, or end the time of two secrets")
async def rotate(
    site: AtSite, caller: Writer, webhook_id: str, body: SecretRotation | None = None
) -> Response:
    wanted = body if body is not None else SecretRotation()
    id, store, now = key_in_path("webhook", webhook_id), site.services.store, site.services.clock.now()
    answer: dict[str, Any] = {"id": webhook_id}
    if wanted.finish:
        for name in ("secret", "signing_key"):
            if getattr(wanted, name) is not None:
                raise InputError(
                    "A rotation either begins or ends.", field=name, expected="left out", received="string"
                )
        stored = await finish_rotation(store, caller.organization_id, id, now=now)
    else:
        stored, answer["secret"] = await rotate_secret(
            store,
            site.services.vault,
            caller.organization_id,
            id,
            own=wanted.secret,
            own_key=wanted.signing_key,
            now=now,
        )
    await site.services.directory.refresh()
    webhook = stored.document
    if webhook.public_key is not None:
        answer |= {"public_key": webhook.public_key, "previous_public_key": webhook.previous_public_key}
    return reply(answer | {"previous_secret_until": when(webhook.previous_secret_until)})


# --- steps --------------------------------------------------------------------------------------------------


def _rules(site: Site) -> Rules:
    return Rules(site.services.vault, site.addresses, site.settings.max_retries)


def _given(body: WebhookFields) -> dict[str, Any]:
    """Return what the caller set, without what an answer adds. Raises InputError."""
    check_no_nul(body.automation.id if body.automation is not None else None, "automation.id")
    given = body.model_dump(exclude_unset=True, include=set(WebhookFields.model_fields))
    if isinstance(body, NewWebhook):
        return {name: value for name, value in given.items() if value is not None}
    return given


def changed_by(site: Site, webhook: Webhook, body: WebhookFields) -> Webhook:
    """A webhook with these fields, checked and not stored. Raises InputError."""
    return change(
        _rules(site), webhook, {k: v for k, v in _given(body).items() if k not in {"secret", "signing_key"}}
    )


def _check_status(wanted: str, present: WebhookStatus) -> None:
    if wanted != present:
        raise InputError(
            "The status is changed by POST …/pause and …/resume.",
            field="status",
            expected=present,
            received="string",
        )


async def _get(site: Site, organization_id: Key, webhook_id: str) -> Stored[Webhook]:
    return await get_webhook(site.services.store, organization_id, key_in_path("webhook", webhook_id))


async def _shown(site: Site, stored: Stored[Webhook]) -> Response:
    totals = await site.services.store.totals([stored.id])
    health = await site.services.store.health([stored.id])
    return reply(webhook_view(stored, totals.get(stored.id), health.get(stored.id)))


async def _set_status(
    site: Site, organization_id: Key, webhook_id: str, status: WebhookStatus, reason: str | None
) -> Response:
    stored = await set_status(
        site.services.store,
        organization_id,
        key_in_path("webhook", webhook_id),
        status,
        reason,
        now=site.services.clock.now(),
    )
    # The alert closes last: as long as it is open, every node looks whether something is left to be sent.
    await site.services.webhooks.settle_in(organization_id, stored.id)
    await site.services.alerts.status_changed(stored)
    return await _shown(site, stored)


async def _registered(
    site: Site, organization_id: Key, page: Page, status: str | None
) -> Sequence[Stored[Webhook]]:
    """Read until the page is full: a render's and a trigger's targets stand in the same list, hidden."""
    found: list[Stored[Webhook]] = []
    before = page.before
    while len(found) < page.enough:
        chunk = await site.services.store.list(
            Webhook, organization_id=organization_id, before=before, limit=page.enough
        )
        found += [
            stored
            for stored in chunk
            if stored.document.origin is Origin.REGISTERED and status in (None, stored.document.status)
        ]
        if len(chunk) < page.enough:
            break
        before = chunk[-1].id
    return found[: page.enough]
