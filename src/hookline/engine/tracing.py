"""Tracing: which spans there are, and how a trace goes on from a request over what it stored to each attempt.

A request's place in a trace is kept in its events and executions, so what another node does hours later belongs to the
same trace. Without a tracer nothing is collected, and traces are passed on all the same. What spans tell holds no
secret: of a URL the origin alone.

    receive ─┬─ commit
             ├─ execution ─┬─ step
             │             └─ delivery ── attempt ─▶ traceparent
             └─ delivery ── attempt ─▶ traceparent

An execution and a delivery may end on another node than they began: their spans are told at their end, with ids that
follow from theirs, which the spans below could name before.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from hookline.core.traces import SAMPLED, TraceContext, incoming, restored, span_id_of, trace_id_of
from hookline.model.ids import public
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus
from hookline.ports.tracing import SpanKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextvars import Token
    from datetime import datetime

    from hookline.engine.lanes import Claim
    from hookline.model.events import Event
    from hookline.model.executions import Execution, JournalEntry
    from hookline.model.ids import Key
    from hookline.ports import Owed
    from hookline.ports.sender import Answer
    from hookline.ports.tracing import Span, Tracer

_MOST_LINKS: Final = 128
"""Links of one span: what collectors keep of them by default."""

_MOST_BATCHES: Final = 1_024
"""Batches that are worded and not yet sent, whose links are held."""

_ENDED: Final = frozenset({DeliveryState.SUCCEEDED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED})

_current: ContextVar[TraceContext | None] = ContextVar("hookline_trace", default=None)


class TraceHeaders(StrEnum):
    """Which attempts carry a ``traceparent``: all, those whose trace came in or is collected, or none."""

    ALL = "all"
    CONTINUED = "continued"
    NONE = "none"


def current_trace() -> str | None:
    """Return the trace of the request that is being answered, as it is stored; None outside of one."""
    context = _current.get()
    return None if context is None else context.stored


def current_trace_id() -> str | None:
    """Return the id of the trace of the request that is being answered; None outside of one."""
    context = _current.get()
    return None if context is None else context.trace_id


def trace_in_message(headers: Mapping[str, str]) -> str | None:
    """Return the trace that a message came with, as it is stored. headers: by lower-case name."""
    context = incoming(
        [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in headers.items()
        ]
    )
    return None if context is None else context.stored


def trace_of_events(execution: Execution) -> str | None:
    """Return the trace of an execution's events, as it is stored."""
    if execution.trace is None:
        return None
    return restored(execution.trace).at(span_id_of(execution.id)).stored


def trace_of_call(caller: Execution) -> str:
    """Return the trace of what an execution calls, as it is stored."""
    return trace_of_events(caller) or TraceContext(trace_id_of(caller.id), span_id_of(caller.id)).stored


class Sending(NamedTuple):
    """An attempt that is about to be made. headers: what it carries on.  span: None when none is collected."""

    context: TraceContext
    headers: tuple[tuple[str, str], ...]
    span: Span | None = None


class Received:
    """A request on its way, with its trace in force."""

    __slots__ = ("_span", "_token")

    def __init__(self, token: Token[TraceContext | None], span: Span | None) -> None:
        self._token = token
        self._span = span

    def answered(self, status: int | None) -> None:
        """Note the end. status: None when nobody was there to be answered."""
        _current.reset(self._token)
        if self._span is not None:
            attributes = {} if status is None else {"http.response.status_code": status}
            failure = str(status) if status is not None and status >= 500 else None
            self._span.end(attributes, failure=failure)


