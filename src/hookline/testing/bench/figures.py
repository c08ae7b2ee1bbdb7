"""Turn what phases measured into the published figures. Pure: no clock, no process, no terminal."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """One closed-loop phase. delivered: first receipts.  seconds: first send to last receipt.
    cpu_seconds: of the node, 0 where it was not a node's.  events: answered with 202.
    """

    events: int
    delivered: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.delivered / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One open-loop phase, whole microseconds, unsorted."""

    ack_us: Sequence[int]
    e2e_us: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round of phases, close together in time so that a slow minute slows all of them.

    subject_slow, baseline_slow: at half of the peak load.  baseline: None where the relay is what the subject is
    compared with.  pace: at which a replay came beside the load at half of the peak ÷ what was asked for.
    """

    relay: Throughput
    subject: Throughput
    subject_slow: Latency
    baseline: Throughput | None = None
    baseline_slow: Latency | None = None
    pace: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What the ratio must reach: ``at_least`` or ``at_most``, None where nothing is asked.

    says: what is divided by what.  p99_ms, ack_p99_ms: the most the p99 end to end, and of the answer, may be.
    """

    says: str
    at_least: float | None = None
    at_most: float | None = None
    p99_ms: float | None = None
    ack_p99_ms: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What ``hookline bench --json`` prints (CONTRACT section 1). Medians over the runs."""

    scenario: str
    store: str
    throughput_per_s: float
    relay_per_s: float
    ratio: float
    ack_p50_ms: float
    ack_p99_ms: float
    e2e_p50_ms: float
    e2e_p99_ms: float
    cpu_s_per_1000: float
    peak_rss_mb: float


SYNC_RUN_MS: Final = 5.0
"""How long a run of the scenario ``sync`` takes by itself."""
SYNC_OVERHEAD_MS: Final = 25.0
"""What waiting for it may cost besides, at the p99."""

START_LIMITS_MS: Final = {
    "start-workflow": 20.0,
    "start-agent": 20.0,
    "start-python": 150.0,
    "start-node": 150.0,
}
"""What it may take from a request until the user's code runs, at the p99, on a warm node."""

LATENCIES: Final = frozenset({"fair", "retrying"})
"""Scenarios whose figure compares latencies, at one rate for both sides."""

REPLAY: Final = "replay"
"""The scenario whose figure is how a replay keeps its pace."""

_FLOORS: Final = {
    "deliver": {
        "sqlite": Floor(says="÷ bare relay", at_least=0.60, p99_ms=50, memory_mb=200),
        "postgresql": Floor(says="÷ bare relay", at_least=0.45, p99_ms=80, memory_mb=200),
    },
    "backlog": {"": Floor(says="÷ deliver", at_least=0.90)},
    "webhooks": {"": Floor(says="÷ deliver, same 3 alone", at_least=0.90)},
    "fair": {"": Floor(says="p99 ÷ p99 with none hanging", at_most=2.0)},
    "trigger": {"": Floor(says="÷ deliver")},
    "executions": {"": Floor(says="÷ deliver", at_least=0.35)},
    **{
        name: {"": Floor(says=f"p99 until code runs ÷ {limit:g} ms", at_most=1.0)}
        for name, limit in START_LIMITS_MS.items()
    },
    "filtered": {"": Floor(says="÷ same 5 alone")},
    "batch": {"": Floor(says="÷ deliver, 50 a request", at_least=3.0)},
    "replay": {"": Floor(says="pace ÷ pace asked for", at_least=0.95, at_most=1.05)},
    "retrying": {"": Floor(says="p99 ÷ p99 with none failing", at_most=2.0)},
    "trigger-only": {
        "sqlite": Floor(says="÷ stored nothing", at_least=0.5, ack_p99_ms=20),
        "": Floor(says="÷ stored nothing", ack_p99_ms=20),
    },
    "nodes": {"": Floor(says="2 nodes ÷ 1", at_least=1.6)},
    "nodes-cores": {"": Floor(says="2 nodes ÷ 1")},
    "sync": {"": Floor(says="p99 beyond the run ÷ 25 ms", at_most=1.0)},
}


