"""The test stand: a receiver, a relay and a load beside the nodes, and what one phase of load measures.

Every phase is bounded in count and time. A phase that is refused, or not delivered in time, is no measurement:
it raises.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from hookline.testing.bench.figures import Latency, Throughput
from hookline.testing.bench.load import Plan
from hookline.testing.processes import PythonProcess, cpu_seconds

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from hookline.testing.nodes import NodeProcess

CALLERS: Final = 64
_POLL_SECONDS: Final = 0.02
_PHASE_SECONDS: Final = 120.0
"""The longest one phase may take, its deliveries included."""


class BenchFailedError(RuntimeError):
    """Something was not delivered or not accepted, so there is nothing to publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to POST where. port, path, headers, heads, tail: as in ``Plan``.

    node: whose CPU time counts, None for the relay.  beside: nodes of the same database that get requests in turn with
    it.  receipts: per 10 events, how often the receiver should see
    one (fewer than 10 when some receivers hang, more when several webhooks match, 0 when the answer is all there is).
    status: what each request is to be answered.  callers: connections.
    """

    port: int
    path: str
    heads: tuple[str, ...]
    tail: str
    headers: tuple[tuple[str, str], ...] = ()
    node: NodeProcess | None = None
    beside: tuple[NodeProcess, ...] = ()
    receipts: int = 10
    per_request: int = 1
    status: int = 202
    callers: int = CALLERS

    @property
    def cpu_seconds(self) -> float:
        """CPU time that its nodes have used so far, 0 for the relay."""
        nodes = () if self.node is None else (self.node, *self.beside)
        return sum(cpu_seconds(node.pid) for node in nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """A replay under way. phase: of the events that are sent again.  rate: asked for, a second."""

    phase: int
    count: int
    rate: float


class Stand:
    """The processes beside the nodes, alive within ``with``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._phase = 0

    def __enter__(self) -> Self:
        self._sink = PythonProcess("hookline.testing.bench.sink", log=self._folder / "sink.log")
        self.sink_port: int = self._sink.told()["port"]
        self._relay = PythonProcess(
            "hookline.testing.bench.relay", self.url("relay"), log=self._folder / "relay.log"
        )
        self._relay_port: int = self._relay.told()["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._relay.close()
        self._sink.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.sink_port}/{path}"

    @property
    def relay(self) -> Target:
        return Target(port=self._relay_port, path="/", heads=('{"type":"bench.event","data":{',), tail="}}")

    def throughput(self, target: Target, events: int) -> Throughput:
        """As many events as given, as fast as they are answered, until the last has been received."""
        cpu = target.cpu_seconds
        sent, received = self._measure(target, events, rate=0.0)
        if not target.receipts:
            received = {"received": sent["statuses"][str(target.status)], "last_ns": sent["last_ns"]}
        return Throughput(
            events=events,
            delivered=received["received"],
            seconds=(received["last_ns"] - sent["first_ns"]) / 1e9,
            cpu_seconds=target.cpu_seconds - cpu,
        )

    def latency(self, target: Target, *, rate: float, seconds: float) -> Latency:
        """Events at an even rate. Raises BenchFailedError when they do not all arrive."""
        sent, received = self._measure(target, max(20, int(rate * seconds)), rate=max(rate, 1.0))
        ended = received if target.receipts else sent
        return Latency(ack_us=sent["took_us"], e2e_us=ended["took_us"])

    def replay(self, target: Target, events: int, *, seconds: float) -> Replaying:
        """Have events delivered, then begin to have them sent again, at a rate that takes so many seconds."""
        assert target.node is not None
        since = datetime.now(UTC).isoformat(timespec="milliseconds")
        _, received = self._measure(target, events, rate=0.0)
        replaying = Replaying(
            phase=self._phase, count=received["received"], rate=received["received"] / seconds
        )
        target.node.api.call(
            "POST", "/api/v1/replays", {"since": since, "rate_per_second": round(replaying.rate, 3)}
        )
        return replaying

    def held(self, replaying: Replaying, target: Target) -> float:
        """Wait for the end of a replay. Returns the rate at which it came ÷ the rate that was asked for."""
        self._await(replaying.count, target, phase=replaying.phase)
        report = self._ask(f"/report?phase={replaying.phase:04d}")
        took: float = (report["last_ns"] - report["first_ns"]) / 1e9
        return float(report["received"] - 1) / took / replaying.rate

    def _measure(self, target: Target, events: int, *, rate: float) -> tuple[dict[str, Any], dict[str, Any]]:
        self._phase += 1
        whole = 10 * target.per_request  # whole rounds, so that the expected receipts are exact
        events = max(events - events % whole, whole)
        requests = events // target.per_request
        plan = Plan(
            port=target.port,
            path=target.path,
            heads=target.heads,
            tail=target.tail,
            headers=target.headers,
            phase=self._phase,
            count=requests,
            callers=target.callers,
            per_request=target.per_request,
            more_ports=tuple(node.port for node in target.beside),
            rate=rate / target.per_request,
            seconds=_PHASE_SECONDS,
        )
        sent = self._send(plan)
        if sent["statuses"] != {str(target.status): requests}:
            raise BenchFailedError(f"{requests} requests were answered {sent['statuses']}{_words_of(target)}")
        self._await(events * target.receipts // 10, target)
        return sent, self._ask(f"/report?phase={self._phase:04d}")

    def _send(self, plan: Plan) -> dict[str, Any]:
        with PythonProcess("hookline.testing.bench.load", log=self._folder / "load.log") as load:
            load.tell(asdict(plan))
            return load.told()

    def _await(self, receipts: int, target: Target, *, phase: int | None = None) -> None:
        deadline = time.monotonic() + _PHASE_SECONDS
        phase = phase or self._phase
        while (count := self._ask(f"/count?phase={phase:04d}")["count"]) < receipts:
            if time.monotonic() > deadline:
                raise BenchFailedError(f"{count} of {receipts} deliveries arrived{_words_of(target)}")
            time.sleep(_POLL_SECONDS)

    def _ask(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.sink_port, timeout=30)
        try:
            connection.request("GET", path)
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found


def _words_of(target: Target) -> str:
    if target.node is None or target.node.process is None:
        return ""
    return f"; the node's last words: {target.node.process.last_words() or 'none'}"
