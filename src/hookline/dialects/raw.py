"""The ``raw`` dialect: the event's ``data`` and nothing around it, byte for byte as it came (PROMISES P4).

The type stands in the header ``Hookline-Event``. A webhook's filter makes the data compact; numbers keep their
spelling. Events hold JSON, so that is the content type. In a batch, whose headers tell nothing of one event, ``id`` and
``type`` stand beside the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import compact
from hookline.core.retry import SCHEDULES
from hookline.dialects.base import BaseDialect, HeaderList, Recipient, quoted, type_header

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


class Raw(BaseDialect):
    name = "raw"
    schedule = SCHEDULES["raw"]
    timeout_seconds = 15.0

    def batch_item(self, event: Event, body: bytes) -> bytes:
        return b'{"id":%b,"type":%b,"data":%b}' % (quoted(event.public_id), quoted(event.type), body)

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:  # noqa: ARG002
        return event.data if to.trim is None else compact(event.data, to.trim)

    def event_headers(self, event: Event) -> HeaderList:
        return [type_header(event)]
