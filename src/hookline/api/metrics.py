"""``/metrics``: figures of the whole node, for Prometheus.

No figure carries an id, a name or a URL: neither tenants nor the number of label values may leak or explode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from hookline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from hookline.api.services import Site
    from hookline.ports import Backlog

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
        yield _counter("hookline_commits", "Transactions committed by this node.", services.committer.commits)
        yield _counter("hookline_writes", "Writes that those carried.", services.committer.writes)
        kept = services.maintenance
        yield _counter("hookline_pruned_rows", "Rows deleted for their age by this node.", kept.rows_pruned)
        yield _counter("hookline_held_expired", "Held deliveries that expired.", kept.held_expired)
        if self._backlog is not None:
            yield from self._of_backlog(self._backlog)

    def _of_backlog(self, backlog: Backlog) -> Iterator[Metric]:
        deliveries = GaugeMetricFamily(
            "hookline_deliveries", f"Deliveries by state; pending counts to {_CEILING}.", labels=["state"]
        )
        for state, count in (
            ("pending", backlog.pending),
            ("in_flight", backlog.in_flight),
            ("held", backlog.held),
        ):
            deliveries.add_metric([state], count)
        yield deliveries
        executions = GaugeMetricFamily("hookline_executions", "Executions by state.", labels=["status"])
        for status, count in (
            ("queued", backlog.executions_queued),
            ("running", backlog.executions_running),
            ("waiting", backlog.executions_waiting),
        ):
            executions.add_metric([status], count)
        yield executions
        age = 0.0
        if backlog.oldest_due_at is not None:
            age = max(0.0, (self._site.services.clock.now() - backlog.oldest_due_at).total_seconds())
        yield _gauge("hookline_oldest_due_seconds", "For how long the oldest due delivery has been due.", age)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
