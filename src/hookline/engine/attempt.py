"""The values of one attempt: the request that goes out, the record of how it went, and a claim given back unsent.

Pure functions of what the deliverer holds: nothing here sends, waits or stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hookline.core.hops import HEADER
from hookline.core.lifecycle import CONDITION_UNREADABLE, FILTERED, WEBHOOK_DELETED
from hookline.core.parameters import add_parameter
from hookline.core.redact import forget, redact_headers, redact_url, spellings_of
from hookline.engine.target import parsed
from hookline.model.events import Attempt
from hookline.model.ids import new_key, public
from hookline.model.states import DeliveryState, Lane
from hookline.ports import Settle
from hookline.ports.sender import Outgoing

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.engine.lanes import Claim
    from hookline.engine.target import Target
    from hookline.model.events import Delivery
    from hookline.ports import Epoch, NewEvent, Owed
    from hookline.ports.sender import Answer, Headers


def unsent(
    delivery: Delivery,
    epoch: Epoch,
    now: datetime,
    *,
    due: datetime | None = None,
    crashes: int | None = None,
) -> Settle:
    """Free a claim under which nothing was sent. due: when to try it, or None: at once.  crashes: with this one."""
    return Settle(
        epoch=epoch,
        delivery_id=delivery.id,
        webhook_id=delivery.webhook_id,
        at=now,
        attempt=None,
        state=DeliveryState.PENDING,
        state_reason=delivery.state_reason,
        lane=delivery.lane,
        next_attempt_at=now if due is None else due,
        failures=delivery.failures,
        crashes=delivery.crashes if crashes is None else crashes,
    )


def given_back(target: Target | None, claim: Claim, now: datetime) -> Settle:
    """Free a claim as the webhook now is, None when it is deleted: due at once, held while it rests, or not owed."""
    delivery = claim.owed.delivery
    settle = unsent(delivery, claim.epoch, now)
    if target is None:
        state, reason = DeliveryState.CANCELLED, WEBHOOK_DELETED
    elif target.rests_for is not None:
        state, reason = DeliveryState.HELD, target.rests_for
    elif is_ruled_out(target, claim.owed):
        state, reason = DeliveryState.CANCELLED, FILTERED
        settle = msgspec.structs.replace(settle, ordering_key=delivery.ordering_key)
    else:
        return settle
    return msgspec.structs.replace(settle, state=state, state_reason=reason, next_attempt_at=None)


def set_aside(
    claim: Claim,
    reason: str,
    at: datetime,
    *,
    crashes: int | None = None,
    events: tuple[NewEvent, ...] = (),
) -> Settle:
    """End a delivery that cannot be sent at all; visible, with the reason. crashes: with this one."""
    return msgspec.structs.replace(
        unsent(claim.owed.delivery, claim.epoch, at, crashes=crashes),
        state=DeliveryState.EXHAUSTED,
        state_reason=reason,
        next_attempt_at=None,
        ordering_key=claim.owed.delivery.ordering_key,
        events=events,
    )


def cause_of(owed: Owed) -> str:
    """Why a delivery claimed from the table is sent, as an attempt records it."""
    if is_test(owed):
        return "test"
    if owed.delivery.lane is Lane.REPLAY:
        return "replay"
    return "retry" if owed.delivery.attempts_made else "live"


def is_test(owed: Owed) -> bool:
    """Say whether somebody made the event to try this webhook out, and waits for the one answer."""
    return owed.event is not None and owed.event.is_test


def is_ruled_out(target: Target, owed: Owed) -> bool:
    """Say whether an event that waited for conditions to be readable does not meet them, now that they are."""
    event, waited = owed.event, owed.delivery.state_reason == CONDITION_UNREADABLE
    return waited and event is not None and target.is_readable and not target.meets(parsed(event.data))


def message_id(owed: Owed) -> str:
    """What the receiver knows a delivery by: its event's id, or its batch's."""
    if owed.event is not None:
        return owed.event.public_id
    assert owed.delivery.batch_id is not None
    return public("batch", owed.delivery.batch_id)


def header(answer: Answer, name: str) -> str | None:
    """A header of an answer. name: lower-case."""
    return next((value for key, value in answer.headers if key.lower() == name), None)


def request_of(
    target: Target, worded: Target, claim: Claim, body: bytes, at: datetime, trace: Headers = ()
) -> Outgoing:
    """The request of an attempt, signed for its instant.

    worded: the revision that words the body; what tells of the body is its own, all else the newest's.
    trace: headers that carry its trace on.
    """
    event = claim.owed.event
    content_type = worded.content_type(is_batch=event is None)
    headers = target.signed_headers(message_id(claim.owed), at, body, content_type)
    if event is not None:
        headers = (*headers, *worded.event_headers(event))
        if event.sequence:
            headers = (*headers, ("Hookline-Sequence", str(event.sequence)), (HEADER, str(event.hops + 1)))
    if trace and "traceparent" not in target.secret_headers:  # else the owner has said what it is to be
        headers = (*headers, *trace)
    return Outgoing(
        url=claim.owed.delivery.url or target.webhook.url,
        headers=headers,
        body=body,
        timeout_seconds=target.timeout_seconds,
        tls=target.tls,
        max_redirects=target.max_redirects,
        credentials=target.secret_headers,
        query_secret=target.query_secret,
    )


def unworded(target: Target, claim: Claim) -> Outgoing:
    """The request that would have been made, had its body come about: for the record alone."""
    return Outgoing(claim.owed.delivery.url or target.webhook.url, query_secret=target.query_secret)


def attempt_of(
    claim: Claim, request: Outgoing, answer: Answer, started_at: datetime, target: Target
) -> Attempt:
    """The record of an attempt, without the secrets that were sent, also where the answer repeats them."""
    own_url = claim.owed.delivery.url
    secrets = target.secrets if own_url is None else spellings_of(target.credential, url=own_url)
    return Attempt(
        id=new_key(),
        delivery_id=claim.owed.delivery.id,
        number=claim.owed.delivery.attempts_made + 1,
        started_at=started_at,
        duration_ms=answer.duration_ms,
        outcome=answer.outcome,
        status=answer.status,
        error=answer.error,
        address=answer.address,
        url=_shown_url(request),
        cause=claim.cause,
        request_headers=redact_headers(request.headers, request.credentials),
        response_headers=redact_headers(_said(answer, secrets)),
        response_body=forget(answer.body, secrets),
        is_response_cut=answer.is_cut,
    )


def _shown_url(request: Outgoing) -> str:
    if request.query_secret is None:
        return redact_url(request.url)
    name = request.query_secret.partition("=")[0]
    return redact_url(add_parameter(request.url, request.query_secret), (name.lower(),))


def _said(answer: Answer, secrets: tuple[bytes, ...]) -> Headers:
    """The headers of an answer, such as a Location that repeats our query, without the secrets."""
    if not secrets:
        return answer.headers
    return tuple([(name, forget(value.encode(), secrets).decode()) for name, value in answer.headers])
