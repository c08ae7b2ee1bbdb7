"""``hookline crashtest``: kill the engine over and over, and count what is lost (PROMISES section 4)."""

from __future__ import annotations


def main_crashtest(
    *,
    kills: int = 10,
    events: int = 2000,
    database: str | None = None,
    seed: int | None = None,
    json: bool = False,
) -> int:
    """Run one crash test on this machine and print its verdict. Returns the exit code: 0 for a pass.

    database: as ``open_place`` takes it.  seed: None for one drawn by chance, which is printed.
    """
    from hookline.testing.crashtest.report import crashtest

    return crashtest(kills=kills, events=events, database=database, seed=seed, json=json)
