"""One trace leads from a request to every attempt, over what is stored in between, with and without a collector."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from api_bed import serving
from engine_bed import ORDERS, SECRET, running
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hookline.core.signing import verify_standard
from hookline.engine.tracing import TraceHeaders, Tracing
from hookline.model.states import DeliveryState
from hookline.telemetry.otel import OtelTracer
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api_bed import Api
    from opentelemetry.sdk.trace import ReadableSpan

    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.ports.sender import Outgoing

pytestmark = pytest.mark.asyncio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=opaque"}
_SHAPE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[13]")


def parent_of(request: Outgoing) -> tuple[str, str]:
    """Trace and span of an attempt's header."""
    found = _SHAPE.fullmatch(dict(request.headers)["traceparent"])
    assert found is not None
    return found[1], found[2]


async def delivered(api: Api) -> None:
    """Wait until the one delivery has succeeded."""
    async with asyncio.timeout(8):
        while not (await api.admin("GET", "/api/v1/deliveries?state=succeeded")).json["deliveries"]:  # noqa: ASYNC110 -- asks as a user would
            await asyncio.sleep(0.02)


# --- carried on -----------------------------------------------------------------------------------------------


async def test_a_trace_goes_from_a_trigger_through_the_run_to_each_attempt(store: Store) -> None:
    """W3C Trace Context: same trace, a span of its own for each attempt, the state of others as it came."""
    handed: list[dict[str, str]] = []

    async def work(job: RunJob, _: RunListener) -> Outcome:
        handed.append(job.trace)
        return await _done(job)

    sender = FakeSender(lambda _: refused(500) if len(sender.sent) == 1 else OK)
    async with serving(store, sender=sender, work={ORDERS: work}) as api:
        await api.webhook(events=["workflow.execution.completed"])
        trigger = await api.trigger()
        await api.anyone("POST", trigger["path"], {}, headers=PARENT)
        sent = await sender.received(2)

    assert [parent_of(request)[0] for request in sent] == [TRACE, TRACE]
    assert len({SPAN, handed[0]["traceparent"][36:52], *[parent_of(request)[1] for request in sent]}) == 4
    assert {dict(request.headers)["tracestate"] for request in sent} == {"vendor=opaque"}
    assert (handed[0]["traceparent"][3:35], handed[0]["tracestate"]) == (TRACE, "vendor=opaque")


async def test_a_trace_is_kept_for_the_node_that_sends_later(store: Store) -> None:
    """The node that took the event in is gone when another delivers it."""
    async with serving(store, roles=("receive",)) as api:
        await api.webhook()
        body = {"type": "order.paid", "data": {}}
        await api.admin("POST", "/api/v1/events", body, headers=PARENT)
        organization = api.bed.organization_id
    async with running(store, organization_id=organization) as later:
        (request,) = await later.sender.received(1)

    assert parent_of(request)[0] == TRACE


async def test_what_nobody_traced_begins_its_own_trace_and_keeps_it_over_retries(store: Store) -> None:
    sender = FakeSender(lambda _: refused(500) if len(sender.sent) < 3 else OK)
    async with running(store, sender=sender) as bed:
        await bed.webhook()
        await bed.publish()
        sent = await sender.received(3)

    assert len({parent_of(request)[0] for request in sent}) == 1
    assert len({parent_of(request)[1] for request in sent}) == 3


@pytest.mark.parametrize("parent", ["nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
async def test_a_bad_traceparent_never_fails_a_request(store: Store, parent: str) -> None:
    async with serving(store) as api:
        await api.webhook()
        body = {"type": "order.paid", "data": {}}
        answer = await api.admin("POST", "/api/v1/events", body, headers={"traceparent": parent})
        (request,) = await api.bed.sender.received(1)

    assert answer.status == 202
    assert parent_of(request)[0] not in {TRACE, "0" * 32}


@pytest.mark.parametrize(
    ("setting", "carried"),
    [
        (TraceHeaders.ALL, [True, True]),
        (TraceHeaders.CONTINUED, [False, True]),
        (TraceHeaders.NONE, [False, False]),
    ],
)
async def test_a_setting_says_which_attempts_carry_it(
    store: Store, setting: TraceHeaders, carried: list[bool]
) -> None:
    async with serving(store, tracing=Tracing(setting)) as api:
        await api.webhook()
        for headers in ({}, PARENT):
            await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {}}, headers=headers)
            await api.bed.sender.received(1 if headers == {} else 2)

    assert [("traceparent" in dict(request.headers)) for request in api.bed.sender.sent] == carried


