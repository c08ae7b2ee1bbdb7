"""OpenTelemetry's own variables say whether spans are collected and where they go; without them nothing is."""

from __future__ import annotations

import gzip
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from hookline import adapters
from hookline.cli.checkup import examine
from hookline.config import load_settings
from hookline.core.traces import TraceContext
from hookline.errors import SettingError
from hookline.ports.tracing import SpanKind
from hookline.telemetry.otel import OtelTracer, open_tracer
from hookline.telemetry.wanted import wanted_exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
CONTEXT = TraceContext("a" * 32, "b" * 16)


@pytest.mark.parametrize(
    ("environ", "exporter"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "hooks"}, None),
        ({ENDPOINT: "http://collector:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", ENDPOINT: "http://collector:4318"}, None),
        ({"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://collector:4318"}, None),
        ({ENDPOINT: "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
    ],
)
def test_the_standard_variables_decide(environ: dict[str, str], exporter: str | None) -> None:
    assert wanted_exporter(environ) == exporter


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_what_we_do_not_have_stops_the_start(environ: dict[str, str], field: str) -> None:
    with pytest.raises(SettingError) as caught:
        wanted_exporter(environ)

    assert caught.value.field == field


def test_without_the_extra_a_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such variables are often set for everything on a machine."""
    monkeypatch.setitem(sys.modules, "hookline.telemetry.otel", None)

    assert adapters.open_tracer({ENDPOINT: "http://collector:4318"}) is None
    assert adapters.open_tracer({}) is None


@pytest.mark.parametrize(
    ("environ", "has_extra", "level"),
    [
        ({}, True, "ok"),
        ({ENDPOINT: "http://collector:4318"}, True, "ok"),
        ({ENDPOINT: "http://collector:4318"}, False, "warn"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, True, "fail"),
    ],
)
def test_the_doctor_says_whether_the_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], level: str, *, has_extra: bool
) -> None:
    for name in (ENDPOINT, "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if not has_extra:
        monkeypatch.setattr("hookline.cli.checkup_parts.find_spec", lambda _: None)

    found = {finding.subject: finding for finding in examine(load_settings(environ={}))}["tracing"]

    assert found.level == level
    assert ("hookline[otel]" in found.mend) is (not has_extra)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector that takes OTLP over HTTP: its address, and what came."""
    came: list[ExportTraceServiceRequest] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            came.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    server.server_close()


@pytest.mark.asyncio
async def test_spans_reach_a_collector_before_the_node_stops(
    collector: tuple[str, list[ExportTraceServiceRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ended elsewhere has the ids and times that it is told with."""
    url, came = collector
    monkeypatch.setenv(ENDPOINT, url)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    tracer = open_tracer("otlp")
    tracer.begin("here", SpanKind.SERVER, parent=CONTEXT, attributes={}).end(failure="500")
    tracer.tell(
        "elsewhere",
        context=CONTEXT.at("c" * 16),
        parent=CONTEXT,
        started_at=began,
        ended_at=began + timedelta(hours=2),
        attributes={"n": 1},
    )
    await tracer.close()

    resource = {item.key: item.value.string_value for item in came[0].resource_spans[0].resource.attributes}
    here, elsewhere = came[0].resource_spans[0].scope_spans[0].spans
    assert resource["service.name"] == "hookline"
    assert (here.trace_id.hex(), here.parent_span_id.hex()) == ("a" * 32, "b" * 16)
    assert (elsewhere.trace_id.hex(), elsewhere.span_id.hex()) == ("a" * 32, "c" * 16)
    assert elsewhere.end_time_unix_nano - elsewhere.start_time_unix_nano == 7_200 * 10**9


def test_a_sampler_by_ratio_decides_alike_for_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that are set up alike keep or drop the same traces."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    one, other = [OtelTracer(SimpleSpanProcessor(ConsoleSpanExporter())) for _ in range(2)]
    ids = [f"{number:032x}" for number in range(1, 2**64, 2**58)]

    kept = [one.samples(id_) for id_ in ids]
    assert kept == [other.samples(id_) for id_ in ids]
    assert 0 < sum(kept) < len(kept)