def floor_of(scenario: str, store: str) -> Floor:
    floors = _FLOORS[scenario]
    return floors[store] if store in floors else floors[""]


def missed(figures: Figures) -> list[str]:
    """Say in words which of its floors a scenario missed; empty for none."""
    floor = floor_of(figures.scenario, figures.store)
    found = []
    if floor.at_least is not None and figures.ratio < floor.at_least:
        found.append(f"ratio {figures.ratio:.2f} is below {floor.at_least:.2f}")
    if floor.at_most is not None and figures.ratio > floor.at_most:
        found.append(f"ratio {figures.ratio:.2f} is above {floor.at_most:.2f}")
    if floor.p99_ms is not None and figures.e2e_p99_ms > floor.p99_ms:
        found.append(f"p99 {figures.e2e_p99_ms:.0f} ms is above {floor.p99_ms:.0f} ms")
    if floor.ack_p99_ms is not None and figures.ack_p99_ms > floor.ack_p99_ms:
        found.append(f"p99 of the answer {figures.ack_p99_ms:.0f} ms is above {floor.ack_p99_ms:.0f} ms")
    if floor.memory_mb is not None and figures.peak_rss_mb > floor.memory_mb:
        found.append(f"{figures.peak_rss_mb:.0f} MB is above {floor.memory_mb:.0f} MB")
    return found


def summarize(scenario: str, store: str, runs: Sequence[Run], *, peak_rss_mb: float) -> Figures:
    """Medians over the runs, and the scenario's own ratio."""
    subject = median(run.subject.per_second for run in runs)
    relay = median(run.relay.per_second for run in runs)
    return Figures(
        scenario=scenario,
        store=store,
        throughput_per_s=round(subject, 1),
        relay_per_s=round(relay, 1),
        ratio=round(_ratio(scenario, runs, subject, relay), 3),
        ack_p50_ms=_over(runs, "ack", 0.50),
        ack_p99_ms=_over(runs, "ack", 0.99),
        e2e_p50_ms=_over(runs, "e2e", 0.50),
        e2e_p99_ms=_over(runs, "e2e", 0.99),
        cpu_s_per_1000=round(
            median(1000 * run.subject.cpu_seconds / max(1, run.subject.events) for run in runs), 4
        ),
        peak_rss_mb=round(peak_rss_mb, 1),
    )


def _ratio(scenario: str, runs: Sequence[Run], subject: float, relay: float) -> float:
    if scenario == "deliver":
        return subject / relay
    if scenario == "sync":
        answered = median(quantile_ms(run.subject_slow.ack_us, 0.99) for run in runs)
        return max(0.0, answered - SYNC_RUN_MS) / SYNC_OVERHEAD_MS
    if scenario == REPLAY:
        return median(run.pace for run in runs)
    if scenario in LATENCIES:
        hanging = median(quantile_ms(run.subject_slow.e2e_us, 0.99) for run in runs)
        healthy = median(
            quantile_ms(run.baseline_slow.e2e_us, 0.99) for run in runs if run.baseline_slow is not None
        )
        return hanging / healthy
    return subject / median(run.baseline.per_second for run in runs if run.baseline is not None)


def _over(runs: Sequence[Run], which: str, share: float) -> float:
    slow = [run.subject_slow.ack_us if which == "ack" else run.subject_slow.e2e_us for run in runs]
    return round(median(quantile_ms(values, share) for values in slow), 3)


def quantile_ms(values_us: Sequence[int], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed, in milliseconds.

    Raises ValueError when there are none.
    """
    if not values_us:
        raise ValueError("nothing was measured")
    return sorted(values_us)[max(0, ceil(share * len(values_us)) - 1)] / 1000
