"""``/api/v1/webhooks`` (SEEDS AF-7, AF-12 to AF-14; CONTRACT section 5): where events go."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.alerts import health_view
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
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
from hookline.api.statistics import stats_view, window_of
from hookline.api.triggers import AutomationName
from hookline.core.own_events import EVENT_TYPE
from hookline.engine.manage.body_template import template_view
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
from hookline.model.configuration import RetryPolicy, Stored, Webhook
from hookline.model.events import Delivery
from hookline.model.health import Health
from hookline.model.ids import Key, public
from hookline.model.states import DeliveryState, Origin, WebhookStatus
from hookline.ports import DeliveryFilter, Totals

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])

LogStatus = Literal["success", "failed", "pending"]

_STATES: Final[dict[str, tuple[DeliveryState, ...]]] = {
    "success": (DeliveryState.SUCCEEDED,),
    "failed": (DeliveryState.EXHAUSTED, DeliveryState.CANCELLED),
    "pending": (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.HELD),
}
"""AF-14's status to our states."""

_LOG_STATUS: Final = {state: status for status, states in _STATES.items() for state in states}


class RetryPolicyBody(Body):
    """Either max_retries and backoff_multiplier (AF-7: 60 s x multiplier^n, at most 6 retries), or schedule_seconds:
    the waits themselves, one per retry, with jitter as the share of a wait that may be added or taken (0.1).
    """

    max_retries: int | None = Field(None, ge=0, le=100)
    backoff_multiplier: float | None = Field(None, ge=1, le=10, allow_inf_nan=False)
    schedule_seconds: list[float] | None = None
    jitter: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class FiltersBody(Body):
    include_fields: list[Any] | None = None
    exclude_fields: list[Any] | None = None


class BatchBody(Body):
    max_events: int = Field(100, ge=1, le=1000)
    max_wait_seconds: float = Field(300, gt=0, le=86_400, allow_inf_nan=False)


class TlsBody(Body):
    """PEM texts, stored encrypted and never shown again.

    ca_pem: certificates to trust instead of the system's.  certificate_pem, key_pem: shown to the receiver (mutual
    TLS), both or neither.
    """

    ca_pem: str | None = None
    certificate_pem: str | None = None
    key_pem: str | None = None


class WebhookFields(Body):
    """Everything that may be set. null unsets where there is something to unset."""

    name: str | None = None
    url: str | None = None
    events: list[Any] | None = None
    authentication: dict[str, Any] | None = None
    dialect: str | None = None
    dialect_options: dict[str, Any] | None = None
    automation: AutomationName | None = None
    tls: TlsBody | None = None
    signature: str | None = None
    signing_key: str | None = None
    metadata: dict[str, Any] | None = None
    secret: str | None = None
    retry_policy: RetryPolicyBody | None = None
    conditions: dict[str, Any] | None = None
    filters: FiltersBody | None = None
    template: Any = None
    batch_settings: BatchBody | None = None
    headers: dict[str, str] | None = None
    rate_per_second: float | None = Field(None, gt=0, le=100_000, allow_inf_nan=False)
    max_in_flight: int | None = Field(None, ge=1, le=1000)
    ordered: bool | None = None
    timeout_seconds: float | None = Field(None, ge=0.1, le=120, allow_inf_nan=False)
    max_redirects: int | None = Field(None, ge=0, le=10)
    large_payloads: Literal["inline", "link"] | None = None


class NewWebhook(WebhookFields):
    url: str
    events: list[Any]


class WebhookChange(WebhookFields):
    """Fields of an answer that cannot be set are let through unread, so that what was read can be written back."""

    id: Any = None
    status: str | None = None
    status_reason: Any = None
    status_changed_at: Any = None
    created_at: Any = None
    updated_at: Any = None
    last_delivery: Any = None
    delivery_stats: Any = None
    health: Any = None
    previous_secret_until: Any = None
    public_key: Any = None
    previous_public_key: Any = None


