"""What happens in a crash test, drawn from its seed: endpoints, how receivers answer, and the faults.

Pure: equal seeds give equal scripts. Only *when* a fault lands depends on the machine.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookline.testing.crashtest.ledgers import Manner

FaultKind = Literal["kill", "failpoint", "pause", "database", "restart", "outage"]
"""kill: -9.  failpoint: the node kills itself at one.  pause: SIGSTOP past the lease.  database: PostgreSQL stops
without a shutdown and comes back at once.  restart: SIGTERM, and anew.  outage: PostgreSQL is away for longer.
"""

FAULT_KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
OF_THE_DATABASE: Final[frozenset[FaultKind]] = frozenset({"database", "outage"})

WIDE: Final = 260
"""Webhooks that want ``crash.wide``: more than one transaction's fan-out (K4, K5)."""

_WIDE_EVERY: Final = 200
_WIDE_FROM_EVENTS: Final = 1000
_RUN_TYPE: Final = "workflow.execution.completed"

_NODE_FAILPOINTS: Final = (
    "before_commit",
    "in_transaction",
    "after_commit",
    "before_send",
    "in_send",
    "after_send",
    "in_settle",
    "before_start",
    "before_finish",
)
_WIDE_FAILPOINTS: Final = ("before_fanout", "in_fanout")
ROLES: Final = ("receive", "execute", "deliver")
_PASSED_BY: Final = {
    "before_send": ("deliver",),
    "in_send": ("deliver",),
    "after_send": ("deliver",),
    "in_settle": ("deliver",),
    "before_start": ("execute",),
    "before_finish": ("execute",),
    "before_fanout": ("receive",),
    "in_fanout": ("receive",),
}
"""Who comes by a failpoint, for those that not every node does."""

_SOON: Final = {
    "before_fanout": 1,
    "in_fanout": 1,
    "before_start": 4,
    "before_finish": 4,
    "in_checkpoint": 1,
    "in_settle": 8,
}
"""The latest passing to choose of points that are passed rarely, on one store at least: most outcomes are one statement
on PostgreSQL, and there is nothing in between.
"""


