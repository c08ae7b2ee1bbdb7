"""Gather one batch's inserts and outcomes, and write them with few statements at its end.

Events, deliveries and outcomes are independent of one another within a batch (``ports.Ledger``), so they wait in
lists until every other write was applied; then one ``executemany`` a table writes them, which costs a third of a
statement for each. Event numbers are given out here, in the order of the writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline import failpoints
from hookline.ports import Once, Repeat
from hookline.stores import rows
from hookline.stores.rows import DELIVERY, ENDED, EVENT, Counters, listed, to_ms
from hookline.stores.sqlite import order

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import apsw

    from hookline.model.events import Delivery
    from hookline.ports import Epoch, Instead, NewEvent, Result, Settle


def marks(columns: Sequence[str]) -> str:
    """A place for each column's value."""
    return ", ".join("?" * len(columns))


_INSERT_EVENT: Final = f"INSERT INTO events (seq, {listed(EVENT)}) VALUES (?, {marks(EVENT)})"
_FIND_OWN_ID: Final = "SELECT 1 FROM events WHERE organization_id = ? AND own_id = ?"
INSERT_DELIVERY: Final = (
    f"INSERT INTO deliveries ({listed(DELIVERY)}, epoch) VALUES ({'?, ' * len(DELIVERY)}?)"
)
INSERT_ITEM: Final = """
    INSERT INTO batch_items (webhook_id, event_key, added_at, ordering_key, size) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_INSERT_FANOUT: Final = "INSERT INTO fanouts (event_key, organization_id, after) VALUES (?, ?, ?)"

_FIND_ONCE: Final = (
    "SELECT digest, answer, instead FROM onces WHERE scope = ? AND name = ? AND expires_at > ?"
)
_PUT_ONCE: Final = """
    INSERT OR REPLACE INTO onces (scope, name, digest, answer, epoch, expires_at) VALUES (?, ?, ?, ?, ?, ?)
"""

# ?8 says whether there was an attempt.
_SETTLE: Final = """
    UPDATE deliveries SET
        state = ?1, state_reason = ?2, lane = ?3, next_attempt_at = ?4, failures = ?5, crashes = ?6, ended_at = ?7,
        attempts_made = attempts_made + ?8,
        last_status = iif(?8, ?9, last_status), last_ms = iif(?8, ?10, last_ms),
        body_size = coalesce(?11, body_size), body = coalesce(?12, body),
        epoch = NULL
    WHERE id = ?13 AND epoch = ?14
"""
INSERT_ATTEMPT: Final = f"INSERT INTO attempts ({listed(rows.ATTEMPT)}) VALUES ({marks(rows.ATTEMPT)})"
_COUNT_MINUTE: Final = """
    INSERT INTO webhook_minutes (webhook_id, minute, epoch, what, count) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (webhook_id, minute, epoch, what) DO UPDATE SET count = count + excluded.count
