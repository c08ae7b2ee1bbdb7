"""Upkeep: what goes on beside the two paths: retention, replays, explanations, and the rounds of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.core.retention import Kept
from hookline.engine.explain import Explainer
from hookline.engine.maintain import Maintenance
from hookline.engine.reconcile import Reconciler
from hookline.engine.replay import Replayer
from hookline.engine.rerun import Rerun
from hookline.engine.shrink import Shrinker
from hookline.engine.supervise import Supervisor

if TYPE_CHECKING:
    from hookline.engine.parts.ground import Ground
    from hookline.engine.parts.instances import Instances
    from hookline.engine.parts.outgoing import Outgoing
    from hookline.engine.parts.running import Running

_MAINTAIN_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 10.0
_REPLAY_SECONDS: Final = 2.0
_ALERT_SECONDS: Final = 2.0
_MAIL_SECONDS: Final = 1.0


class Upkeep:
    """delivers: whether this node sends; replays and batches are the work of such nodes."""

    def __init__(
        self, ground: Ground, outgoing: Outgoing, running: Running, instances: Instances, *, delivers: bool
    ) -> None:
        store, lease, clock = ground.store, ground.lease, ground.clock
        self.explainer = Explainer(
            store=store,
            directory=ground.directory,
            judge=outgoing.judge,
            wording=outgoing.deliverer.wording,
        )
        self.maintenance = _maintenance(ground, outgoing)
        self.replayer = Replayer(
            store=store,
            onces=ground.reservations,
            lease=lease,
            clock=clock,
            deliveries=outgoing.redelivery,
            requests=Rerun(
                store=store, clock=clock, start=running.receiver.start, find=running.catalogue.find
            ),
        )
        rounds = [
            (_MAINTAIN_SECONDS, self.maintenance.sweep),
            (_MAINTAIN_SECONDS, running.artifacts.sweep),
            (_IDLE_SECONDS, running.conversations.close_idle),
            (_ALERT_SECONDS, outgoing.alerts.look),
            (_MAIL_SECONDS, outgoing.mails.look),
        ]
        if delivers:
            rounds.append((_REPLAY_SECONDS, self.replayer.look))
        self.supervisor = Supervisor(
            ground=ground,
            deliverer=outgoing.deliverer,
            executor=running.executor,
            outbox=outgoing.outbox,
            uploads=running.uploads,
            batcher=outgoing.batcher if delivers else None,
            endings=running.endings,
            deployer=instances.deployer,
            rounds=rounds,
            reconciler=_reconciler(ground, outgoing, running),
        )

    def __repr__(self) -> str:
        return f"Upkeep({self.supervisor!r})"


def _maintenance(ground: Ground, outgoing: Outgoing) -> Maintenance:
    limits = ground.limits
    kept = Kept(
        days=limits.retention_days,
        payload_days=min(limits.retention_days, limits.payload_retention_days),
        held_days=limits.held_retention_days,
    )
    return Maintenance(
        store=ground.store,
        onces=ground.reservations,
        committer=ground.committer,
        directory=ground.directory,
        lease=ground.lease,
        clock=ground.clock,
        kept=kept,
        alerts=outgoing.alerts,
        settle_in=outgoing.webhooks.settle_in,
        settle_left=outgoing.webhooks.settle_left,
        shrinker=Shrinker(
            store=ground.store,
            clock=ground.clock,
            kept=kept,
            most_bytes=limits.retention_max_bytes,
        ),
    )


def _reconciler(ground: Ground, outgoing: Outgoing, running: Running) -> Reconciler:
    """What compares memory and table until they agree."""
    return Reconciler(
        archive=ground.store,
        committer=ground.committer,
        deliverer=outgoing.deliverer,
        executor=running.executor,
        lease=ground.lease,
    )
