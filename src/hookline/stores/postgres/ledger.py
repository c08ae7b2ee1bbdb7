"""The one writer: a batch of writes as one transaction on one connection.

Writes are carried out by type, in one fixed order, so that any number of a type costs one or two statements and
locks are taken in the same order on every node. A batch of publishes or of settles alone, the fast path, is a single
statement and its own transaction. When two nodes' transactions are in each other's way, the batch is run again.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Final

import asyncpg

from hookline import failpoints
from hookline.ports import (
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
    KeepArtifact,
    KeepRequest,
    OpenConversation,
    Publish,
    Record,
    Reopen,
    Requeue,
    Resume,
    Settle,
    SettleMail,
    Shift,
    ShortenWaits,
    Suspend,
)
from hookline.stores import rows
from hookline.stores.postgres import (
    alerts,
    answering,
    artifacts,
    batches,
    conversations,
    publishing,
    reruns,
    running,
    settling,
    turns,
)
from hookline.stores.postgres.batch import CHANNEL, Batch
from hookline.stores.postgres.connected import Connected
from hookline.stores.postgres.connection import is_lost, is_retried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import TypeAlias

    from hookline.ports import Result, Write
    from hookline.stores.postgres.connection import Connection

    Step: TypeAlias = Callable[[Connection, Batch], Awaitable[None]]

_MOST_TRIES: Final = 4
"""A deadlock is found after a second (PostgreSQL's default) and ends one of the two transactions."""

# A signal's text stands inside a statement, so it holds nothing that could end it.
_PLAIN: Final = re.compile(r"[a-z0-9:, ]*", re.ASCII)

# What brings new rows comes first, then what runs, then what ends, with the events that come of it and the batches
# made of these; a claim comes last and finds what all these freed.
_ORDER: Final[tuple[tuple[type, Step], ...]] = (
    (KeepRequest, publishing.keep_requests),
    (Attribute, reruns.attribute),
    (OpenConversation, conversations.open_),
    (Begin, running.begin),
    (Record, running.record),
    (KeepArtifact, artifacts.keep),
    (Suspend, answering.suspend),
    (Resume, answering.resume),
    (Cancel, answering.cancel),
    (Requeue, running.requeue),
    (Await, running.expect_end),
    (Finish, running.finish),
    (CloseConversation, conversations.close),
    (FanOut, publishing.fan_out),
    (Reopen, settling.reopen),
    (Shift, settling.shift),
    (ShortenWaits, settling.shorten_waits),
    (AdoptExecutions, running.adopt),
    (ClaimExecutions, running.claim),
    (SettleMail, alerts.settle_mails),
    (ChangeHealth, alerts.change_health),
    (Settle, settling.settle),
)


class PostgresLedger(Connected):
    """``hookline.ports.Ledger``."""

    async def commit(self, writes: Sequence[Write]) -> list[Result]:
        if not writes:
            return []
        async with self._writer.use() as connection:
            tries = 0
            while True:
                tries += 1
                batch = Batch(writes)
                try:
                    await self._carry_out(connection, batch)
                except asyncpg.PostgresError as exc:
                    if not is_retried(exc) or tries == _MOST_TRIES:
                        raise
                    await asyncio.sleep(random.uniform(0.0, 0.02 * tries))  # noqa: S311 -- parts the two
                else:
                    return batch.results

    async def _carry_out(self, connection: Connection, batch: Batch) -> None:
        if batch.types == {Settle} and not settling.needs_transaction(batch):
            await settling.settle(connection, batch)
            return
        if batch.types == {Publish} and not batch.onces:
            publishing.publish(batch)
            if not batch.notices and not batch.has_batched:
                await publishing.insert_events(connection, batch)
                return
            await _in_transaction(connection, batch, (publishing.insert_events, batches.form))
            return
        await _in_transaction(connection, batch, (self._open_batch, *_steps(batch.types)))

    async def _open_batch(self, connection: Connection, batch: Batch) -> None:
        await turns.lock(connection, batch)
        await reruns.lock(connection, batch)
        await publishing.check_onces(connection, batch, now_ms=rows.to_ms(self._clock.now()))
        await publishing.accept(connection, batch)
        await reruns.conclude(connection, batch)
        publishing.publish(batch)


def _steps(types: set[type]) -> list[Step]:
    if Settle in types:
        types = {*types, ChangeHealth}  # an outcome may carry one
    steps = [step for kind, step in _ORDER if kind in types]
    claim = [settling.claim] if ClaimDeliveries in types else []
    return [*steps, publishing.insert_events, batches.form, *claim]


async def _in_transaction(connection: Connection, batch: Batch, steps: Iterable[Step]) -> None:
    await connection.execute("BEGIN")
    try:
        for step in steps:
            await step(connection, batch)
            if step is settling.settle:
                failpoints.hit("in_settle")
        failpoints.hit("in_transaction")
        await connection.execute(_end(batch))
    except Exception as exc:
        if not is_lost(exc) and connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        raise


def _end(batch: Batch) -> str:
    """COMMIT, with the signal to other nodes in the same round trip."""
    if not batch.notices:
        return "COMMIT"
    text = batch.notices.text()
    assert _PLAIN.fullmatch(text)
    return f"SELECT pg_notify('{CHANNEL}', '{text}'); COMMIT"
