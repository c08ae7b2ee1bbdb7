"""Settle: commit how each delivery stands after an attempt, and know which deliveries are in this node's hands.

An outcome is not dropped because the store is away: the request was made, so it waits here and is tried again, for as
long as this node's epoch lasts. After that the claim is others', who send again what nobody has recorded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import structlog

from hookline.engine.alert import NO_NEWS
from hookline.errors import StorageError
from hookline.model.states import Lane
from hookline.ports import Outdated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from typing import TypeAlias

    from hookline.engine.alert import Alerts, News
    from hookline.engine.commit import Committer
    from hookline.engine.lease import Lease
    from hookline.errors import HooklineError
    from hookline.model.ids import Key
    from hookline.ports import Settle

    Anew: TypeAlias = Callable[[], Awaitable[None]]

_log = structlog.get_logger("hookline.settle")


class Settler:
    """One per node.

    expect: told of each delivery that is due later, or that the one before it held back: (webhook, lane, when).
    """

    def __init__(
        self,
        *,
        committer: Committer,
        lease: Lease,
        alerts: Alerts,
        expect: Callable[[Key, Lane, datetime], None],
    ) -> None:
        self._committer = committer
        self._lease = lease
        self._alerts = alerts
        self._expect = expect
        self._held: set[Key] = set()
        self._unsettled = 0
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Settler(held={len(self._held)}, unsettled={self._unsettled})"

    def hold(self, delivery_id: Key) -> None:
        """A delivery came into this node's hands."""
        self._held.add(delivery_id)

    def holds(self, delivery_id: Key) -> bool:
        """Say whether a delivery is in this node's hands: waiting, on its way, or about to be settled."""
        return delivery_id in self._held

    def drop(self, delivery_id: Key) -> None:
        """It is others' now."""
        self._held.discard(delivery_id)

    async def close(self, grace: float) -> None:
        """Wait until everything is settled, ``grace`` seconds at most."""
        self._is_closing = True
        deadline = asyncio.get_running_loop().time() + grace
        while self._unsettled and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 -- once, at the end
            await asyncio.sleep(0.01)

    def post(self, settle: Settle, news: News = NO_NEWS, *, anew: Anew | None = None, tries: int = 0) -> None:
        """Commit an outcome; keep it and try again while the store is away: it must not be lost, since the request
        was made.

        news: what shares its transaction.  anew: judges the outcome anew and posts it, called when what it was judged
        by has changed, or may have; raises StorageError. None only without a health among the news.
        """
        self._unsettled += 1

        def done(result: object) -> None:
            self._unsettled -= 1
            if news.done is not None:
                news.done(result if isinstance(result, StorageError) else not isinstance(result, Outdated))
            if isinstance(result, Outdated):
                self._alerts.conclude(settle.events, settle.epoch, False)
                self._judge_anew(settle, anew, 0)
                return
            if isinstance(result, StorageError):
                self._retry(settle, result, tries, anew)
                return
            self._held.discard(settle.delivery_id)
            self._alerts.conclude(settle.events, settle.epoch, result)
            if result is False:
                _log.info("claim_lost", delivery=settle.delivery_id.hex())
            elif settle.next_attempt_at is not None:
                self._expect(settle.webhook_id, settle.lane, settle.next_attempt_at)
            elif settle.ordering_key is not None:
                for lane in (Lane.FIRST,) if settle.lane is Lane.FIRST else Lane:  # of the next in line
                    self._expect(settle.webhook_id, lane, settle.at)

        self._committer.post(
            settle if news.health is None else msgspec.structs.replace(settle, health=news.health), done
        )

    def _judge_anew(self, settle: Settle, anew: Anew | None, tries: int) -> None:
        """Nothing of an outcome is stored until all that it means is: a node that dies meanwhile still holds the claim,
        so whoever takes over sends again, and hears the answer again.
        """
        assert anew is not None
        judge = anew

        async def go() -> None:
            try:
                await asyncio.sleep(_pause(tries) if tries else 0)
                if settle.epoch != self._lease.epoch or (tries and self._is_closing):
                    self._held.discard(settle.delivery_id)
                else:
                    await judge()
            except StorageError:
                self._judge_anew(settle, anew, tries + 1)
            finally:
                self._unsettled -= 1

        self._unsettled += 1
        task = asyncio.create_task(go())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _retry(self, settle: Settle, failure: HooklineError, tries: int, anew: Anew | None) -> None:
        if settle.epoch != self._lease.epoch or (tries and self._is_closing):
            self._alerts.conclude(settle.events, settle.epoch, failure)
            self._held.discard(settle.delivery_id)  # whoever takes our claims over sends it again
            return
        if failure.code == "WRITE_REFUSED" and settle.attempt is not None:
            # The answer itself cannot be stored: keep the outcome, drop what the receiver said.
            bare = msgspec.structs.replace(
                settle.attempt, response_headers=(), response_body=b"", error="unstorable"
            )
            settle = msgspec.structs.replace(settle, attempt=bare)
        elif anew is not None:
            self._alerts.conclude(settle.events, settle.epoch, failure)
            self._judge_anew(settle, anew, tries + 1)
            return
        self._unsettled += 1

        def again() -> None:
            self._unsettled -= 1
            self.post(settle, tries=tries + 1)

        asyncio.get_running_loop().call_later(_pause(tries), again)


def _pause(tries: int) -> float:
    """Seconds before the next try."""
    return min(0.2 * float(2**tries), 5.0)
