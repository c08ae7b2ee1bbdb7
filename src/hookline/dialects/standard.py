"""The ``standard`` dialect: the payload that Standard Webhooks recommends, ``{"type","timestamp","data"}``.

``data`` is the publisher's JSON text exactly as it came, white space and number spellings included. A webhook's
filter makes it compact; numbers keep their spelling even then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import compact
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import JsonDialect, Trim, quoted

if TYPE_CHECKING:
    from hookline.model.events import Event


class Standard(JsonDialect):
    name = "standard"
    schedule = SCHEDULES["standard"]
    timeout_seconds = 15.0

    def body(self, event: Event, webhook_id: str, trim: Trim | None) -> bytes:  # noqa: ARG002 -- other dialects name it
        return b'{"type":%b,"timestamp":"%b","data":%b}' % (
            quoted(event.type),
            rfc3339(event.occurred_at).encode(),
            event.data if trim is None else compact(event.data, trim),
        )