def read_fault_kinds(text: str | None) -> tuple[FaultKind, ...] | None:
    """Kinds of fault, comma-separated; None for None. Raises SettingError."""
    if text is None:
        return None
    known: dict[str, FaultKind] = {kind: kind for kind in FAULT_KINDS}
    asked = [name.strip() for name in text.split(",")]
    if not known.keys() >= set(asked):
        raise SettingError(
            f"--faults must be of {', '.join(known)}, comma-separated, got {text!r}", field="faults"
        )
    return tuple(known[name] for name in asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One webhook. answers: how it behaves, a word of ``answer_of``.  batch: most events, most seconds to wait.
    is_moved: its URL redirects to where it is.  is_replayed: what it got is sent to it again, meanwhile.
    """

    name: str
    events: tuple[str, ...]
    dialect: str = "agenticflow"
    answers: str = "steady"
    retry_policy: tuple[int, float] | None = None
    is_ordered: bool = False
    batch: tuple[int, float] | None = None
    is_moved: bool = False
    is_replayed: bool = False

    def secret(self, seed: int) -> str:
        """Its signing secret; from the seed, so that the receiver knows it too."""
        digest = hashlib.sha256(f"{seed}/{self.name}".encode()).digest()
        return "whsec_" + b64encode(digest).decode()

    def registration(self, url: str, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": self.name,
            "url": url,
            "events": list(self.events),
            "dialect": self.dialect,
            "secret": self.secret(seed),
        }
        if self.retry_policy is not None:
            retries, multiplier = self.retry_policy
            body["retry_policy"] = {"max_retries": retries, "backoff_multiplier": multiplier}
        if self.is_ordered:
            body["ordered"] = True
        if self.batch is not None:
            most, seconds = self.batch
            body["batch_settings"] = {"max_events": most, "max_wait_seconds": seconds}
        if self.is_moved:
            body["max_redirects"] = 1
        return body


_ENDPOINTS: Final = (
    Endpoint(name="steady", events=("crash.*",)),
    Endpoint(name="flaky", events=("crash.a",), dialect="standard", answers="flaky"),
    Endpoint(name="slow", events=("crash.b",), answers="slow"),
    Endpoint(name="standard", events=("crash.b",), dialect="standard"),
    Endpoint(name="ordered", events=("crash.a",), answers="flaky", is_ordered=True),
    Endpoint(name="batched", events=("crash.b",), answers="flaky", batch=(10, 0.2)),
    Endpoint(name="moved", events=("crash.a",), answers="flaky", is_moved=True),
    Endpoint(name="replayed", events=("crash.b",), answers="slow", is_replayed=True),
    Endpoint(name="dead", events=("crash.dead",), answers="dead", retry_policy=(2, 1.0)),
    Endpoint(name="runs", events=("workflow.execution.completed", "workflow.execution.failed")),
)


def endpoints_of(events: int) -> tuple[Endpoint, ...]:
    """The webhooks of a run; those that make a fan-out wide only where there are events enough for it."""
    if events < _WIDE_FROM_EVENTS:
        return _ENDPOINTS
    return _ENDPOINTS + tuple(Endpoint(name=f"wide-{index}", events=("crash.wide",)) for index in range(WIDE))


def wanted_by(endpoints: tuple[Endpoint, ...]) -> dict[str, tuple[str, ...]]:
    """For each event type, the endpoints that want it. A run's end counts as one type, completed or failed."""
    types = ("crash.a", "crash.b", "crash.dead", "crash.wide", _RUN_TYPE)
    return {
        name: tuple(
            endpoint.name
            for endpoint in endpoints
            if name in endpoint.events or (name.startswith("crash.") and "crash.*" in endpoint.events)
        )
        for name in types
    }


def is_end(event_type: str) -> bool:
    return event_type in {"workflow.execution.completed", "workflow.execution.failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to send. data: JSON text that any dialect passes on byte for byte (no floats, no odd escapes)."""

    seq: int
    manner: Manner
    type: str
    data: bytes
    own_id: str | None
    key: str | None


_WORDS: Final = ("plain", "zwölf", "日本語", 'a\\"b', "new\\nline", "tab\\t", "<&>", "🪝", "")


def item_of(seed: int, seq: int, events: int) -> Item:
    """The thing with this number."""
    draw = Random(f"{seed}/{seq}")  # noqa: S311 -- a script that can be repeated, no secret
    manner: Manner = draw.choices(("own_id", "keyed", "bare", "run"), (40, 20, 20, 20))[0]
    words = ",".join(f'"{draw.choice(_WORDS)}"' for _ in range(draw.randint(0, 40)))
    data = f'{{"seq":{seq},"n":{draw.randint(-(2**53), 2**53)},"words":[{words}],"nested":{{"a":null,"b":true}}}}'
    if events >= _WIDE_FROM_EVENTS and seq % _WIDE_EVERY == 7:
        manner, event_type = "own_id", "crash.wide"
    elif manner == "run":
        event_type = _RUN_TYPE
    else:
        event_type = draw.choices(("crash.a", "crash.b", "crash.dead"), (48, 48, 4))[0]
    is_keyed = manner == "keyed" or (manner == "run" and draw.random() < 0.5)
    return Item(
        seq=seq,
        manner=manner,
        type=event_type,
        data=data.encode(),
        own_id=f"crash-{seed}-{seq}" if manner == "own_id" else None,
        key=f"key-{seed}-{seq}" if is_keyed else None,
    )


def answer_of(seed: int, endpoint: Endpoint, seq: int, number: int) -> tuple[int, float]:
    """Status and delay in seconds of an endpoint's answer to the ``number``-th receipt of a seq."""
    draw = Random(f"{seed}/{endpoint.name}/{seq}")  # noqa: S311 -- a script that can be repeated, no secret
    if endpoint.answers == "flaky" and number == 1 and draw.random() < 0.15:
        return draw.choice((500, 502, 404, 429)), 0.0
    if endpoint.answers == "slow" and draw.random() < 0.2:
        return 200, draw.uniform(0.05, 0.4)
    if endpoint.answers == "dead":
        return 500, 0.0
    return 200, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. at: share of the events that are done when it is due.  upto: share that may be sent before it
    is done.  node: whom it hits.
    failpoint: as HOOKLINE_FAILPOINTS takes it.  delay: seconds between due and done.
    """

    kind: FaultKind
    at: float
    upto: float
    node: int
    failpoint: str | None = None
    delay: float = 0.0


def failpoints_of(*, nodes: int, events: int) -> list[str]:
    """Where a node of such a run can kill itself. Migrations are killed by a test of their own: no run has any."""
    points = [*_NODE_FAILPOINTS, *(_WIDE_FAILPOINTS if events >= _WIDE_FROM_EVENTS else ())]
    if nodes == 1 and events >= _WIDE_FROM_EVENTS:
        # PostgreSQL's is its own process's; SQLite's needs a log worth copying.
        points.append("in_checkpoint")
    return points


def roles_of(index: int, *, is_split: bool) -> tuple[str, ...]:
    """The roles of the node with this number; one each in turn when they are split."""
    return (ROLES[index % len(ROLES)],) if is_split else ROLES


def failpoints_passed_by(points: Iterable[str], roles: tuple[str, ...]) -> list[str]:
    """Those of the points that a node of these roles comes by."""
    return [point for point in points if not {*roles}.isdisjoint(_PASSED_BY.get(point, ROLES))]


def passing_of(name: str, draw: Random, *, most: int = 60) -> str:
    """A failpoint armed for one of its first ``most`` passings, as HOOKLINE_FAILPOINTS takes it."""
    return f"{name}:kill@{draw.randint(1, min(most, _SOON.get(name, most)))}"


def faults_of(
    seed: int,
    kills: int,
    *,
    nodes: int,
    events: int,
    can_stop_database: bool,
    is_split: bool = False,
    kinds: Sequence[FaultKind] = (),
) -> tuple[Fault, ...]:
    """The faults of a run, in order. Several nodes share a PostgreSQL, and only there a pause proves anything.

    is_split: the nodes have one role each, so that each is only hit at failpoints it comes by.
    kinds: these by chance instead of the mixture, each at least once if there are faults enough.
    """
    draw = Random(f"{seed}/faults")  # noqa: S311 -- a script that can be repeated, no secret
    points = failpoints_of(nodes=nodes, events=events)
    faults = []
    for index in range(kills):
        kind: FaultKind = draw.choice(("kill", "failpoint"))
        # A pause outlasts a lease, so it is dear: one in ten, and one in every run that can have it.
        if nodes > 1 and index % 10 == min(2, kills - 1):
            kind = "pause"
        elif can_stop_database and index % 10 == 5:
            kind = "database"
        if kinds:
            kind = kinds[index] if index < len(kinds) else draw.choice(kinds)
        node = index % nodes
        passed = failpoints_passed_by(points, roles_of(node, is_split=is_split))
        failpoint = passing_of(draw.choice(passed), draw)
        faults.append(
            Fault(
                kind=kind,
                at=(index + draw.uniform(0.0, 0.8)) / kills,
                upto=(index + 1) / kills,
                node=node,
                failpoint=failpoint if kind == "failpoint" else None,
                delay=draw.uniform(0.0, 0.15),
            )
        )
    return tuple(faults)