async def test_a_webhooks_own_header_of_that_name_stays_the_only_one(store: Store) -> None:
    async with running(store) as bed:
        await bed.webhook(headers={"Traceparent": "mine"})
        await bed.publish()
        (request,) = await bed.sender.received(1)

    named = [value for name, value in request.headers if name.lower() == "traceparent"]
    assert named == ["mine"]


# --- collected ------------------------------------------------------------------------------------------------


class Collector:
    """Spans in memory. tracing: of a node that tells of them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(tracer=OtelTracer(SimpleSpanProcessor(self._exporter)))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, start: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(start)]

    def one(self, start: str) -> ReadableSpan:
        (found,) = self.named(start)
        return found


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span and parent."""
    context = span.get_span_context()
    assert context is not None
    return (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        f"{span.parent.span_id:016x}" if span.parent else None,
    )


async def _done(job: RunJob) -> Outcome:
    from hookline.ports.runner import Succeeded

    return Succeeded(output=job.input or b"null")


async def _steps(job: RunJob, listener: RunListener) -> Outcome:
    from datetime import UTC, datetime

    from hookline.model.executions import JournalEntry

    step = JournalEntry(
        op="step", name="charge", occurrence=0, value=b"1", started_at=datetime.now(UTC), duration_ms=5
    )
    await listener.recorded([step], (), 0.0, ())
    return await _done(job)


async def test_spans_tell_of_the_whole_way(store: Store) -> None:
    """Issue 6, point 4: from trigger to attempts; each below what led to it."""
    collector = Collector()
    sender = FakeSender(lambda _: refused(503) if len(sender.sent) == 1 else OK)
    async with serving(store, sender=sender, work={ORDERS: _steps}, tracing=collector.tracing) as api:
        await api.webhook(
            url="https://receiver.example.com/hook/s3cr3t?token=t0ps3cret",
            events=["workflow.execution.completed"],
        )
        trigger = await api.trigger()
        await api.anyone("POST", trigger["path"], {}, headers=PARENT)
        sent = await sender.received(2)
        await delivered(api)

    receive, commit = collector.one("POST /webhooks/workflows/"), collector.one("commit")
    execution, step = collector.one("workflow orders"), collector.one("step charge")
    delivery = collector.one("delivery workflow.execution.completed")
    first, second = [span for span in collector.spans if span.kind is SpanKind.CLIENT]
    assert {
        ids(span)[0] for span in collector.spans if span.name != "POST" or span.kind is SpanKind.CLIENT
    } == {TRACE}
    assert ids(receive)[2] == SPAN
    assert ids(commit)[2] == ids(execution)[2] == ids(receive)[1]
    assert ids(step)[2] == ids(delivery)[2] == ids(execution)[1]
    assert ids(first)[2] == ids(second)[2] == ids(delivery)[1]
    assert [parent_of(request)[1] for request in sent] == [ids(first)[1], ids(second)[1]]
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


