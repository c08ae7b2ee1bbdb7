"""Outgoing: the way from an event to attempts, and what people may ask of that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hookline.engine.alert import Alerts
from hookline.engine.batch import Batcher
from hookline.engine.deliver import Deliverer
from hookline.engine.judge import Judge
from hookline.engine.mails import Mails
from hookline.engine.payloads import PayloadLinks
from hookline.engine.publish import Outbox, Publisher
from hookline.engine.recent import Recent
from hookline.engine.redeliver import Redelivery
from hookline.engine.telling import Teller
from hookline.engine.watch import Watch
from hookline.engine.webhooks import Webhooks
from hookline.engine.word import Wording

if TYPE_CHECKING:
    from hookline.engine.parts.ground import Ground
    from hookline.ports import Mailer
    from hookline.ports.sender import Sender


class Outgoing:
    """The way out: from an event to attempts, and what people may ask of that."""

    def __init__(self, ground: Ground, sender: Sender, mailer: Mailer | None) -> None:
        store, committer, directory = ground.store, ground.committer, ground.directory
        lease, clock = ground.lease, ground.clock
        self.alerts = _alerts(ground, sends_mails=mailer is not None)
        self.mails = Mails(
            store=store,
            onces=ground.reservations,
            committer=committer,
            lease=lease,
            clock=clock,
            mailer=mailer,
        )
        self.payloads = PayloadLinks(vault=ground.vault, clock=clock, url=ground.url)
        recent = Recent()
        self.deliverer = self._deliverer(ground, sender, recent)
        self.batcher = Batcher(
            committer=committer,
            archive=store,
            directory=directory,
            deliverer=self.deliverer,
            lease=lease,
            clock=clock,
            recent=recent,
        )
        self.outbox = Outbox(
            directory=directory,
            archive=store,
            deliverer=self.deliverer,
            batcher=self.batcher,
            lease=lease,
            clock=clock,
        )
        self.publisher = Publisher(self.outbox, committer, lease, clock)
        self.webhooks = Webhooks(
            store=store,
            committer=committer,
            directory=directory,
            deliverer=self.deliverer,
            publisher=self.publisher,
            clock=clock,
        )
        self.judge = Judge(store, directory)
        self.alerts.connect(self.outbox, self.webhooks.settle_in)
        self.redelivery = Redelivery(
            store=store,
            committer=committer,
            directory=directory,
            deliverer=self.deliverer,
            batcher=self.batcher,
            lease=lease,
            clock=clock,
            judge=self.judge,
            hold=self.webhooks.hold,
        )

    def __repr__(self) -> str:
        return f"Outgoing({self.deliverer!r})"

    def _deliverer(self, ground: Ground, sender: Sender, recent: Recent) -> Deliverer:
        store, committer, directory = ground.store, ground.committer, ground.directory
        lease, clock, limits = ground.lease, ground.clock, ground.limits
        return Deliverer(
            committer=committer,
            archive=store,
            leases=store,
            directory=directory,
            sender=sender,
            lease=lease,
            clock=clock,
            max_in_flight=limits.max_in_flight,
            retry_time_scale=limits.retry_time_scale,
            alerts=self.alerts,
            watch=Watch(ground.meter, ground.tracing, limits.log_attempts),
            wording=Wording(
                archive=store,
                directory=directory,
                committer=committer,
                lease=lease,
                clock=clock,
                payloads=self.payloads,
                tracing=ground.tracing,
                recent=recent,
            ),
        )


def _alerts(ground: Ground, *, sends_mails: bool) -> Alerts:
    disable_after = timedelta(days=ground.limits.disable_after_days)
    return Alerts(
        records=ground.store,
        figures=ground.store,
        committer=ground.committer,
        directory=ground.directory,
        lease=ground.lease,
        clock=ground.clock,
        teller=Teller(
            disable_after=disable_after,
            sends_mails=sends_mails,
            public_url=ground.url,
        ),
        disable_after=disable_after,
    )
