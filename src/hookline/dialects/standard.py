"""The ``standard`` dialect: the payload that Standard Webhooks recommends, ``{"type","timestamp","data"}``.

``data`` is the publisher's JSON text exactly as it came, white space and number spellings included. A webhook's
filter makes it compact; numbers keep their spelling even then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import compact
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import BaseDialect, Recipient, quoted

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


def unchanged(event: Event, to: Recipient) -> bytes:
    """The event's data as it came, or what the filter leaves of it."""
    return event.data if to.trim is None else compact(event.data, to.trim)


class Standard(BaseDialect):
    name = "standard"
    schedule = SCHEDULES["standard"]
    timeout_seconds = 15.0

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:  # noqa: ARG002
        return b'{"type":%b,"timestamp":"%b","data":%b}' % (
            quoted(event.type),
            rfc3339(event.occurred_at).encode(),
            unchanged(event, to),
        )