async def test_attributes_follow_the_conventions_and_hold_no_secret(store: Store) -> None:
    """P13: a receiver's address is told by its origin, a trigger by its route."""
    collector = Collector()
    sender = FakeSender(lambda _: refused(503) if len(sender.sent) == 1 else OK)
    async with serving(store, sender=sender, tracing=collector.tracing) as api:
        made = await api.webhook(
            url="https://receiver.example.com:8443/hook/s3cr3t?token=t0ps3cret",
            events=["workflow.execution.completed"],
        )
        trigger = await api.trigger()
        await api.anyone("POST", trigger["path"], {"card": "4111"})
        await sender.received(2)
        await delivered(api)

    attempt = [span for span in collector.spans if span.kind is SpanKind.CLIENT][1]
    receive = dict(collector.one("POST /webhooks/workflows/").attributes or {})
    shown = dict(attempt.attributes or {})
    assert receive["http.route"] == "/webhooks/workflows/{workflow_id}"
    assert (receive["http.request.method"], receive["http.response.status_code"]) == ("POST", 202)
    assert (shown["server.address"], shown["server.port"]) == ("receiver.example.com", 8443)
    assert (shown["http.response.status_code"], shown["http.request.resend_count"]) == (200, 1)
    assert shown["hookline.webhook.id"] == made["id"]
    everything = " ".join(span.to_json() for span in collector.spans)
    for secret in ("s3cr3t", "t0ps3cret", "4111", made["secret"], trigger["token"], api.key):
        assert secret not in everything


async def test_a_batch_is_linked_to_the_traces_that_it_joins(store: Store) -> None:
    """Links rather than parents where one request tells of many events."""
    collector = Collector()
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    async with serving(store, tracing=collector.tracing) as api:
        await api.webhook(batch_settings={"max_events": 2, "max_wait_seconds": 30})
        for parent in (PARENT["traceparent"], other):
            body = {"type": "order.paid", "data": {}}
            await api.admin("POST", "/api/v1/events", body, headers={"traceparent": parent})
        await api.bed.sender.received(1)
        await delivered(api)

    (attempt,) = [span for span in collector.spans if span.kind is SpanKind.CLIENT]
    assert {f"{link.context.trace_id:032x}" for link in attempt.links} == {TRACE, "a" * 32}
    assert ids(attempt)[0] not in {TRACE, "a" * 32}
    assert ids(collector.one("delivery of a batch"))[1:] == (ids(attempt)[2], None)


async def test_what_a_caller_does_not_sample_is_carried_on_and_not_collected(store: Store) -> None:
    collector = Collector()
    async with serving(store, tracing=collector.tracing) as api:
        await api.webhook()
        made = list(collector.spans)
        body = {"type": "order.paid", "data": {}}
        parent = f"00-{TRACE}-{SPAN}-00"
        await api.admin("POST", "/api/v1/events", body, headers={"traceparent": parent})
        (request,) = await api.bed.sender.received(1)
        await delivered(api)

    assert list(collector.spans) == made
    carried = dict(request.headers)["traceparent"]
    assert (carried[3:35], carried[-2:]) == (TRACE, "00")


async def test_a_request_without_a_trace_begins_one_that_is_collected(store: Store) -> None:
    collector = Collector()
    async with serving(store, tracing=collector.tracing) as api:
        await api.webhook()
        await api.admin("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
        (request,) = await api.bed.sender.received(1)
        await delivered(api)

    receive, delivery = collector.one("POST /api/v1/events"), collector.one("delivery order.paid")
    assert (ids(receive)[2], ids(delivery)[2]) == (None, ids(receive)[1])
    assert parent_of(request)[0] == ids(receive)[0]


async def test_what_began_before_anybody_collected_is_told_as_a_trace_of_its_own(store: Store) -> None:
    """An event that was stored without a trace, sent by a node that collects."""
    async with running(store, roles=("receive",)) as earlier:
        await earlier.webhook()
        await earlier.publish()
    collector = Collector()
    async with running(store, organization_id=earlier.organization_id, tracing=collector.tracing) as later:
        (request,) = await later.sender.received(1)
        await later.until_deliveries(lambda found: found[0].state is DeliveryState.SUCCEEDED)

    (attempt,) = [span for span in collector.spans if span.kind is SpanKind.CLIENT]
    delivery = collector.one("delivery")
    assert ids(delivery)[2] is None
    assert ids(attempt)[2] == ids(delivery)[1]
    assert parent_of(request) == ids(attempt)[:2]
    verify_standard([SECRET], dict(request.headers), request.body, later.node.clock.now())
