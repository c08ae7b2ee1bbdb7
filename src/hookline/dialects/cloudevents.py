"""The ``cloudevents`` dialect: CloudEvents 1.0 in structured mode, JSON format.

``id`` is the event's own, also in ``webhook-id``; ``source`` is the organization, within which ids are unique, so
that source and id together name one event (section 3.1.1 of the specification); ``subject`` is the execution, where
there is one. ``data`` is what the publisher sent, no number changed, as in ``standard``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.core.canonical import faithful
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import BaseDialect, Recipient, quoted
from hookline.model.ids import public

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


class CloudEvents(BaseDialect):
    name = "cloudevents"
    schedule = SCHEDULES["cloudevents"]
    timeout_seconds = 15.0
    content_type = "application/cloudevents+json"

    def batch_item(self, event: Event, body: bytes) -> bytes:  # noqa: ARG002 -- it tells its own id
        return body

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:  # noqa: ARG002
        subject = b""
        if event.execution_id is not None:
            subject = b',"subject":%b' % quoted(public("execution", event.execution_id))
        return (
            b'{"specversion":"1.0","id":%b,"source":%b,"type":%b%b,"time":"%b",'
            b'"datacontenttype":"application/json","data":%b}'
        ) % (
            quoted(event.public_id),
            quoted("/organizations/" + public("organization", event.organization_id)),
            quoted(event.type),
            subject,
            rfc3339(event.occurred_at).encode(),
            faithful(event.data, to.trim),
        )
