"""Say why a kept request was refused, judged anew: with today's secrets and settings, by the time of its arrival.

For the organization that the trigger belongs to. No sentence holds a secret or an expected signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.api.again import (
    UNROUTABLE,
    check_again,
    check_route,
    is_checked_again,
    reason_of,
    refusal_of,
    reopened,
    take_in_again,
    trigger_of,
)
from hookline.api.call import check_address
from hookline.api.spool import HELD_BYTES
from hookline.api.trigger_auth import findings
from hookline.errors import ForbiddenError, HooklineError, StorageError, UnroutableError, VerificationError

if TYPE_CHECKING:
    from hookline.api.services import Site
    from hookline.model.executions import TriggerRequest

_TOO_LARGE: Final = (
    "Whether it could be routed now is not looked at: its body is large. Route it again to see."
)
_FITS: Final = "It fits today's secret, judged by the time of its arrival: check it again and it runs."


async def explanation(site: Site, kept: TriggerRequest) -> dict[str, Any] | None:
    """Return what is wrong with a request, None for one that was accepted.

    is_good: whether it would run if it were taken up again now.  reason: one lower-case word, None when it is good.
    findings: sentences.
    """
    if kept.reason is None:
        return None
    if kept.execution_id is not None:
        return _told("already_ran", "It was refused when it came and has run since.")
    try:
        if refusal_of(kept) == UNROUTABLE:
            return await _routed(site, kept)
        if is_checked_again(kept):
            return await _verified(site, kept)
        return await _settings(site, kept)
    except StorageError:
        raise
    except HooklineError as error:
        words = f"It still cannot be routed: {error.why}." if isinstance(error, UnroutableError) else None
        return _told(reason_of(error), words or error.message)


def _told(reason: str | None, *sentences: str) -> dict[str, Any]:
    return {"is_good": reason is None, "reason": reason, "findings": list(sentences)}


async def _verified(site: Site, kept: TriggerRequest) -> dict[str, Any]:
    found = await trigger_of(site, kept)
    async with reopened(site, found, kept) as call:
        spooled = await take_in_again(site, call, kept)
        try:
            check_again(site, call)
            await check_route(site, call, spooled)
        except VerificationError as error:
            return _told(error.reason, *(await findings(site, call, error)).findings)
        return _told(None, _FITS, *(await findings(site, call, None)).findings)


async def _routed(site: Site, kept: TriggerRequest) -> dict[str, Any]:
    found = await trigger_of(site, kept)
    if (kept.body_size or 0) > HELD_BYTES:
        return _told(UNROUTABLE, (kept.reason or "").partition(": ")[2], _TOO_LARGE)
    async with reopened(site, found, kept) as call:
        spooled = await take_in_again(site, call, kept)
        try:
            flow = await check_route(site, call, spooled)
        finally:
            await spooled.forget(site.services.blobs)
    customer = flow.shown.get("customer", {}).get("external_id")
    return _told(None, f"It would now go to flow {flow.shown['flow']['name']!r} of customer {customer!r}.")


async def _settings(site: Site, kept: TriggerRequest) -> dict[str, Any]:
    """For what no secret changes: it is told again, with what is known to have changed since."""
    reason = refusal_of(kept)
    sentences = [(kept.reason or "").partition(": ")[2]]
    if reason == "address_not_allowed":
        found = await trigger_of(site, kept)
        try:
            check_address(found.document, kept.remote_address)
        except ForbiddenError:
            pass
        else:
            sentences.append("Its address is on the list now.")
    return _told(reason, *sentences, "Only its sender can send it again.")
