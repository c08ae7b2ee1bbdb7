"""The ``agenticflow`` dialect: how AgenticFlow words an event (SEEDS AF-8 to AF-10, AF-15, AF-20, AF-21).

Body: ``{"event","timestamp","webhook_id","data"}``, as JSON that survives JavaScript's own round trip, because the
seed's Node example verifies ``JSON.stringify(req.body)`` and its Python example the text as it came (AF-X1).
Signature: ``X-AgenticFlow-Signature: sha256=<hex>`` over the whole body, beside the Standard Webhooks headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import canonical
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import BaseDialect, Recipient, quoted

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


class AgenticFlow(BaseDialect):
    name = "agenticflow"
    schedule = SCHEDULES["agenticflow"]
    rounds_numbers = True

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:  # noqa: ARG002
        return b'{"event":%b,"timestamp":"%b","webhook_id":%b,"data":%b}' % (
            quoted(event.type),
            rfc3339(event.occurred_at).encode(),
            quoted(to.webhook_id),
            canonical(event.data, to.trim),
        )
