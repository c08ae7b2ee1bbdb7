"""``/metrics``: figures of the whole node, for Prometheus.

No figure carries an id, a name or a URL: neither tenants nor the number of label values may leak or explode.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from hookline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from hookline.api.services import Site
    from hookline.engine.meter import Histogram, Meter
    from hookline.ports import Backlog

Labelled = Iterable[tuple[tuple[str, ...], int]]
"""Values of labels, and the number that they have."""

_CEILING: Final = 100_000
"""Most pending deliveries that are counted: a scrape must stay cheap in the worst hour."""


async def metrics_text(site: Site) -> bytes:
    """Return the text that a scrape gets. Without the database only what the node knows itself is told."""
    try:
        backlog = await site.services.store.backlog(ceiling=_CEILING)
    except StorageError:
        backlog = None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(site, backlog))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Figures:
    """Figures of one moment."""

    def __init__(self, site: Site, backlog: Backlog | None) -> None:
        self._site = site
        self._backlog = backlog

    def __repr__(self) -> str:
        return "_Figures()"

    def collect(self) -> Iterator[Metric]:
        services = self._site.services
        yield _gauge("hookline_ready", "1 when the node takes work.", float(services.is_ready))
        yield _gauge("hookline_store_up", "1 when the database answers.", float(self._backlog is not None))
        yield from _done(services.meter)
        held = {(str(kind), state): count for (kind, state), count in services.executor.census().items()}
        yield _by(
            "hookline_node_executions", "Executions in this node's hands.", ("kind", "state"), held.items()
        )
        yield _counter("hookline_commits", "Transactions committed by this node.", services.committer.commits)
        yield _counter("hookline_writes", "Writes that those carried.", services.committer.writes)
        kept = services.maintenance
        yield _counter("hookline_pruned_rows", "Rows deleted for their age by this node.", kept.rows_pruned)
        yield _counter("hookline_held_expired", "Held deliveries that expired.", kept.held_expired)
        if self._backlog is not None:
            yield from self._of_backlog(self._backlog)

    def _of_backlog(self, backlog: Backlog) -> Iterator[Metric]:
        deliveries = {
            ("pending",): backlog.pending,
            ("in_flight",): backlog.in_flight,
            ("held",): backlog.held,
        }
        yield _by(
            "hookline_deliveries",
            f"Deliveries by state; pending counts to {_CEILING}.",
            ("state",),
            deliveries.items(),
        )
        executions = {
            ("queued",): backlog.executions_queued,
            ("running",): backlog.executions_running,
            ("waiting",): backlog.executions_waiting,
        }
        yield _by("hookline_executions", "Executions by state.", ("status",), executions.items())
        age = 0.0
        if backlog.oldest_due_at is not None:
            age = max(0.0, (self._site.services.clock.now() - backlog.oldest_due_at).total_seconds())
        yield _gauge("hookline_oldest_due_seconds", "For how long the oldest due delivery has been due.", age)


def _done(meter: Meter) -> Iterator[Metric]:
    """What this node has done since it started."""
    yield _counts(
        "hookline_requests",
        "Requests answered.",
        ("route", "status"),
        [((route, f"{hundreds}xx"), count) for (route, hundreds), count in meter.requests.items()],
    )
    yield _counts(
        "hookline_attempts",
        "Attempts by outcome.",
        ("outcome",),
        [((str(outcome),), count) for outcome, count in meter.attempts.items()],
    )
    yield _counts(
        "hookline_attempt_results",
        "Attempts by what became of their delivery.",
        ("state",),
        [((str(state),), count) for state, count in meter.delivery_states.items()],
    )
    yield _counts(
        "hookline_executions_ended", "Executions ended.", ("kind", "status"), meter.executions.items()
    )
    yield _histogram(
        "hookline_attempt_seconds", "From the dial to the end of the answer.", meter.attempt_seconds
    )
    yield _histogram("hookline_commit_seconds", "Length of a commit, with its fsync.", meter.commit_seconds)
    yield _histogram("hookline_commit_writes", "Writes that shared a commit.", meter.commit_writes)
    yield _histogram(
        "hookline_launch_seconds", "From an execution's creation to its start.", meter.launch_seconds
    )
    yield _histogram("hookline_run_seconds", "From an execution's start to its end.", meter.run_seconds)
    yield _counter("hookline_lease_losses", "Times this node lost its lease.", meter.lease_losses)
    yield _counter(
        "hookline_deliveries_recovered", "Deliveries taken over from dead nodes.", meter.deliveries_recovered
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _by(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for place, value in values:
        family.add_metric(place, value)
    return family


def _counts(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for place, value in sorted(values):
        family.add_metric(place, value)
    return family


def _histogram(name: str, text: str, found: Histogram) -> Metric:
    ends = [*(str(float(bound)) for bound in found.bounds), "+Inf"]
    buckets = list(zip(ends, accumulate(found.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=found.total)
