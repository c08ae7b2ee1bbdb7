"""Do the faults of a crash test, and mend what each of them broke."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hookline.testing.processes import ProcessFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookline.testing.crashtest.production import Production
    from hookline.testing.crashtest.script import Fault
    from hookline.testing.nodes import NodeProcess
    from hookline.testing.postgres import PostgresServer, StopMode

LEASE_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.005
_FAILPOINT_SECONDS: Final = 8.0
"""How long an armed failpoint may stay unpassed before the node is killed from outside…"""

_LULL_SECONDS: Final = 0.5
"""… and how long once there is no more load that could pass it."""

_DATABASE_DOWN_SECONDS: Final = 0.5


class Disruption:
    """The nodes under fire.

    server: the PostgreSQL that may be stopped, None for none.  outage_seconds: how long an outage of it lasts.
    told: what is being done, in words; empty for "still the same".
    """

    def __init__(
        self,
        nodes: Sequence[NodeProcess],
        faults: Sequence[Fault],
        *,
        server: PostgresServer | None,
        outage_seconds: float,
        told: Callable[[str], None],
    ) -> None:
        self.hits: list[str] = []
        self.starts: list[float] = []
        self.crashes = 0
        self._nodes = nodes
        self._faults = faults
        self._server = server
        self._outage_seconds = outage_seconds
        self._told = told

    def __repr__(self) -> str:
        return f"Disruption({len(self._nodes)} nodes, {len(self._faults)} faults)"

    def arm(self) -> None:
        """Start every node anew, armed for the first fault that is meant for it."""
        for index, node in enumerate(self._nodes):
            node.stop()
            self._start(node, _next_for(index, self._faults))

    def commit(self, number: int, production: Production) -> None:
        """Do the fault with this number, from 0. Raises ProcessFailedError for a node that ended by itself."""
        fault = self._faults[number]
        node = self._nodes[fault.node]
        self.crashes += fault.kind != "restart"
        self._told(f"fault {number + 1} of {len(self._faults)}: {fault.failpoint or fault.kind}")
        if fault.kind == "failpoint":
            self._await_failpoint(fault, node, production)
        else:
            node.wait_ready()
            self._await_share(fault.at, production, node)
            time.sleep(fault.delay)
        if fault.kind == "pause":
            _pause(node)
        elif fault.kind == "database":
            self._stop_database("immediate", _DATABASE_DOWN_SECONDS)
        elif fault.kind == "outage":
            self._stop_database("fast", self._outage_seconds)
        else:
            if fault.kind == "restart":
                self._stop_cleanly(node)
            node.kill()
            self._start(node, _next_for(fault.node, self._faults[number + 1 :]))

    def _start(self, node: NodeProcess, fault: Fault | None) -> None:
        """Start a node, armed when the next fault that is meant for it is a failpoint."""
        node.start(failpoints=fault.failpoint if fault is not None else None, waits=False)
        self.starts.append(time.monotonic())

    def _await_share(self, share: float, production: Production, node: NodeProcess) -> None:
        """Wait until so many events are done, as far as there is anybody to do them: of a role's only node, one that
        was armed may have killed itself, and its own fault comes later.
        """
        done, moved_at = production.done, time.monotonic()
        while not production.has_reached(share) and not production.is_over:
            self._told("")
            _see_alive(node)
            if production.done != done:
                done, moved_at = production.done, time.monotonic()
            elif self._is_any_down() and time.monotonic() - moved_at > _LULL_SECONDS:
                return
            time.sleep(_POLL_SECONDS)

    def _is_any_down(self) -> bool:
        return any(node.process is None or node.process.exit_code is not None for node in self._nodes)

    def _await_failpoint(self, fault: Fault, node: NodeProcess, production: Production) -> None:
        assert node.process is not None
        deadline = time.monotonic() + _FAILPOINT_SECONDS
        while node.process.exit_code is None and time.monotonic() < deadline and not production.is_over:
            self._told("")
            if production.has_reached(fault.upto):
                deadline = min(deadline, time.monotonic() + _LULL_SECONDS)
            time.sleep(_POLL_SECONDS)
        if node.process.exit_code == -signal.SIGKILL:
            self.hits.append((fault.failpoint or "").partition(":")[0])
        else:
            _see_alive(node)

    def _stop_cleanly(self, node: NodeProcess) -> None:
        """As a rolling restart does: only when all the others are ready. Raises ProcessFailedError."""
        self._await_ready()
        if (code := node.stop()) != 0:
            raise ProcessFailedError(f"a node that was told to stop ended with {code}: {node.last_words()}")

    def _stop_database(self, mode: StopMode, seconds: float) -> None:
        assert self._server is not None
        self._await_ready()  # those that run must live through it
        self._server.stop(mode)
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self._told("")
            time.sleep(_POLL_SECONDS)
        self._server.start()

    def _await_ready(self) -> None:
        for node in self._nodes:
            # One that was armed may have killed itself: its own fault looks at that.
            with suppress(ProcessFailedError):
                node.wait_ready()


def _pause(node: NodeProcess) -> None:
    """Stop a node for longer than its lease, then let it find out that it was taken for dead."""
    assert node.process is not None
    node.process.signal(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 1.5)
    node.process.signal(signal.SIGCONT)


def _see_alive(node: NodeProcess) -> None:
    """Raises ProcessFailedError when it ended by itself."""
    assert node.process is not None
    if node.process.exit_code is not None:
        raise ProcessFailedError(
            f"a node ended by itself with {node.process.exit_code}: {node.process.last_words()}"
        )


def _next_for(node: int, faults: Sequence[Fault]) -> Fault | None:
    return next((fault for fault in faults if fault.node == node), None)
