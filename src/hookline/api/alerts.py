"""``/api/v1/alerts``: what the owners of webhooks are told, and of what they do not want to hear for a while."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    found_or_missing,
    key_in_path,
    reply,
    when,
)
from hookline.core.alerting import LONGEST_SNOOZE
from hookline.core.operations import failure_view
from hookline.errors import ConflictError
from hookline.model.health import Alert, Cause, Health
from hookline.model.ids import public
from hookline.ports import AlertFilter

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

_MOST_HOURS = LONGEST_SNOOZE / timedelta(hours=1)


class Snooze(Body):
    """hours: for how long nobody is told of it; 0 ends a snooze."""

    hours: float = Field(default=24, ge=0, le=_MOST_HOURS, allow_inf_nan=False)


@router.get("", summary="List alerts, open and past")
async def list_all(
    site: AtSite,
    caller: Reader,
    page: AtPage,
    state: Annotated[Literal["open", "closed"] | None, Query(description="Only these.")] = None,
    cause: Cause | None = None,
    webhook_id: str | None = None,
) -> Response:
    wanted = AlertFilter(
        webhook_id=None if webhook_id is None else key_in_path("webhook", webhook_id),
        cause=cause,
        is_open=None if state is None else state == "open",
    )
    found = await site.services.store.alerts(
        caller.organization_id, wanted, before=page.before, limit=page.enough
    )
    return page.reply("alerts", found, lambda alert: alert.id, alert_view)


@router.get("/{alert_id}", summary="Show an alert")
async def show(site: AtSite, caller: Reader, alert_id: str) -> Response:
    id = key_in_path("alert", alert_id)
    alert = await site.services.store.alert(id, organization_id=caller.organization_id)
    return reply(alert_view(found_or_missing(alert, "alert")))


@router.post("/{alert_id}/snooze", summary="Send no mail about it for a while")
async def snooze(site: AtSite, caller: Writer, alert_id: str, body: Snooze | None = None) -> Response:
    id = key_in_path("alert", alert_id)
    services = site.services
    found = await services.store.alert(id, organization_id=caller.organization_id)
    alert = found_or_missing(found, "alert")
    if alert.closed_at is not None:
        raise ConflictError("This alert is closed.", code="ALERT_CLOSED")
    hours = (body if body is not None else Snooze()).hours
    until = services.clock.now() + timedelta(hours=hours) if hours else None
    await services.alerts.snooze(alert, until)
    found = await services.store.alert(id, organization_id=caller.organization_id)
    return reply(alert_view(found_or_missing(found, "alert")))


def alert_view(alert: Alert) -> dict[str, Any]:
    return {
        "id": public("alert", alert.id),
        "webhook_id": public("webhook", alert.webhook_id),
        "cause": alert.cause,
        "state": "open" if alert.closed_at is None else "closed",
        "reason": alert.reason,
        "failures": alert.count,
        "exhausted": alert.exhausted,
        "held": alert.held,
        "expires_at": when(alert.expires_at),
        "last_failure": failure_view(alert.failure),
        "opened_at": when(alert.opened_at),
        "last_at": when(alert.last_at),
        "told_at": when(alert.told_at),
        "snoozed_until": when(alert.snoozed_until),
        "closed_at": when(alert.closed_at),
    }


def health_view(health: Health | None) -> dict[str, Any]:
    """A webhook's health; that of one that never failed is not stored."""
    is_failing = health is not None and health.failing_since is not None
    return {
        "state": "failing" if is_failing else "ok",
        "failing_since": None if health is None else when(health.failing_since),
        "failures": 0 if health is None else health.failures,
        "exhausted": 0 if health is None else health.exhausted,
        "last_failure": None if health is None else failure_view(health.latest),
        "recovered_at": None if health is None else when(health.recovered_at),
    }