"""
_COUNT_TOTAL: Final = """
    INSERT INTO webhook_totals (webhook_id, epoch, delivered, exhausted, last_delivery_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (webhook_id, epoch) DO UPDATE SET
        delivered = delivered + excluded.delivered,
        exhausted = exhausted + excluded.exhausted,
        last_delivery_at = coalesce(
            max(last_delivery_at, excluded.last_delivery_at), last_delivery_at, excluded.last_delivery_at
        )
"""


class FencedError(Exception):
    """Some claim of the batch is gone. It is run again, carefully: that is rare, and asking each row costs all."""


class Batch:
    """One transaction's writes.

    next_seq: number of the next event; the caller keeps it for the next batch.  is_careful: ask of each outcome
    whether its claim was still ours, instead of assuming it (``FencedError``).
    """

    def __init__(self, cursor: apsw.Cursor, *, next_seq: int, now_ms: int, is_careful: bool = False) -> None:
        self.cursor = cursor
        self.next_seq = next_seq
        self.now_ms = now_ms
        self._is_careful = is_careful
        self._db = cursor.connection
        self._events: list[rows.Row] = []
        self._deliveries: list[rows.Row] = []
        self._fanouts: list[rows.Row] = []
        self._own_ids: set[tuple[bytes, str]] = set()
        self._settles: list[tuple[int, Settle]] = []
        self._ordered: list[Delivery] = []
        self._items: list[rows.Row] = []

    def __repr__(self) -> str:
        return f"Batch(events={len(self._events)}, settles={len(self._settles)})"

    # --- events ---

    def add(self, new: NewEvent, epoch: Epoch) -> bool:
        """Have an event and its deliveries inserted. False, and nothing is, when its own id is taken."""
        event = new.event
        if event.own_id is not None and not self._is_new(event.organization_id, event.own_id):
            return False
        self._events.append((self.next_seq, *rows.event_row(event)))
        self.next_seq += 1
        for delivery in new.deliveries:
            self._deliveries.append((*rows.delivery_row(delivery), rows.claimed_by(delivery, epoch)))
            if delivery.ordering_key is not None:
                self._ordered.append(delivery)
        for waiter in new.batched:
            self._items.append(rows.batch_item_row(waiter, event.key, len(event.data), event.received_at))
        if new.fanout_after is not None:
            self._fanouts.append((event.key, event.organization_id, new.fanout_after))
        return True

    def add_all(self, events: Iterable[NewEvent], epoch: Epoch) -> None:
        for new in events:
            self.add(new, epoch)

    def _is_new(self, organization_id: bytes, own_id: str) -> bool:
        place = (organization_id, own_id)
        if place in self._own_ids or self.first(_FIND_OWN_ID, place) is not None:
            return False
        self._own_ids.add(place)
        return True

    # --- once ---

    def repeat_of(self, once: Once | None, epoch: Epoch) -> Repeat | None:
        """What an earlier write under the same name was answered with; else note this one and return None."""
        if once is None:
            return None
        found = self.first(_FIND_ONCE, (once.scope, once.name, self.now_ms))
        if found is not None:
            digest, answer, instead = found
            is_answered = answer is not None
            return Repeat(
                answer=answer or b"", is_same=digest == once.digest, instead=None if is_answered else instead
            )
        expires_at = to_ms(once.expires_at)
        self.cursor.execute(_PUT_ONCE, (once.scope, once.name, once.digest, once.answer, epoch, expires_at))
        return None

    def give_way(self, once: Once | None, instead: Instead) -> None:
        """Change what ``repeat_of`` noted: repeats of a merged write mean that execution, of a skipped one none."""
        if once is None:
            return
        name = (once.scope, once.name)
        if instead.reason == "merged":
            self.cursor.execute(
                "UPDATE onces SET answer = NULL, instead = ? WHERE scope = ? AND name = ?",
                (instead.execution_id, *name),
            )
        else:
            self.cursor.execute("DELETE FROM onces WHERE scope = ? AND name = ?", name)

    # --- small steps of the other writes ---

    def first(self, sql: str, bindings: rows.Row) -> rows.Row | None:
        # All of it is read: a statement that is left half-way keeps COMMIT from going through.
        found = self.cursor.execute(sql, bindings).fetchall()
        row: rows.Row | None = found[0] if found else None
        return row

    def change(self, sql: str, bindings: rows.Row) -> int:
        """Rows changed by one statement."""
        self.cursor.execute(sql, bindings)
        return self._db.changes()

    # --- the end of the batch ---

    def settle_later(self, place: int, settle: Settle) -> None:
        """place: where the result belongs."""
        rows.check_settle(settle)
        self._settles.append((place, settle))

    def flush(self, results: list[Result]) -> None:
        """Write what was gathered, and fill in the results of the outcomes. These come first: with some come events."""
        if self._settles:
            self._flush_settles(results)
        if self._events:
            self.cursor.executemany(_INSERT_EVENT, self._events)
        if self._deliveries:
            self.cursor.executemany(INSERT_DELIVERY, self._deliveries)
        if self._items:
            self.cursor.executemany(INSERT_ITEM, self._items)
        if self._ordered:
            order.place(self, self._ordered)
        if self._fanouts:
            self.cursor.executemany(_INSERT_FANOUT, self._fanouts)

    def _flush_settles(self, results: list[Result]) -> None:
        held = self._update_settled()
        attempts = []
        counters: dict[Epoch, Counters] = {}
        for place, settle in self._settles:
            results[place] = is_ours = held is None or place in held
            if not is_ours:
                continue
            if settle.attempt is not None:
                attempts.append(rows.attempt_row(settle.attempt))
            if settle.events:
                self.add_all(settle.events, settle.epoch)
            counter = counters.get(settle.epoch)
            if counter is None:
                counter = counters[settle.epoch] = Counters()
            counter.add(settle, to_ms(settle.at))
            if settle.ordering_key is not None and settle.state in ENDED:
                order.release(self, settle.webhook_id, settle.ordering_key, to_ms(settle.at))
        failpoints.hit("in_settle")
        if attempts:
            self.cursor.executemany(INSERT_ATTEMPT, attempts)
        for epoch, counter in counters.items():
            self._count(epoch, counter)

    def _update_settled(self) -> set[int] | None:
        """Write the outcomes. Returns the places of those that were still ours, or None when all were."""
        if self._is_careful:
            return {place for place, settle in self._settles if self.change(_SETTLE, _settle_row(settle))}
        before = self._db.total_changes()
        self.cursor.executemany(_SETTLE, [_settle_row(settle) for _, settle in self._settles])
        if self._db.total_changes() - before != len(self._settles):
            raise FencedError
        return None

    def _count(self, epoch: Epoch, counters: Counters) -> None:
        self.cursor.executemany(
            _COUNT_MINUTE,
            [
                (webhook, minute, epoch, what, count)
                for (webhook, minute, what), count in counters.minutes.items()
            ],
        )
        if counters.totals:
            self.cursor.executemany(
                _COUNT_TOTAL, [(webhook, epoch, *total) for webhook, total in counters.totals.items()]
            )


def _settle_row(settle: Settle) -> tuple[Any, ...]:
    attempt = settle.attempt
    due = settle.next_attempt_at
    return (
        settle.state,
        settle.state_reason,
        settle.lane,
        None if due is None else to_ms(due),
        settle.failures,
        settle.crashes,
        to_ms(settle.at) if settle.state in ENDED else None,
        attempt is not None,
        None if attempt is None else attempt.status,
        None if attempt is None else attempt.duration_ms,
        settle.body_size,
        settle.body,
        settle.delivery_id,
        settle.epoch,
    )