class Tracing:
    """One per node. tracer: None when nothing is collected."""

    def __init__(self, headers: TraceHeaders = TraceHeaders.ALL, tracer: Tracer | None = None) -> None:
        self._headers = headers
        self._tracer = tracer
        self._joined: OrderedDict[Key, tuple[TraceContext, ...]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tracing({self._headers}, is_collecting={self.is_collecting})"

    @property
    def is_collecting(self) -> bool:
        return self._tracer is not None

    # --- in ---

    def received(
        self, headers: Collection[tuple[bytes, bytes]], method: str, route: str | None = None
    ) -> Received | None:
        """Put the trace of a request in force; None when there is none. route: as OpenAPI writes it, None for
        the management API's, of which the framework knows.
        """
        context = incoming(headers)
        if self._tracer is None:
            return None if context is None else Received(_current.set(context), None)
        name, attributes = method, {"http.request.method": method}
        if route is not None:
            name, attributes["http.route"] = f"{method} {route}", route
        span = self._tracer.begin(name, SpanKind.SERVER, parent=context, attributes=attributes)
        return Received(_current.set(span.context), span)

    def waiting(self) -> Span | None:
        """Begin the span of a request's wait for its commit; None where nothing is collected."""
        if self._tracer is None:
            return None
        parent = _current.get()
        if parent is None:
            return None
        return self._tracer.begin("commit", SpanKind.INTERNAL, parent=parent, attributes={})

    # --- executions ---

    def of_execution(self, execution: Execution) -> TraceContext:
        """Return the place of an execution: what its code calls belongs below it."""
        above = self._above(execution.trace, execution.id)
        return above.at(span_id_of(execution.id))

    def handed_on(self, execution: Execution) -> dict[str, str]:
        """Return the headers with which an execution's code goes on with its trace."""
        return dict(self.of_execution(execution).headers)

    def stepped(self, execution: Execution, steps: Sequence[JournalEntry]) -> None:
        """Tell of steps that ended."""
        if self._tracer is None:
            return
        above = self.of_execution(execution)
        for step in steps:
            self._tracer.tell(
                f"step {step.name}",
                context=above.at(_new_span_id()),
                parent=above,
                started_at=step.started_at,
                ended_at=step.started_at + timedelta(milliseconds=step.duration_ms),
                attributes={"hookline.step.name": step.name, "hookline.step.occurrence": step.occurrence},
            )

    def ended(self, execution: Execution) -> None:
        """Tell of an execution that ended."""
        if self._tracer is None or execution.completed_at is None:
            return
        error = execution.error
        attributes: dict[str, str | int] = {
            "hookline.execution.id": public("execution", execution.id),
            "hookline.automation.kind": execution.kind.value,
            "hookline.automation.id": execution.automation_id,
            "hookline.execution.status": execution.status.value,
            "hookline.execution.attempt": execution.attempt,
        }
        has_failed = execution.status is not ExecutionStatus.SUCCEEDED
        if has_failed:
            attributes["error.type"] = execution.status.value if error is None else error.code
        self._tracer.tell(
            f"{execution.kind.value} {execution.automation_id}",
            context=self.of_execution(execution),
            parent=None if execution.trace is None else restored(execution.trace),
            started_at=execution.started_at or execution.created_at,
            ended_at=execution.completed_at,
            attributes=attributes,
            # Not the message: it is the words of user code, which may quote anything.
            failure=execution.status.value if has_failed else None,
        )

    # --- out ---

    def joined(self, batch_id: Key, events: Iterable[Event]) -> None:
        """Note which events a batch joins: the attempt that is made next links to their traces."""
        if self._tracer is None:
            return
        links = dict.fromkeys(self._above(event.trace, _key_of(event)) for event in events)
        self._joined[batch_id] = tuple(links)[:_MOST_LINKS]
        if len(self._joined) > _MOST_BATCHES:
            self._joined.popitem(last=False)

    def sending(self, claim: Claim, webhook: str) -> Sending:
        """Begin an attempt. webhook: public id."""
        stored, key = _place_of(claim.owed)
        if self._tracer is not None:
            return self._collected(self._tracer, claim, webhook, self._above(stored, key))
        span_id = _new_span_id()
        context = TraceContext(trace_id_of(key), span_id) if stored is None else restored(stored).at(span_id)
        carries = self._headers is TraceHeaders.ALL or (
            stored is not None and self._headers is TraceHeaders.CONTINUED
        )
        return Sending(context, context.headers if carries else ())

    def _collected(self, tracer: Tracer, claim: Claim, webhook: str, above: TraceContext) -> Sending:
        delivery = claim.owed.delivery
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "hookline.webhook.id": webhook,
            "hookline.delivery.id": public("delivery", delivery.id),
            "hookline.attempt.number": delivery.attempts_made + 1,
            "hookline.attempt.cause": claim.cause,
        }
        if delivery.attempts_made:
            attributes["http.request.resend_count"] = delivery.attempts_made
        links = () if delivery.batch_id is None else self._joined.pop(delivery.batch_id, ())
        parent = above.at(span_id_of(delivery.id))
        span = tracer.begin("POST", SpanKind.CLIENT, parent=parent, attributes=attributes, links=links)
        context = span.context
        return Sending(context, () if self._headers is TraceHeaders.NONE else context.headers, span)

    def sent(
        self,
        sending: Sending,
        claim: Claim,
        webhook: str,
        url: str,
        answer: Answer,
        state: DeliveryState,
        at: datetime,
    ) -> None:
        """End an attempt. url: where it went.  state: what it made of its delivery; an end is told of, too."""
        if self._tracer is None or sending.span is None:
            return
        has_failed = answer.outcome is not AttemptOutcome.DELIVERED
        attributes: dict[str, str | int] = {**_origin(url), "hookline.attempt.outcome": answer.outcome.value}
        if answer.status is not None:
            attributes["http.response.status_code"] = answer.status
        if answer.address is not None:
            attributes["network.peer.address"] = answer.address
        failure = None
        if has_failed:
            failure = answer.outcome.value if answer.status is None else str(answer.status)
            attributes["error.type"] = failure
        sending.span.end(attributes, failure=failure)
        if state in _ENDED:
            self._tell_delivery(claim, webhook, state, sending.context, at)

    def _tell_delivery(
        self, claim: Claim, webhook: str, state: DeliveryState, attempt: TraceContext, at: datetime
    ) -> None:
        assert self._tracer is not None
        delivery, event = claim.owed.delivery, claim.owed.event
        stored, key = _place_of(claim.owed)
        is_root = stored is None and (event is None or key == event.key)
        attributes: dict[str, str | int] = {
            "hookline.delivery.id": public("delivery", delivery.id),
            "hookline.webhook.id": webhook,
            "hookline.event.type": delivery.event_type,
            "hookline.delivery.state": state.value,
            "hookline.delivery.attempts": delivery.attempts_made + 1,
        }
        if event is not None:
            attributes["hookline.event.id"] = event.public_id
        self._tracer.tell(
            f"delivery {delivery.event_type}" if event is not None else "delivery of a batch",
            context=attempt.at(span_id_of(delivery.id)),
            parent=None if is_root else self._above(stored, key),
            started_at=delivery.created_at,
            ended_at=at,
            attributes=attributes,
            failure=None if state is DeliveryState.SUCCEEDED else state.value,
        )

    def _above(self, stored: str | None, key: Key) -> TraceContext:
        """Return a stored place; else the beginning of the trace that an object stands for."""
        if stored is not None:
            return restored(stored)
        trace_id = trace_id_of(key)
        is_sampled = self._tracer is None or self._tracer.samples(trace_id)
        return TraceContext(trace_id, span_id_of(key), SAMPLED if is_sampled else 0)


def _place_of(owed: Owed) -> tuple[str | None, Key]:
    """Return the trace of what is owed as it is stored, and the object that stands for it if there is none."""
    event = owed.event
    if event is not None:
        return event.trace, _key_of(event)
    assert owed.delivery.batch_id is not None
    return None, owed.delivery.batch_id


def _key_of(event: Event) -> Key:
    """Return the object that an event's trace begins with: the execution that it is one of the events of, or itself."""
    return event.execution_id if event.sequence and event.execution_id is not None else event.key


def _new_span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"


def _origin(url: str) -> dict[str, str | int]:
    """Return what may be told of a URL: path and query are often the receiver's secret."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "url.full": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/REDACTED",
        "server.address": host,
        "server.port": port,
    }
