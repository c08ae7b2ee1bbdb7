"""Rows of health, alerts and mails: JSON beside the few columns that searches ask for."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hookline.model.health import Alert, Health, Mail
from hookline.stores.rows.values import Row, maybe_ms, to_ms

HEALTH: Final = ("webhook_id", "organization_id", "version", "is_watched", "document")
ALERT: Final = ("id", "organization_id", "webhook_id", "cause", "opened_at", "closed_at", "document")
MAIL: Final = ("id", "organization_id", "tries", "due_at", "ended_at", "document")

_encode: Final = msgspec.json.Encoder().encode
_health: Final = msgspec.json.Decoder(Health)
_alert: Final = msgspec.json.Decoder(Alert)
_mail: Final = msgspec.json.Decoder(Mail)


def health_row(health: Health) -> Row:
    return (health.webhook_id, health.organization_id, health.version, health.is_watched, _encode(health))


def alert_row(alert: Alert) -> Row:
    return (
        alert.id,
        alert.organization_id,
        alert.webhook_id,
        alert.cause,
        to_ms(alert.opened_at),
        maybe_ms(alert.closed_at),
        _encode(alert),
    )


def mail_row(mail: Mail) -> Row:
    """Raises ValueError for one that has neither ended nor is due."""
    if (mail.due_at is None) is (mail.ended_at is None):
        raise ValueError("a mail is due until it has ended")
    return (
        mail.id,
        mail.organization_id,
        mail.tries,
        maybe_ms(mail.due_at),
        maybe_ms(mail.ended_at),
        _encode(mail),
    )


def health_from(document: Any) -> Health:
    return _health.decode(document)


def alert_from(document: Any) -> Alert:
    return _alert.decode(document)


def mail_from(document: Any) -> Mail:
    return _mail.decode(document)
