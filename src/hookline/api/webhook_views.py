"""What is shown of a webhook and of what was sent to it (SEEDS AF-7, AF-13, AF-14), without any secret."""

from typing import Any, Final, Literal

from hookline.api.alerts import health_view
from hookline.api.reply import when
from hookline.engine.manage.body_template import template_view
from hookline.model.configuration import RetryPolicy, Stored, Webhook
from hookline.model.events import Delivery
from hookline.model.health import Health
from hookline.model.ids import public
from hookline.model.states import DeliveryState
from hookline.ports import Totals

LogStatus = Literal["success", "failed", "pending"]

LOG_STATES: Final[dict[str, tuple[DeliveryState, ...]]] = {
    "success": (DeliveryState.SUCCEEDED,),
    "failed": (DeliveryState.EXHAUSTED, DeliveryState.CANCELLED),
    "pending": (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.HELD),
}
"""What a delivery's states are called in a log (AF-14)."""

_LOG_STATUS: Final = {state: status for status, states in LOG_STATES.items() for state in states}


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
