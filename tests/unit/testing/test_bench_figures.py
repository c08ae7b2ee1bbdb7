"""The published figures of a benchmark, from phases that were measured."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hookline.testing.bench.figures import (
    Figures,
    Latency,
    Run,
    Throughput,
    missed,
    quantile_ms,
    summarize,
)
from hookline.testing.bench.marks import BODY_BYTES, LENGTH, NUMBER, PHASE, PREFIX, SENT, mark, padded
from hookline.testing.bench.report import tables_of


def phase(per_second: float, *, cpu: float = 0.0) -> Throughput:
    return Throughput(events=1000, delivered=1000, seconds=1000 / per_second, cpu_seconds=cpu)


def slow(e2e_ms: int) -> Latency:
    return Latency(ack_us=[1000] * 100, e2e_us=[e2e_ms * 1000] * 100)


def run(relay: float, subject: float, baseline: float = 1.0, *, e2e_ms: int = 5, baseline_ms: int = 5) -> Run:
    return Run(
        relay=phase(relay),
        subject=phase(subject, cpu=0.5),
        baseline=phase(baseline),
        subject_slow=slow(e2e_ms),
        baseline_slow=slow(baseline_ms),
    )


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.05), (0.99, 0.099), (1.0, 0.1), (0.001, 0.001)])
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    assert quantile_ms(list(range(100, 0, -1)), share) == expected


def test_the_tables_fit_80_columns() -> None:
    names = ("deliver", "trigger", "trigger-only", "sync", "backlog", "fair", "webhooks")
    console = Console(width=80, file=io.StringIO())
    console.print(
        tables_of(
            [
                summarize(name, "postgresql", [run(12_000, 100, e2e_ms=5_000)], peak_rss_mb=1_234)
                for name in names
            ]
        )
    )
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()

    assert not [line for line in lines if "…" in line or len(line) > 80]
    assert len([line for line in lines if line.startswith("trigger-only ")]) == 2
    assert "deliver: p99 5000 ms is above 80 ms" in lines


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile_ms([], 0.5)


def test_figures_are_medians_of_the_runs() -> None:
    runs = [run(1000, 700), run(1000, 100), run(1000, 600)]
    figures = summarize("deliver", "sqlite", runs, peak_rss_mb=99.96)

    assert figures.throughput_per_s == 600
    assert figures.ratio == 0.6
    assert figures.cpu_s_per_1000 == 0.5
    assert figures.peak_rss_mb == 100.0
    assert (figures.ack_p50_ms, figures.e2e_p99_ms) == (1.0, 5.0)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [("deliver", 0.5), ("backlog", 0.8), ("webhooks", 0.8), ("trigger", 0.8), ("fair", 3.0)],
)
def test_each_scenario_has_its_own_ratio(scenario: str, expected: float) -> None:
    runs = [run(800, 400, 500, e2e_ms=30, baseline_ms=10)]

    assert summarize(scenario, "sqlite", runs, peak_rss_mb=1).ratio == expected


def figures(
    scenario: str, store: str = "sqlite", *, ratio: float = 1.0, p99: float = 1.0, mb: float = 1.0
) -> Figures:
    return Figures(
        scenario=scenario,
        store=store,
        throughput_per_s=1,
        relay_per_s=1,
        ratio=ratio,
        ack_p50_ms=1,
        ack_p99_ms=1,
        e2e_p50_ms=1,
        e2e_p99_ms=p99,
        cpu_s_per_1000=1,
        peak_rss_mb=mb,
    )


def test_floors_differ_by_scenario_and_store() -> None:
    assert missed(figures("deliver", ratio=0.59)) == ["ratio 0.59 is below 0.60"]
    assert missed(figures("deliver", "postgresql", ratio=0.5, p99=79)) == []
    assert missed(figures("deliver", p99=51, mb=201)) == [
        "p99 51 ms is above 50 ms",
        "201 MB is above 200 MB",
    ]
    assert missed(figures("fair", ratio=2.1)) == ["ratio 2.10 is above 2.00"]
    assert missed(figures("trigger", ratio=0.01)) == []


def test_a_body_has_the_published_size_and_a_mark_that_can_be_read() -> None:
    before, after = padded(b'{"type":"bench.event","data":{', b"}}")
    body = before + mark(7, 42, 123_456_789) + after
    at = body.find(PREFIX) + len(PREFIX)
    found = body[at : at + LENGTH]

    assert len(body) == BODY_BYTES
    assert (int(found[PHASE]), int(found[NUMBER]), int(found[SENT])) == (7, 42, 123_456_789)
