"""The ``standard`` dialect: the payload that Standard Webhooks recommends, ``{"type","timestamp","data"}``.

``data`` is what the publisher sent, no number changed. Where JavaScript can hold all of its numbers it is written so
that ``JSON.stringify(JSON.parse(body))`` gives the same bytes, for receivers who verify that; else it stands byte for
byte as it came, and behind a webhook's filter with its numbers spelled as they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import faithful
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import BaseDialect, Recipient, quoted

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


class Standard(BaseDialect):
    name = "standard"
    schedule = SCHEDULES["standard"]
    timeout_seconds = 15.0

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:  # noqa: ARG002
        return b'{"type":%b,"timestamp":"%b","data":%b}' % (
            quoted(event.type),
            rfc3339(event.occurred_at).encode(),
            faithful(event.data, to.trim),
        )
