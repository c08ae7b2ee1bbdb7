"""Ground: what every part of a node stands on, and how much the node takes on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from hookline.core.retry import POLICY_MAX_RETRIES
from hookline.engine.commit import Committer
from hookline.engine.directory import Directory
from hookline.engine.lease import Lease
from hookline.engine.meter import Meter
from hookline.engine.reservations import Reservations
from hookline.engine.watch import LoggedAttempts

if TYPE_CHECKING:
    from hookline.engine.tracing import Tracing
    from hookline.engine.vault import Vault
    from hookline.ports import Clock, Store


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much this node takes on.

    max_executions_per_organization: None for as many as the node takes.  unsafe_scripts: scripts of several
    organizations run also where the machine cannot isolate them.  max_run_seconds: of one process of one execution.
    max_retries: most that a webhook's own policy may ask for.
    grace_seconds: how long a stop waits for what is under way.  lease_seconds: without a sign of life for so long,
    the node is dead and its work is others'.  retention_days, held_retention_days: how long what has ended, and what
    is held, is kept.  conversation_idle_seconds: silence that ends a conversation.
    payload_retention_days: how long payloads of what has ended are.  retention_max_bytes: what is
    stored is kept about below this, 0 for no bound.  disable_after_days: of only failures a webhook is disabled.
    """

    max_in_flight: int = 2048
    max_executions: int = 256
    max_executions_per_organization: int | None = None
    unsafe_scripts: bool = False
    max_run_seconds: float = 86_400.0
    retry_time_scale: float = 1.0
    max_retries: int = POLICY_MAX_RETRIES
    grace_seconds: float = 20.0
    lease_seconds: float = 10.0
    retention_days: float = 30.0
    held_retention_days: float = 30.0
    conversation_idle_seconds: float = 86_400.0
    disable_after_days: float = 5.0
    payload_retention_days: float = 30.0
    retention_max_bytes: int = 0
    log_attempts: LoggedAttempts = LoggedAttempts.ALL


class Ground:
    """What every part stands on: the store and its one writer, the node's lease, the configuration, the clock."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        vault: Vault,
        clock: Clock,
        limits: Limits,
        url: str,
        tracing: Tracing,
    ) -> None:
        self.store = store
        self.vault = vault
        self.clock = clock
        self.limits = limits
        self.url = url
        self.lease = Lease(store, clock, node_name=name, length=timedelta(seconds=limits.lease_seconds))
        self.meter = Meter()
        self.tracing = tracing
        self.committer = Committer(store, self.meter, tracing)
        self.reservations = Reservations(store)
        self.directory = Directory(store, vault, base_url=url, most_retries=limits.max_retries)

    def __repr__(self) -> str:
        return f"Ground({self.lease!r})"