class TestEvent(Body):
    """event: its type.  test_data: any JSON value, sent as it came."""

    __test__ = False

    event: str = "webhook.test"
    test_data: Any = None


class SecretRotation(Body):
    """secret: an own one.  signing_key: an own private key, ``whsk_…``, for a webhook that signs with one."""

    finish: bool = False
    secret: str | None = None
    signing_key: str | None = None


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
        webhook_id=stored.id, states=_STATES[status] if status is not None else (), event_type=event
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
    return Rules(site.services.vault, site.addresses)


def _given(body: WebhookFields) -> dict[str, Any]:
    """Return what the caller set, without what an answer adds."""
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
    await site.services.directory.refresh()
    await site.services.alerts.status_changed(stored)
    is_active = status is WebhookStatus.ACTIVE
    await site.services.webhooks.shift(stored, DeliveryState.PENDING if is_active else DeliveryState.HELD)
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


# --- views --------------------------------------------------------------------------------------------------


def webhook_view(stored: Stored[Webhook], totals: Totals | None, health: Health | None) -> dict[str, Any]:
    """AF-13 and AF-7, without any secret."""
    webhook = stored.document
    delivered, failed = (totals.delivered, totals.exhausted) if totals is not None else (0, 0)
    filters = {"include_fields": webhook.include_fields, "exclude_fields": webhook.exclude_fields}
    return {
        "id": public("webhook", stored.id),
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "status": webhook.status,
        "status_reason": webhook.status_reason,
        "status_changed_at": when(webhook.status_changed_at),
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
        "last_delivery": None if totals is None else when(totals.last_delivery_at),
        "delivery_stats": {
            "total_deliveries": delivered + failed,
            "successful_deliveries": delivered,
            "failed_deliveries": failed,
        },
        "health": health_view(health),
        "dialect": webhook.dialect,
        "dialect_options": webhook.options,
        "authentication": webhook.authentication,
        "automation": (
            None
            if webhook.automation_kind is None
            else {"kind": webhook.automation_kind, "id": webhook.automation_id}
        ),
        "retry_policy": _policy_view(webhook.retry_policy),
        "conditions": webhook.conditions,
        "filters": filters if any(filters.values()) else None,
        "batch_settings": webhook.batch,
        "template": template_view(webhook),
        "headers": webhook.headers,
        "metadata": webhook.metadata,
        "rate_per_second": webhook.rate_per_second,
        "max_in_flight": webhook.max_in_flight,
        "ordered": webhook.is_ordered,
        "timeout_seconds": None if webhook.timeout_ms is None else webhook.timeout_ms / 1000,
        "max_redirects": webhook.max_redirects,
        "large_payloads": webhook.large_payloads,
        "tls": webhook.tls or None,
        "signature": webhook.signature,
        "public_key": webhook.public_key,
        "previous_public_key": webhook.previous_public_key,
        "previous_secret_until": when(webhook.previous_secret_until),
    }


def _policy_view(policy: RetryPolicy | None) -> dict[str, Any] | None:
    """In the form in which it was given, so that it can be written back."""
    if policy is None:
        return None
    if policy.schedule_seconds is not None:
        return {"schedule_seconds": policy.schedule_seconds, "jitter": policy.jitter}
    return {"max_retries": policy.max_retries, "backoff_multiplier": policy.backoff_multiplier}


def log_view(delivery: Delivery) -> dict[str, Any]:
    """AF-14. timestamp: when it ended, else when it came to be owed."""
    return {
        "id": "log_" + public("delivery", delivery.id).removeprefix("dlv_"),
        "timestamp": when(delivery.ended_at or delivery.created_at),
        "event": delivery.event_type,
        "status": _LOG_STATUS[delivery.state],
        "response_code": delivery.last_status,
        "response_time_ms": delivery.last_ms,
        "attempts": delivery.attempts_made,
        "payload_size": delivery.body_size,
        "delivery_id": public("delivery", delivery.id),
        "state_reason": delivery.state_reason,
    }
