"""The one writer: a batch of writes becomes one transaction, with a result for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.ports import (
    Accept,
    AdoptExecutions,
    Attribute,
    Await,
    Begin,
    Cancel,
    ChangeHealth,
    ClaimDeliveries,
    ClaimExecutions,
    CloseConversation,
    FanOut,
    Finish,
    FormBatches,
    KeepArtifact,
    KeepRequest,
    OpenConversation,
    Outdated,
    Publish,
    Published,
    Record,
    Reopen,
    Repeat,
    Requeue,
    Resume,
    Settle,
    SettleMail,
    Shift,
    ShortenWaits,
    Suspend,
)
from hookline.stores.sqlite import alerts, artifacts, batches, conversations, deliveries, executions
from hookline.stores.sqlite.batch import Batch, FencedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw

    from hookline.ports import Result, Write
    from hookline.stores.sqlite.database import Database

EVENT_SEQ: Final = "event_seq"
"""Name in ``meta`` of the highest event number when events were last pruned: numbers are never given out twice."""

_LAST_SEQ: Final = f"""
    SELECT max(
        coalesce((SELECT max(seq) FROM events), 0),
        coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = '{EVENT_SEQ}'), 0)
    )
"""


def _publish(batch: Batch, write: Publish) -> Published | Repeat:
    repeat = batch.repeat_of(write.once, write.epoch)
    if repeat is not None:
        return repeat
    return Published(tuple([batch.add(new, write.epoch) for new in write.events]))


_APPLY: Final[dict[type, Callable[[Batch, Any], Result]]] = {
    Publish: _publish,
    Accept: executions.accept,
    OpenConversation: conversations.open_,
    CloseConversation: conversations.close,
    KeepRequest: executions.keep_request,
    Attribute: executions.attribute,
    Begin: executions.begin,
    Record: executions.record,
    KeepArtifact: artifacts.keep,
    Suspend: executions.suspend,
    Resume: executions.resume,
    Await: executions.expect_end,
    Finish: executions.finish,
    Requeue: executions.requeue,
    ClaimExecutions: executions.claim_executions,
    AdoptExecutions: executions.adopt_executions,
    Cancel: executions.cancel,
    ClaimDeliveries: deliveries.claim_deliveries,
    Reopen: deliveries.reopen,
    Shift: deliveries.shift,
    ShortenWaits: deliveries.shorten_waits,
    FanOut: deliveries.fan_out,
    FormBatches: batches.form,
    ChangeHealth: alerts.change_health,
    SettleMail: alerts.settle_mail,
}
"""Every write but ``Settle``, whose rows are gathered."""


class SqliteLedger:
    """ports.Ledger."""

    _db: Database
    _next_seq: int = 0

    async def commit(self, writes: Sequence[Write]) -> list[Result]:
        if not writes:
            return []
        try:
            return await self._db.write(lambda cursor: self._apply(cursor, writes, is_careful=False))
        except FencedError:
            return await self._db.write(lambda cursor: self._apply(cursor, writes, is_careful=True))

    def _apply(self, cursor: apsw.Cursor, writes: Sequence[Write], *, is_careful: bool) -> list[Result]:
        batch = Batch(cursor, next_seq=self._next_seq, now_ms=self._db.now_ms(), is_careful=is_careful)
        results: list[Result] = [None] * len(writes)
        for place, write in enumerate(writes):
            if type(write) is Settle:
                if write.health is not None and not alerts.change_health(batch, write.health):
                    results[place] = Outdated()
                else:
                    batch.settle_later(place, write)
            else:
                results[place] = _APPLY[type(write)](batch, write)
        batch.flush(results)
        self._next_seq = batch.next_seq  # a batch that is rolled back leaves a gap, which nobody can see
        return results

    def _read_last_seq(self) -> None:
        row = self._db.read_one(_LAST_SEQ)
        assert row is not None
        self._next_seq = row[0] + 1
