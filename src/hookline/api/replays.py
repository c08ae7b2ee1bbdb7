"""``/api/v1/replays``: jobs that send many deliveries again (CONTRACT section 5)."""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    found_or_missing,
    instant,
    key_in_path,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.core.matching import check_pattern
from hookline.core.times import rfc3339
from hookline.errors import ConflictError, InputError
from hookline.model.configuration import Replay, Stored, Webhook
from hookline.model.ids import Key, new_key, public
from hookline.model.states import DeliveryState, Origin, ReplayStatus

router = APIRouter(prefix="/api/v1/replays", tags=["replays"])

_REPLAYS: Final = Documents(Replay, "replay", "replays")

StateName = Literal["succeeded", "exhausted", "held", "cancelled"]

_ENDED: Final = (ReplayStatus.CANCELLED, ReplayStatus.COMPLETED)
_DEFAULT_STATES: Final = (DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED)


class NewReplay(Body):
    """since, until: RFC 3339, of the deliveries' creation. state: one or several; those that ended if absent.

    include_never_attempted: also events received in that time that the webhook would get now and never did.
    """

    webhook_id: str | None = None
    since: str
    until: str | None = None
    state: StateName | list[StateName] | None = None
    types: list[str] = Field(default=[], max_length=50, description="Patterns of event types.")
    rate_per_second: float = Field(default=100.0, ge=0.01, le=10_000)
    include_never_attempted: bool = False
    dry_run: bool = Field(default=False, description="Only count.")


@router.post("", status_code=201, summary="Send many deliveries again, paced, or count them first")
async def create(site: AtSite, caller: Writer, body: NewReplay) -> Response:
    job = await _job(site, caller.organization_id, body)
    return await begun(site, caller.organization_id, job, is_dry=body.dry_run)


async def begun(site: Site, organization_id: Key, job: Replay, *, is_dry: bool) -> Response:
    """Begin a job, or only count what it would take, and answer with it."""
    services = site.services
    total, is_exact = await services.replayer.count(organization_id, job)
    job = msgspec.structs.replace(job, total=total, is_total_exact=is_exact)
    if is_dry:
        return reply({"dry_run": True} | what(job))
    stored = await services.store.add(
        Replay,
        id=new_key(),
        organization_id=organization_id,
        document=job,
        names=(),
        at=services.clock.now(),
    )
    services.replayer.begin(stored)
    return reply(view(stored), 201)


def span(site: Site, since: str, until: str | None) -> tuple[datetime, datetime]:
    """Return from when to when, the latter now at the latest. Raises InputError."""
    now = site.services.clock.now()
    begin, end = instant(since, "since"), min(instant(until, "until") or now, now)
    assert begin is not None
    if begin >= end:
        raise InputError(
            "since must lie before until, and in the past.",
            field="since",
            expected="an earlier time",
            received=rfc3339(begin),
        )
    return begin, end


@router.get("", summary="List replays")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _REPLAYS.list(site, caller.organization_id, page, view)


@router.get("/{replay_id}", summary="Show a replay and how far it is")
async def show(site: AtSite, caller: Reader, replay_id: str) -> Response:
    return reply(view(await _REPLAYS.find(site, caller.organization_id, replay_id)))


@router.post("/{replay_id}/pause", summary="Let it rest where it is")
async def pause(site: AtSite, caller: Writer, replay_id: str) -> Response:
    return await _turn(site, caller.organization_id, replay_id, ReplayStatus.PAUSED)


@router.post("/{replay_id}/resume", summary="Let a paused one go on")
async def resume(site: AtSite, caller: Writer, replay_id: str) -> Response:
    return await _turn(site, caller.organization_id, replay_id, ReplayStatus.RUNNING)


@router.post("/{replay_id}/cancel", summary="End it; what it has handed over is still sent")
async def cancel(site: AtSite, caller: Writer, replay_id: str) -> Response:
    return await _turn(site, caller.organization_id, replay_id, ReplayStatus.CANCELLED)


async def _job(site: Site, organization_id: Key, body: NewReplay) -> Replay:
    """Check what a schema cannot. Raises InputError, MissingError."""
    since, until = span(site, body.since, body.until)
    webhook_id = None
    if body.webhook_id is not None:
        webhook_id = key_in_path("webhook", body.webhook_id)
        stored = found_or_missing(
            await site.services.store.get(Webhook, webhook_id, organization_id=organization_id), "webhook"
        )
        found_or_missing(stored if stored.document.origin is Origin.REGISTERED else None, "webhook")
    elif body.include_never_attempted:
        raise InputError(
            "Which webhook never got them? Name one.", field="webhook_id", expected="string", received="null"
        )
    named = [body.state] if isinstance(body.state, str) else body.state or []
    return Replay(
        webhook_id=webhook_id,
        since=since,
        until=until,
        states=tuple(DeliveryState(name) for name in named) or _DEFAULT_STATES,
        types=tuple(check_pattern(one, f"types.{place}") for place, one in enumerate(body.types)),
        rate_per_second=body.rate_per_second,
        include_never_attempted=body.include_never_attempted,
    )


async def _turn(site: Site, organization_id: Key, replay_id: str, to: ReplayStatus) -> Response:
    """Change its status. It moves on meanwhile, so a lost race is run again. Raises ConflictError."""
    stored = await _REPLAYS.find(site, organization_id, replay_id)
    for _ in range(20):
        if stored.document.status is to:
            return reply(view(stored))
        if stored.document.status in _ENDED:
            break
        now = site.services.clock.now()
        changed = msgspec.structs.replace(
            stored.document, status=to, ended_at=now if to is ReplayStatus.CANCELLED else None
        )
        try:
            stored = await site.services.store.put(msgspec.structs.replace(stored, document=changed), at=now)
        except ConflictError:
            stored = await _REPLAYS.find(site, organization_id, replay_id)
            continue
        if to is ReplayStatus.RUNNING:
            site.services.replayer.begin(stored)
        return reply(view(stored))
    raise ConflictError(f"The replay is {stored.document.status}.")


def view(stored: Stored[Replay]) -> dict[str, Any]:
    """Return a job of either kind: of deliveries, or of a trigger's requests."""
    job = stored.document
    return {
        "id": public("replay", stored.id),
        "status": job.status,
        **what(job),
        **_done(job),
        "skipped": job.skipped,
        "progress": 1.0 if job.status is ReplayStatus.COMPLETED else _share(job),
        "created_at": when(stored.created_at),
        "ended_at": when(job.ended_at),
    }


def _share(job: Replay) -> float:
    return min(1.0, (job.reopened + job.skipped + job.added) / job.total) if job.total else 0.0


def what(job: Replay) -> dict[str, Any]:
    """Return what a job takes, and how many."""
    return {
        **_whose(job),
        "since": when(job.since),
        "until": when(job.until),
        "rate_per_second": job.rate_per_second,
        "count": job.total,
        "is_count_exact": job.is_total_exact,
    }


def _done(job: Replay) -> dict[str, Any]:
    if job.trigger_id is not None:
        return {"started": job.reopened}
    return {"reopened": job.reopened, "added": job.added}


def _whose(job: Replay) -> dict[str, Any]:
    if job.trigger_id is not None:
        return {"trigger_id": public("trigger", job.trigger_id)}
    return {
        "webhook_id": None if job.webhook_id is None else public("webhook", job.webhook_id),
        "state": list(job.states),
        "types": list(job.types),
        "include_never_attempted": job.include_never_attempted,
    }
