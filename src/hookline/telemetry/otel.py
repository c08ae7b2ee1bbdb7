"""Collect spans with the OpenTelemetry SDK, which the standard ``OTEL_*`` variables set up.

Export runs on a thread of the SDK's; a queue that is full drops spans, and a collector that is away costs nothing
else. What this does worse than the SDK's own interface: a span cannot be current, so libraries in this process add
none below ours.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from hookline import __version__
from hookline.core.traces import TraceContext

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from hookline.ports import tracing
    from hookline.ports.tracing import Attributes
    from hookline.telemetry.wanted import Exporter

_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_NOWHERE: Final = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
"""No parent, whatever is current in this process."""

_UNNAMED: Final = "unknown_service"
"""How the SDK begins the name of a service that nobody named."""


class OtelTracer:
    """One per node, of one thread. processor: takes spans as they end."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hookline", __version__)

    def __repr__(self) -> str:
        return f"OtelTracer(sampler={self._provider.sampler.get_description()})"

    def begin(
        self,
        name: str,
        kind: tracing.SpanKind,
        *,
        parent: TraceContext | None,
        attributes: Attributes,
        links: Sequence[TraceContext] = (),
    ) -> OtelSpan:
        span = self._tracer.start_span(
            name,
            _below(parent),
            _KINDS[kind],
            dict(attributes),
            [Link(_span_context(link)) for link in links],
        )
        return OtelSpan(span)

    def tell(
        self,
        name: str,
        *,
        context: TraceContext,
        parent: TraceContext | None,
        started_at: datetime,
        ended_at: datetime,
        attributes: Attributes,
        failure: str | None = None,
    ) -> None:
        with self._ids.fixed(context):
            span = self._tracer.start_span(
                name, _below(parent), attributes=dict(attributes), start_time=_nanoseconds(started_at)
            )
        if failure is not None:
            span.set_status(Status(StatusCode.ERROR, failure))
        span.end(_nanoseconds(ended_at))

    def samples(self, trace_id: str) -> bool:
        result = self._provider.sampler.should_sample(_NOWHERE, int(trace_id, 16), "", SpanKind.INTERNAL)
        return bool(result.decision.is_sampled())  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)


class OtelSpan:
    """A span that has begun."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __repr__(self) -> str:
        return f"OtelSpan({self.context.parent})"

    @property
    def context(self) -> TraceContext:
        found = self._span.get_span_context()
        return TraceContext(
            f"{found.trace_id:032x}",
            f"{found.span_id:016x}",
            int(found.trace_flags),
            found.trace_state.to_header(),
        )

    def end(self, attributes: Attributes | None = None, *, failure: str | None = None) -> None:
        if attributes:
            self._span.set_attributes(attributes)
        if failure is not None:
            self._span.set_status(Status(StatusCode.ERROR, failure))
        self._span.end()


class _Ids(IdGenerator):
    """Random ids, but for a span whose own are known."""

    def __init__(self) -> None:
        self._context: TraceContext | None = None

    def fixed(self, context: TraceContext) -> _Fixed:
        return _Fixed(self, context)

    def fix(self, context: TraceContext | None) -> None:
        self._context = context

    def generate_span_id(self) -> int:
        return int(self._context.span_id, 16) if self._context else random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return int(self._context.trace_id, 16) if self._context else random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return self._context is None


class _Fixed:
    """While it lasts, ids are those of a context."""

    __slots__ = ("_context", "_ids")

    def __init__(self, ids: _Ids, context: TraceContext) -> None:
        self._ids, self._context = ids, context

    def __enter__(self) -> None:
        self._ids.fix(self._context)

    def __exit__(self, *_: object) -> None:
        self._ids.fix(None)


def open_tracer(exporter: Exporter) -> OtelTracer:
    """Return a tracer that sends spans in batches to where the environment says."""
    return OtelTracer(BatchSpanProcessor(_exporter(exporter)))


def _exporter(name: Exporter) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource() -> Resource:
    """Who tells; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` come first."""
    found = Resource.create()
    given = {"service.version": __version__} | dict(found.attributes)
    if str(given.get("service.name", _UNNAMED)).startswith(_UNNAMED):
        given["service.name"] = "hookline"
    return Resource(given, found.schema_url)


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.state]) if context.state else TraceState(),
    )


def _below(parent: TraceContext | None) -> Context:
    return _NOWHERE if parent is None else set_span_in_context(NonRecordingSpan(_span_context(parent)))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
