"""The events that tell how deliveries fare: what stands in them, and which webhook one is about.

Anyone may publish an event of these types. The rules hold for such ones too: it does not go to the webhook that its
data names, and giving it up is told to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hookline.core.canonical import decode
from hookline.core.times import rfc3339
from hookline.errors import InputError
from hookline.model.ids import Key, public

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.model.health import Health, LastFailure


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook that an event or a mail is about. url: without user, password and query."""

    id: Key
    name: str
    url: str

    @property
    def public_id(self) -> str:
        return public("webhook", self.id)


def plain_url(url: str) -> str:
    """A URL for many eyes: scheme, host and path, without what may be secret."""
    address, _, _ = url.partition("#")[0].partition("?")
    scheme, slashes, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"


def subject_of(data: bytes) -> str | None:
    """The public id of the webhook that an operational event is about; None when its data names none."""
    try:
        value = decode(data)
    except InputError:
        return None
    named = value.get("webhook_id") if isinstance(value, dict) else None
    return named if isinstance(named, str) else None


def disabled_data(subject: Subject, health: Health, reason: str, at: datetime) -> bytes:
    """Data of webhook.disabled."""
    return _json(
        subject,
        {
            "reason": reason,
            "disabled_at": rfc3339(at),
            "failing_since": _when(health.failing_since),
            "failures": health.failures,
            "last_failure": failure_view(health.latest),
        },
    )


def recovered_data(subject: Subject, before: Health, at: datetime) -> bytes:
    """Data of webhook.recovered. before: what was known before the success."""
    return _json(
        subject,
        {
            "recovered_at": rfc3339(at),
            "failing_since": _when(before.failing_since),
            "failures": before.failures,
            "last_failure": failure_view(before.latest),
        },
    )


def exhausted_data(
    subject: Subject, *, delivery_id: Key, event_id: str, event_type: str, attempts: int, reason: str,
    failure: LastFailure | None,
) -> bytes:  # fmt: skip
    """Data of delivery.exhausted. event_id: the batch's for a batch.  failure: None when no attempt was made of it."""
    return _json(
        subject,
        {
            "delivery_id": public("delivery", delivery_id),
            "event_id": event_id,
            "event_type": event_type,
            "attempts": attempts,
            "reason": reason,
            "last_failure": failure_view(failure),
        },
    )


def expired_data(subject: Subject, held_before: datetime) -> bytes:
    """Data of delivery.exhausted for all deliveries that were held since before then: they are told as one."""
    return _json(subject, {"reason": "held_expired", "held_before": rfc3339(held_before)})


def failure_view(failure: LastFailure | None) -> dict[str, Any] | None:
    """A failed attempt as events and the API show it."""
    if failure is None:
        return None
    return {
        "at": rfc3339(failure.at),
        "outcome": failure.outcome,
        "status": failure.status,
        "error": failure.error,
        "delivery_id": public("delivery", failure.delivery_id),
        "event_id": failure.event_id,
        "event_type": failure.event_type,
        "attempt": failure.number,
        "next_attempt_at": _when(failure.next_attempt_at),
    }


def _when(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _json(subject: Subject, fields: dict[str, Any]) -> bytes:
    about = {"webhook_id": subject.public_id, "webhook_name": subject.name, "webhook_url": subject.url}
    return msgspec.json.encode(about | fields)
