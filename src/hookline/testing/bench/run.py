"""Run scenarios: set up both sides, let their phases take turns with the relay's, and hand back the figures."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Final

from hookline.testing.bench.figures import LATENCIES, REPLAY, START_LIMITS_MS, Run, summarize
from hookline.testing.bench.scenarios import SETUPS, Context
from hookline.testing.bench.stand import Stand
from hookline.testing.bench.start import measure_start
from hookline.testing.nodes import NodeProcess
from hookline.testing.places import open_place
from hookline.testing.processes import peak_memory_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.testing.bench.figures import Figures
    from hookline.testing.bench.scenarios import Sizes
    from hookline.testing.bench.stand import Target

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
    with ExitStack() as stack:
        place = stack.enter_context(open_place(database, purpose="bench"))
        stand = stack.enter_context(Stand(place.folder))
        subject_node = NodeProcess(
            database=place.url, folder=place.folder, name="subject", app=scenario.app, settings=_SETTINGS
        )
        stack.callback(subject_node.kill)
        baseline = None
        if scenario.baseline is not None:
            # Beside the first one, on the same server if that is one of ours.
            other = stack.enter_context(
                open_place(place.server.url if place.server else database, purpose="bench")
            )
            node = NodeProcess(
                database=other.url,
                folder=other.folder,
                name="baseline",
                settings=_SETTINGS,
                app=scenario.app if scenario.baseline_module is not None else None,
                module=(scenario.baseline_module or "hookline",),
            )
            stack.callback(node.kill)
            told("set up the baseline", False)
            baseline = scenario.baseline(_context(node, other.url, stand, sizes, told))
        told("set up", False)
        subject = scenario.subject(_context(subject_node, place.url, stand, sizes, told))
        runs = _Rounds(name, stand, subject, baseline, sizes, told).run()
        return summarize(name, place.store, runs, peak_rss_mb=peak_memory_mb(subject_node.pid))


def _context(
    node: NodeProcess, database: str, stand: Stand, sizes: Sizes, told: Callable[[str, bool], None]
) -> Context:
    return Context(
        node=node, database=database, stand=stand, sizes=sizes, told=lambda words: told(words, False)
    )


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
