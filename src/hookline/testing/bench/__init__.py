"""``hookline bench``: what we claim about speed, measured on this machine beside a bare relay.

The processes that are measured with (load, receiver, relay) import this package, so it imports nothing heavy.
"""

from __future__ import annotations


def main_bench(
    *,
    scenario: str | None = None,
    database: str | None = None,
    json: bool = False,
    seconds: float = 5.0,
    runs: int = 3,
    events: int = 20_000,
) -> int:
    """Measure one scenario, or all, and print the figures. Returns the exit code: 0 when all were measured.

    database: as ``open_place`` takes it.  json: one object per scenario, one a line, instead of a table.
    seconds: length of a phase at half load.  events: in a phase at full load.
    """
    from hookline.testing.bench.report import bench

    return bench(scenario=scenario, database=database, json=json, seconds=seconds, runs=runs, events=events)
