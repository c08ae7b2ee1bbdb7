"""Run scenarios: set up both sides, let their phases take turns with the relay's, and hand back the figures."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from hookline.testing.bench.figures import LATENCIES, REPLAY, START_LIMITS_MS, Run, summarize
from hookline.testing.bench.scenarios import SETUPS, Context
from hookline.testing.bench.stand import BenchFailedError, Stand
from hookline.testing.bench.start import measure_start
from hookline.testing.nodes import NodeProcess
from hookline.testing.places import open_place
from hookline.testing.processes import peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.testing.bench.figures import Figures
    from hookline.testing.bench.scenarios import Scenario, Sizes
    from hookline.testing.bench.stand import Target
    from hookline.testing.places import Place

_WARM_UP_SHARE: Final = 10
"""A tenth of a phase's events go first and are not measured: caches, connections, adaptive limits."""

_REPLAYED_SHARE: Final = 10
"""A tenth of a phase's events are sent again while new ones come at half of the peak load."""

_PHASES: Final = 5
_SETTINGS: Final = {"HOOKLINE_MAX_EXECUTIONS": "64"}


def steps_of(sizes: Sizes) -> int:
    """How often ``told`` is called with ``is_step`` for one scenario."""
    return 1 + sizes.runs * _PHASES


def run_scenario(
    name: str, *, database: str | None, sizes: Sizes, told: Callable[[str, bool], None]
) -> Figures:
    """Measure one scenario. told: what is being done, and whether that is one step further.

    Raises BenchFailedError or SettingError.
    """
    if name in START_LIMITS_MS:
        return measure_start(name, database=database, sizes=sizes, told=told)
    scenario = SETUPS[name]
    sizes = replace(sizes, events=max(20, round(sizes.events * scenario.share)))
    if scenario.has_nodes and database is None:
        database = "postgres"
    with ExitStack() as stack:
        place = stack.enter_context(open_place(database, purpose="bench"))
        if scenario.has_nodes and place.is_sqlite:
            raise BenchFailedError("several nodes need --database postgres or postgresql://…")
        stand = stack.enter_context(Stand(place.folder))
        baseline = None
        if scenario.baseline is not None:
            # Beside the first one, on the same server if that is one of ours.
            other = stack.enter_context(
                open_place(place.server.url if place.server else database, purpose="bench")
            )
            told("set up the baseline", False)
            baseline = scenario.baseline(
                _Side(stack, scenario, other, "baseline").context(stand, sizes, told)
            )
        told("set up", False)
        subject = scenario.subject(_Side(stack, scenario, place, "subject").context(stand, sizes, told))
        runs = _Rounds(name, stand, subject, baseline, sizes, told).run()
        assert subject.node is not None
        return summarize(name, place.store, runs, peak_rss_mb=peak_memory_mb(subject.node.pid))


class _Side:
    """The nodes of the subject or of what it is compared with."""

    def __init__(
        self, stack: ExitStack, scenario: Scenario, place: Place, name: Literal["subject", "baseline"]
    ) -> None:
        self._stack = stack
        self._scenario = scenario
        self._place = place
        self._name = name
        self._made = 0

    def context(self, stand: Stand, sizes: Sizes, told: Callable[[str, bool], None]) -> Context:
        return Context(
            node=self._node(),
            database=self._place.url,
            another=self._node,
            stand=stand,
            sizes=sizes,
            told=lambda words: told(words, False),
        )

    def _node(self) -> NodeProcess:
        scenario, is_subject = self._scenario, self._name == "subject"
        self._made += 1
        node = NodeProcess(
            database=self._place.url,
            folder=self._place.folder,
            name=f"{self._name}-{self._made}",
            settings={**_SETTINGS, **scenario.settings},
            app=scenario.app if is_subject or scenario.baseline_module is not None else None,
            module=("hookline" if is_subject else scenario.baseline_module or "hookline",),
        )
        self._stack.callback(node.kill)
        return node


class _Rounds:
    """All rounds of one scenario."""

    def __init__(
        self,
        name: str,
        stand: Stand,
        subject: Target,
        baseline: Target | None,
        sizes: Sizes,
        told: Callable[[str, bool], None],
    ) -> None:
        self._name = name
        self._stand = stand
        self._subject = subject
        self._baseline = baseline
        self._sizes = sizes
        self._told = told
        self._peaks: list[float] = []

    def run(self) -> list[Run]:
        self._told("warm up", True)
        for target in (self._stand.relay, self._baseline, self._subject):
            if target is not None:
                self._stand.throughput(target, max(20, self._sizes.events // _WARM_UP_SHARE))
        return [self._round(number) for number in range(1, self._sizes.runs + 1)]

    def _round(self, number: int) -> Run:
        stand, events = self._stand, self._sizes.events
        self._step(number, "relay")
        relay = stand.throughput(stand.relay, events)
        self._step(number, "baseline" if self._baseline else "")
        baseline = stand.throughput(self._baseline, events) if self._baseline else None
        self._step(number, "throughput")
        subject = stand.throughput(self._subject, events)
        # Fairness compares latencies, so both sides get the load that is half of what the healthy one can take.
        self._peaks.append(
            baseline.per_second if self._name in LATENCIES and baseline else subject.per_second
        )
        rate = median(self._peaks) / 2 * 10 / self._receipts
        self._step(number, "baseline latency" if self._name in LATENCIES else "")
        baseline_slow = None
        if self._baseline is not None and self._name in LATENCIES:
            baseline_slow = stand.latency(self._baseline, rate=rate, seconds=self._sizes.seconds)
        self._step(number, "latency")
        replaying = None
        if self._name == REPLAY:
            replaying = stand.replay(self._subject, events // _REPLAYED_SHARE, seconds=self._sizes.seconds)
        subject_slow = stand.latency(self._subject, rate=rate, seconds=self._sizes.seconds)
        return Run(
            relay=relay,
            baseline=baseline,
            subject=subject,
            baseline_slow=baseline_slow,
            subject_slow=subject_slow,
            pace=stand.held(replaying, self._subject) if replaying is not None else 0.0,
        )

    @property
    def _receipts(self) -> int:
        """What is counted per ten events of the side whose peak sets the rate: receipts, or answers."""
        target = self._baseline if self._name in LATENCIES and self._baseline else self._subject
        return target.receipts or 10

    def _step(self, number: int, words: str) -> None:
        self._told(f"run {number} of {self._sizes.runs}: {words}" if words else "", True)
