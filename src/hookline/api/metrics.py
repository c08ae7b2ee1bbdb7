"""``/metrics``: figures of the whole node, for Prometheus.

No figure carries an id, a name or a URL: neither tenants nor the number of label values may leak or explode.
``FIGURES`` is all of them; ``docs/reference/metrics.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from hookline.engine.meter import Histogram
from hookline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from hookline.api.services import Services, Site
    from hookline.ports import Backlog

Value = float | Histogram | Iterable[tuple[tuple[str, ...], float]]
"""A number, a distribution, or numbers by the values of the labels."""

_CEILING: Final = 100_000
"""Most pending deliveries that are counted: a scrape must stay cheap in the worst hour."""


class Figure(NamedTuple):
    """One figure. name: without the ``_total`` that a counter has on the wire."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    labels: tuple[str, ...] = ()

    def family(self, value: Value) -> Metric:
        """Return it with its value, as the client library words it."""
        if isinstance(value, Histogram):
            ends = [*(str(float(bound)) for bound in value.bounds), "+Inf"]
            buckets = list(zip(ends, accumulate(value.counts), strict=True))
            return HistogramMetricFamily(self.name, self.text, buckets=buckets, sum_value=value.total)
        made = GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily
        if isinstance(value, int | float):
            return made(self.name, self.text, value=value)
        family = made(self.name, self.text, labels=self.labels)
        for place, number in sorted(value):
            family.add_metric(place, number)
        return family


FIGURES: Final = (
    Figure("hookline_ready", "gauge", "1 when the node takes work."),
    Figure("hookline_store_up", "gauge", "1 when the database answers."),
    Figure("hookline_requests", "counter", "Requests answered.", ("route", "status")),
    Figure("hookline_attempts", "counter", "Attempts by outcome.", ("outcome",)),
    Figure("hookline_attempt_results", "counter", "Attempts by what became of their delivery.", ("state",)),
    Figure("hookline_attempt_seconds", "histogram", "From the dial to the end of the answer."),
    Figure(
        "hookline_delivery_seconds", "histogram", "From a delivery's creation to its success, waits included."
    ),
    Figure("hookline_executions_ended", "counter", "Executions ended.", ("kind", "status")),
    Figure("hookline_launch_seconds", "histogram", "From an execution's creation to its start."),
    Figure("hookline_run_seconds", "histogram", "From an execution's start to its end."),
    Figure("hookline_node_executions", "gauge", "Executions in this node's hands.", ("kind", "state")),
    Figure(
        "hookline_runner_processes", "gauge", "Child processes that run the app's code.", ("sort", "state")
    ),
    Figure("hookline_commits", "counter", "Transactions committed by this node."),
    Figure("hookline_writes", "counter", "Writes that those carried."),
    Figure("hookline_commit_seconds", "histogram", "Length of a commit, with its fsync."),
    Figure("hookline_commit_writes", "histogram", "Writes that shared a commit."),
    Figure(
        "hookline_broker_messages", "counter", "Messages of a broker, by what became of them.", ("outcome",)
    ),
    Figure("hookline_lease_losses", "counter", "Times this node lost its lease."),
    Figure("hookline_deliveries_recovered", "counter", "Deliveries taken over from dead nodes."),
    Figure("hookline_pruned_rows", "counter", "Rows deleted for their age by this node."),
    Figure("hookline_held_expired", "counter", "Held deliveries that expired."),
    Figure("hookline_deliveries", "gauge", f"Deliveries by state; pending counts to {_CEILING}.", ("state",)),
    Figure("hookline_executions", "gauge", "Executions by state.", ("status",)),
    Figure("hookline_oldest_due_seconds", "gauge", "For how long the oldest due delivery has been due."),
)
"""In the order in which they are told."""


async def metrics_text(site: Site) -> bytes:
    """Return the text that a scrape gets. Without the database only what the node knows itself is told."""
    try:
        backlog = await site.services.store.backlog(ceiling=_CEILING)
    except StorageError:
        backlog = None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Moment(values_of(site.services, backlog)))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Moment:
    """Figures of one moment."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __repr__(self) -> str:
        return f"_Moment(figures={len(self._values)})"

    def collect(self) -> Iterator[Metric]:
        return (figure.family(self._values[figure.name]) for figure in FIGURES if figure.name in self._values)


def values_of(services: Services, backlog: Backlog | None) -> dict[str, Value]:
    """Return every figure that is known, by name. backlog: None when the database is away."""
    meter, kept, executor = services.meter, services.maintenance, services.executor
    known: dict[str, Value] = {
        "hookline_ready": float(services.is_ready),
        "hookline_store_up": float(backlog is not None),
        "hookline_requests": [
            ((route, f"{hundreds}xx"), count) for (route, hundreds), count in meter.requests.items()
        ],
        "hookline_attempts": [((outcome,), count) for outcome, count in meter.attempts.items()],
        "hookline_attempt_results": [((state,), count) for state, count in meter.delivery_states.items()],
        "hookline_attempt_seconds": meter.attempt_seconds,
        "hookline_delivery_seconds": meter.delivery_seconds,
        "hookline_executions_ended": meter.executions.items(),
        "hookline_launch_seconds": meter.launch_seconds,
        "hookline_run_seconds": meter.run_seconds,
        "hookline_node_executions": executor.census().items(),
        "hookline_runner_processes": executor.processes.items(),
        "hookline_commits": services.committer.commits,
        "hookline_writes": services.committer.writes,
        "hookline_commit_seconds": meter.commit_seconds,
        "hookline_commit_writes": meter.commit_writes,
        "hookline_broker_messages": [((outcome,), count) for outcome, count in meter.brokered.items()],
        "hookline_lease_losses": meter.lease_losses,
        "hookline_deliveries_recovered": meter.deliveries_recovered,
        "hookline_pruned_rows": kept.rows_pruned,
        "hookline_held_expired": kept.held_expired,
    }
    return known if backlog is None else known | _of_backlog(services, backlog)


def _of_backlog(services: Services, backlog: Backlog) -> dict[str, Value]:
    age = 0.0
    if backlog.oldest_due_at is not None:
        age = max(0.0, (services.clock.now() - backlog.oldest_due_at).total_seconds())
    return {
        "hookline_deliveries": [
            (("pending",), backlog.pending),
            (("in_flight",), backlog.in_flight),
            (("held",), backlog.held),
        ],
        "hookline_executions": [
            (("queued",), backlog.executions_queued),
            (("running",), backlog.executions_running),
            (("waiting",), backlog.executions_waiting),
        ],
        "hookline_oldest_due_seconds": age,
    }
