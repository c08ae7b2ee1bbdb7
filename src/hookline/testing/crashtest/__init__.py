"""``hookline crashtest``: kill the engine over and over, and count what is lost (PROMISES section 4)."""

from __future__ import annotations


def main_crashtest(
    *,
    kills: int = 10,
    events: int = 2000,
    database: str | None = None,
    seed: int | None = None,
    nodes: int | None = None,
    split: bool = False,
    faults: str | None = None,
    outage_seconds: float = 5.0,
    json: bool = False,
) -> int:
    """Run one crash test on this machine and print its verdict. Returns the exit code: 0 for a pass.

    database: as ``open_place`` takes it.  seed: None for one drawn by chance, which is printed.  nodes, split,
    outage_seconds: as in ``Order``.  faults: kinds of fault, comma-separated; None for the script's mixture.
    Raises SettingError.
    """
    from hookline.testing.crashtest.report import crashtest
    from hookline.testing.crashtest.script import read_fault_kinds

    return crashtest(
        kills=kills,
        events=events,
        database=database,
        seed=seed,
        nodes=nodes,
        is_split=split,
        fault_kinds=read_fault_kinds(faults),
        outage_seconds=outage_seconds,
        json=json,
    )
