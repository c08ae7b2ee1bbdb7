"""``hookline crashtest`` and ``hookline bench``: what we claim, measured on this machine."""

from __future__ import annotations

from typing import Literal

from hookline.cli.options import Json

Scenario = Literal[
    "deliver",
    "trigger",
    "trigger-only",
    "sync",
    "backlog",
    "fair",
    "webhooks",
    "filtered",
    "batch",
    "retrying",
    "replay",
    "executions",
    "start",
    "start-workflow",
    "start-agent",
    "start-python",
    "start-node",
    "nodes",
    "nodes-cores",
]


def crashtest(
    *,
    kills: int = 10,
    events: int = 2000,
    database: str | None = None,
    seed: int | None = None,
    nodes: int | None = None,
    split: bool = False,
    faults: str | None = None,
    outage_seconds: float = 5.0,
    json: Json = False,
) -> int:
    """Kill the server with -9 over and over while events flow, then count what is lost.

    A producer and a receiver keep ledgers of their own, in processes that are never killed; the verdict
    compares the two with what the server says through its API. Exit code 0 means: nothing lost, nothing made
    up, nothing changed on the way, nothing stuck, and every duplicate explained by a recorded interruption. When
    nodes only ever restart as told, there must be no duplicate, and no caller may see more than a refused
    connection or a 503.

    For example:

    ```
    hookline crashtest                                   # a temporary SQLite file
    hookline crashtest --kills 50 --events 10000 --seed 7
    hookline crashtest --database postgresql://postgres@localhost/postgres
    hookline crashtest --database postgres --nodes 3 --faults restart    # rolling restarts
    hookline crashtest --database postgres --split --faults kill,pause,outage --outage-seconds 120
    ```

    Parameters
    ----------
    kills
        How often to kill, or to do whatever `--faults` says.
    events
        How many events to publish.
    database
        `postgresql://…` on which a database of its own is made and dropped, or `postgres` to have a server
        started for it; a temporary SQLite file when not given.
    seed
        Repeats the same schedule of kills; printed when it is chosen by chance.
    nodes
        How many nodes share the database; on PostgreSQL two, or three when roles are split.
    split
        Give each node one role: the first receives, the second executes, the third delivers, and so on.
    faults
        Kinds of fault, comma-separated: `kill` (-9), `failpoint` (the node kills itself at a chosen
        point), `pause` (stopped for longer than its lease), `database` (PostgreSQL stops without a shutdown and
        comes back), `outage` (it is away for longer), `restart` (SIGTERM and anew). A mixture when not given.
    outage_seconds
        How long an outage lasts.
    """
    from hookline.testing.crashtest import main_crashtest

    return main_crashtest(
        kills=kills,
        events=events,
        database=database,
        seed=seed,
        nodes=nodes,
        split=split,
        faults=faults,
        outage_seconds=outage_seconds,
        json=json,
    )


def bench(
    *,
    scenario: Scenario | None = None,
    database: str | None = None,
    runs: int = 3,
    seconds: float = 5.0,
    events: int = 20_000,
    json: Json = False,
) -> int:
    """Measure throughput and latency on this machine, each beside a bare relay that stores nothing.

    Their ratio is the price of durability; it depends far less on the machine than events per second do.

    For example:

    ```
    hookline bench --scenario deliver
    hookline bench --json
    hookline bench --scenario deliver --database postgresql://postgres@localhost/postgres
    ```

    Parameters
    ----------
    scenario
        Which one; all, one after another, when not given. `start` is the four of that beginning.
    database
        As for `hookline crashtest`; `nodes` has a PostgreSQL started for it when not given.
    runs
        Runs of each scenario; the median is reported.
    seconds
        Length of a phase at half load, in which latency is measured.
    events
        Events in a phase at full load.
    """
    from hookline.testing.bench import main_bench

    return main_bench(
        scenario=scenario, database=database, runs=runs, seconds=seconds, events=events, json=json
    )
