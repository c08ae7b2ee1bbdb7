"""What each scenario sets up before it is measured: nodes, webhooks, triggers, and what lies in the store.

A scenario is a *subject* and the *baseline* it is compared with, each a ``Setup`` on a database of its own; both
stand side by side, so that their phases can take turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hookline.testing.bench import preload
from hookline.testing.bench.figures import START_LIMITS_MS
from hookline.testing.bench.relay import IN_FLIGHT
from hookline.testing.bench.stand import CALLERS, Target
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.testing.bench.stand import Stand

SCENARIOS: Final = (
    "deliver", "trigger", "trigger-only", "sync", "backlog", "fair", "webhooks", "filtered", "batch", "retrying",
    "replay", "nodes", "nodes-cores", "executions", "start-workflow", "start-agent", "start-python", "start-node",
)  # fmt: skip
GROUPS: Final = {"start": tuple(START_LIMITS_MS)}
"""Names that stand for several scenarios."""

_APP: Final = Path(__file__).with_name("bench_app.py")
_KEY: Final = (("Authorization", f"Bearer {ADMIN_KEY}"),)
_WAITING_WEBHOOKS: Final = 100
_MATCHING: Final = 3
_HOLDING: Final = 5
_PER_REQUEST: Final = 50
"""Events in one request, on both sides of ``batch``: one by one, taking them in would be what is measured."""

_SYNC_CALLERS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured. events: in a closed-loop phase.  seconds: length of an open-loop phase.
    waiting: deliveries preloaded.  webhooks: registered for ``webhooks``.  fair: registered for ``fair``.
    """

    events: int = 20_000
    seconds: float = 5.0
    runs: int = 3
    waiting: int = 1_000_000
    webhooks: int = 10_000
    fair: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a setup works with. another: makes one more node of the same database.  told: progress in words."""

    node: NodeProcess
    database: str
    another: Callable[[], NodeProcess]
    stand: Stand
    sizes: Sizes
    told: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """subject: what is measured.  baseline: what it is compared with, None for the relay.
    baseline_module: what the baseline's node runs in place of ``hookline``, with the same app; None for that.
    settings: of every node.  share: of the usual events that a phase has: fewer for a load that is slow by design, more
    for one of which thousands pass in a tenth of a second.
    has_nodes: several nodes share its database, so that it needs a PostgreSQL.
    """

    subject: Callable[[Context], Target]
    baseline: Callable[[Context], Target] | None = None
    app: Path | None = None
    baseline_module: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    has_nodes: bool = False


def _register(
    context: Context, name: str, url: str, *, max_in_flight: int = IN_FLIGHT, **settings: Any
) -> None:
    body = {"name": name, "url": url, "events": [name], "max_in_flight": max_in_flight, **settings}
    context.node.api.call("POST", "/api/v1/webhooks", body)


def _publishing(context: Context, *types: str, receipts: int = 10, per_request: int = 1) -> Target:
    heads = tuple(f'{{"type":"{name}","data":{{' for name in types)
    return Target(
        port=context.node.port,
        path="/api/v1/events",
        heads=heads,
        tail="}}",
        headers=_KEY,
        node=context.node,
        receipts=receipts,
        per_request=per_request,
    )


def _deliver(context: Context, *, per_request: int = 1) -> Target:
    """One webhook, one event type."""
    context.node.start()
    _register(context, "bench.event", context.stand.url("ok"))
    return _publishing(context, "bench.event", per_request=per_request)


def _trigger(context: Context) -> Target:
    """A workflow in a shared process; the event it ends with goes to one webhook."""
    context.node.start()
    _register(context, "workflow.execution.completed", context.stand.url("ok"))
    return _triggering(context, "bench", profile="agenticflow")


def _executions(context: Context) -> Target:
    """A request starts a workflow with one step; the event it ends with goes to one webhook."""
    context.node.start()
    _register(context, "workflow.execution.completed", context.stand.url("ok"))
    return _triggering(context, "one-step", profile="agenticflow")


def _trigger_only(context: Context) -> Target:
    """A request is accepted and its execution queued; the one before it in the queue never ends."""
    context.node.start()
    return _triggering(context, "stay", profile="agenticflow", receipts=0)


def _sync(context: Context) -> Target:
    """A hundred callers each wait for a run of five milliseconds."""
    context.node.start()
    return _triggering(
        context, "brief", profile="native", synchronous=True, receipts=0, status=200, callers=_SYNC_CALLERS
    )


def _triggering(
    context: Context,
    workflow: str,
    *,
    profile: str,
    receipts: int = 10,
    status: int = 202,
    callers: int = CALLERS,
    **settings: object,
) -> Target:
    """Requests that start a workflow."""
    trigger = context.node.api.call(
        "POST",
        "/api/v1/triggers",
        {
            "name": "bench",
            "automation": {"kind": "workflow", "id": workflow},
            "profile": profile,
            "auth": {"type": "token"},
            "rate_per_second": 100_000,
            **settings,
        },
    )
    return Target(
        port=context.node.port,
        path=urlsplit(trigger["url"]).path,
        heads=('{"input_data":{',),
        tail="}}",
        headers=(("Authorization", f"Bearer {trigger['token']}"),),
        node=context.node,
        receipts=receipts,
        status=status,
        callers=callers,
    )


def _backlog(context: Context) -> Target:
    """As ``deliver``, with waiting deliveries of a hundred other webhooks in the store."""
    context.node.start()
    _register(context, "bench.event", context.stand.url("ok"))
    for _ in range(_WAITING_WEBHOOKS):
        _register(context, preload.TYPE, context.stand.url("hang"))
    context.node.stop()
    preload.preload(
        context.database,
        context.sizes.waiting,
        told=lambda done: context.told(f"preload {done:,} of {context.sizes.waiting:,}"),
    )
    context.node.start()
    return _publishing(context, "bench.event")


def _fair(context: Context, *, hanging_of_ten: int) -> Target:
    """Many webhooks, one event type each, taken in turn; of each ten the first few hang."""
    context.node.start()
    types = []
    for index in range(context.sizes.fair):
        is_hanging = index % 10 < hanging_of_ten
        name = f"bench.w{index}"
        _register(context, name, context.stand.url("hang" if is_hanging else "ok"), max_in_flight=32)
        types.append(name)
        if index % 100 == 0:
            context.told(f"register {index:,} of {context.sizes.fair:,} webhooks")
    return _publishing(context, *types, receipts=10 - hanging_of_ten)


def _webhooks(context: Context, *, others: int) -> Target:
    """Three webhooks that match, among many that do not."""
    context.node.start()
    for _ in range(_MATCHING):
        _register(context, "bench.event", context.stand.url("ok"))
    for index in range(others):
        _register(context, f"bench.other.{index}", context.stand.url("hang"))
        if index % 100 == 0:
            context.told(f"register {index:,} of {others:,} webhooks")
    return _publishing(context, "bench.event", receipts=10 * _MATCHING)


def _filtered(context: Context, *, of: int) -> Target:
    """Webhooks with a condition each, of which five hold; or, of none, those five without any."""
    context.node.start()
    for index in range(of or _HOLDING):
        condition: dict[str, Any] = {"conditions": {"tier": {"eq": index % (of // _HOLDING)}}} if of else {}
        _register(context, "bench.event", context.stand.url("ok"), **condition)
    target = _publishing(context, "bench.event", receipts=10 * _HOLDING)
    return replace(target, heads=('{"type":"bench.event","data":{"tier":1,',))


def _batch(context: Context) -> Target:
    """One webhook that gets a hundred events at a time."""
    context.node.start()
    settings = {"max_events": 100, "max_wait_seconds": 0.2}
    _register(context, "bench.event", context.stand.url("ok"), batch_settings=settings)
    return _publishing(context, "bench.event", per_request=_PER_REQUEST)


def _retrying(context: Context, *, failing_of_ten: int) -> Target:
    """Many webhooks, one event type each, taken in turn; of each ten some answer 500."""
    context.node.start()
    types = []
    for index in range(context.sizes.fair):
        name = f"bench.w{index}"
        _register(context, name, context.stand.url("fail" if index % 10 < failing_of_ten else "ok"))
        types.append(name)
        if index % 100 == 0:
            context.told(f"register {index:,} of {context.sizes.fair:,} webhooks")
    return _publishing(context, *types, receipts=10 - failing_of_ten)


def _nodes(context: Context, *, nodes: int, path: str) -> Target:
    """As ``deliver``, over several nodes that share a database and get the requests in turn."""
    context.node.start()
    beside = tuple(context.another() for _ in range(nodes - 1))
    for node in beside:
        node.start()
    _register(context, "bench.event", context.stand.url(path))
    return replace(_publishing(context, "bench.event"), beside=beside)


def _two_nodes(path: str, **settings: Any) -> Scenario:
    """Two nodes beside one alone. settings: of ``Scenario``."""
    return Scenario(
        subject=lambda context: _nodes(context, nodes=2, path=path),
        baseline=lambda context: _nodes(context, nodes=1, path=path),
        has_nodes=True,
        **settings,
    )


SETUPS: Final = {
    "deliver": Scenario(subject=_deliver),
    "trigger": Scenario(subject=_trigger, baseline=_deliver, app=_APP),
    "executions": Scenario(subject=_executions, baseline=_deliver, app=_APP),
    "trigger-only": Scenario(
        subject=_trigger_only,
        baseline=_trigger_only,
        app=_APP,
        baseline_module="hookline.testing.bench.unstored",
    ),
    "sync": Scenario(subject=_sync, app=_APP),
    "backlog": Scenario(subject=_backlog, baseline=_deliver),
    "fair": Scenario(
        subject=lambda context: _fair(context, hanging_of_ten=3),
        baseline=lambda context: _fair(context, hanging_of_ten=0),
    ),
    "webhooks": Scenario(
        subject=lambda context: _webhooks(context, others=context.sizes.webhooks - _MATCHING),
        baseline=lambda context: _webhooks(context, others=0),
    ),
    "filtered": Scenario(
        subject=lambda context: _filtered(context, of=100),
        baseline=lambda context: _filtered(context, of=0),
    ),
    "batch": Scenario(
        subject=_batch, baseline=lambda context: _deliver(context, per_request=_PER_REQUEST), share=3.0
    ),
    "retrying": Scenario(
        subject=lambda context: _retrying(context, failing_of_ten=5),
        baseline=lambda context: _retrying(context, failing_of_ten=0),
    ),
    "replay": Scenario(subject=_deliver),
    # Eight sends at once of 20 ms each: 400 a second and node, which leaves the cores idle most of the time.
    "nodes": _two_nodes("slow", settings={"HOOKLINE_MAX_IN_FLIGHT_TOTAL": "8"}, share=0.1),
    "nodes-cores": _two_nodes("ok"),
}
