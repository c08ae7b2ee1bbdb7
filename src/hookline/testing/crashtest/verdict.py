"""Judge a crash test: ledgers and the engine's own account in, counts out (PROMISES section 4, points 5 and 6).

Pure: it reads no file, no clock and no network, so a test can hand it every kind of lie. It does not trust the
engine: what arrived is only what the receiver wrote down, what was promised only what the producer was told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hookline.testing.crashtest.ledgers import Receipt, Sent

UNCERTAIN: Final = frozenset({"interrupted", "timeout", "connection_lost"})
"""Outcomes after which a receiver may have accepted what the engine must send again (P3)."""

_OWED: Final = frozenset({"pending", "in_flight", "held"})
_ENDED: Final = frozenset({"succeeded", "failed", "killed", "timed_out", "lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAccount:
    """What the engine says of one delivery. outcomes: of its attempts, oldest first.

    replays: attempts that a replay made.  replays_delivered: those of them that were.
    """

    id: str
    event_id: str
    endpoint: str
    state: str
    outcomes: tuple[str, ...] = ()
    replays: int = 0
    replays_delivered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAccount:
    """What the engine says of one replay job. reopened: deliveries that it handed over."""

    id: str
    endpoint: str
    status: str
    reopened: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAccount:
    """What the engine says of one event. seq: read from its data, -1 when it has none.
    execution_id: of the execution that it ends, None for any other event.
    """

    id: str
    seq: int
    execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAccount:
    """The engine's state after the run, as its API tells it. executions: status by id.  replays: all jobs."""

    events: Sequence[EventAccount] = ()
    deliveries: Sequence[DeliveryAccount] = ()
    executions: Mapping[str, str] = field(default_factory=dict)
    replays: Sequence[ReplayAccount] = ()


@dataclass(slots=True, kw_only=True)
class Counts:
    """The verdict. examples: a few sentences for each thing that is wrong, for people.

    owed: (event, endpoint) pairs of acked events.  dead: of these, visible as exhausted.
    replayed: accepted once more because a replay sent them again.
    """

    acked: int = 0
    refused: int = 0
    unknown: int = 0
    owed: int = 0
    dead: int = 0
    lost: int = 0
    phantom: int = 0
    corrupt: int = 0
    false_success: int = 0
    duplicates_explained: int = 0
    duplicates_unexplained: int = 0
    unlogged: int = 0
    stuck: int = 0
    out_of_order: int = 0
    replayed: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def is_pass(self, *, most_in_flight: int) -> bool:
        """Nothing that may never happen happened, and what a kill may cause stayed within what was in flight.

        most_in_flight: deliveries that can have been under way, summed over the kills.
        """
        return not (
            self.lost
            or self.phantom
            or self.corrupt
            or self.false_success
            or self.duplicates_unexplained
            or self.stuck
            or self.out_of_order
            or self.duplicates_explained > most_in_flight
            or self.unlogged > most_in_flight
        )

    def note(self, what: str, sentence: str) -> None:
        """Count one case of ``what`` and keep its story if there are few so far."""
        setattr(self, what, getattr(self, what) + 1)
        stories = self.examples.setdefault(what, [])
        if len(stories) < _MOST_STORIES:
            stories.append(sentence)


_MOST_STORIES: Final = 3


def judge(
    sent: Iterable[Sent],
    receipts: Iterable[Receipt],
    engine: EngineAccount,
    *,
    endpoints: Mapping[str, Sequence[str]],
    ordered: Sequence[str] = (),
) -> Counts:
    """Compare the three accounts. endpoints: for each event type, the endpoints that want it.  ordered: those that must
    get events in the order in which they were accepted (P6).
    """
    return _Judge(sent, receipts, engine, endpoints).judge(ordered)


class _Judge:
    def __init__(
        self,
        sent: Iterable[Sent],
        receipts: Iterable[Receipt],
        engine: EngineAccount,
        endpoints: Mapping[str, Sequence[str]],
    ) -> None:
        self._sent = {one.seq: one for one in sent}
        self._endpoints = endpoints
        self._engine = engine
        self._receipts: dict[tuple[int, str], list[Receipt]] = defaultdict(list)
        for receipt in receipts:
            self._receipts[receipt.seq, receipt.endpoint].append(receipt)
        seq_of = {event.id: event.seq for event in engine.events}
        self._deliveries: dict[tuple[int, str], list[DeliveryAccount]] = defaultdict(list)
        for delivery in engine.deliveries:
            self._deliveries[seq_of.get(delivery.event_id, -1), delivery.endpoint].append(delivery)
        self._counts = Counts()

    def judge(self, ordered: Sequence[str]) -> Counts:
        for (seq, endpoint), receipts in self._receipts.items():
            self._judge_receipts(seq, endpoint, receipts)
        for one in self._sent.values():
            setattr(self._counts, one.answer, getattr(self._counts, one.answer) + 1)
            for endpoint in self._endpoints.get(one.type, ()):
                self._judge_pair(one, endpoint)
            if one.manner == "run" and one.answer == "acked":
                self._judge_execution(one)
        self._judge_ends()
        for job in self._engine.replays:
            self._judge_replay(job)
        for endpoint in ordered:
            self._judge_order(endpoint)
        return self._counts

    def _judge_receipts(self, seq: int, endpoint: str, receipts: list[Receipt]) -> None:
        """What arrived must have been sent, to whom wants it, unchanged, and once unless a fault explains it."""
        one = self._sent.get(seq)
        for receipt in receipts:
            if one is None or one.answer == "refused" or endpoint not in self._endpoints.get(one.type, ()):
                self._counts.note("phantom", f"{endpoint} got {receipt.id}, which was never sent to it")
            elif receipt.sha256 != one.sha256 or not receipt.is_signed:
                what = "other bytes" if receipt.sha256 != one.sha256 else "a wrong signature"
                self._counts.note("corrupt", f"{endpoint} got seq {seq} with {what}")
        self._judge_duplicates(seq, endpoint, receipts)

    def _judge_duplicates(self, seq: int, endpoint: str, receipts: list[Receipt]) -> None:
        accepted = Counter(receipt.id for receipt in receipts if 200 <= receipt.answer < 300)
        # Two events for one thing that was sent: no fault explains that, whatever their attempts say.
        for extra in sorted(accepted)[1:]:
            self._counts.note("duplicates_unexplained", f"seq {seq} became a second event, {extra}")
        arrived = Counter(receipt.id for receipt in receipts)
        for event_id, count in arrived.items():
            deliveries = [
                delivery
                for delivery in self._deliveries.get((seq, endpoint), ())
                if delivery.event_id == event_id
            ]
            attempts = [outcome for delivery in deliveries for outcome in delivery.outcomes]
            self._counts.unlogged += max(0, count - len(attempts))
            repeats = max(0, accepted[event_id] - 1)
            # A job sends each delivery once, however often the node dies that runs it.
            jobs = sum(job.endpoint == endpoint for job in self._engine.replays)
            replayed = min(repeats, jobs, sum(delivery.replays_delivered for delivery in deliveries))
            self._counts.replayed += replayed
            repeats -= replayed
            explained = min(repeats, sum(outcome in UNCERTAIN for outcome in attempts))
            self._counts.duplicates_explained += explained
            for _ in range(repeats - explained):
                self._counts.note(
                    "duplicates_unexplained", f"{endpoint} accepted seq {seq} again; its attempts: {attempts}"
                )

    def _judge_pair(self, one: Sent, endpoint: str) -> None:
        """What was acked must have arrived, or be shown as exhausted, or still be owed (which is then stuck)."""
        pair = (one.seq, endpoint)
        states = {delivery.state for delivery in self._deliveries.get(pair, ())}
        is_acked = one.answer == "acked"
        self._counts.owed += is_acked
        if any(200 <= receipt.answer < 300 for receipt in self._receipts.get(pair, ())):
            if states & _OWED:
                self._counts.note("stuck", f"seq {one.seq} for {endpoint} arrived and is still {states}")
            return
        if "succeeded" in states:
            self._counts.note("false_success", f"seq {one.seq} for {endpoint} never arrived")
        if "exhausted" in states:
            self._counts.dead += is_acked
        elif states & _OWED:
            self._counts.note("stuck", f"seq {one.seq} for {endpoint} is still {states}")
        elif is_acked:
            # No row, a row that says delivered, or a row nobody asked to cancel: it will never be sent.
            self._counts.note(
                "lost", f"seq {one.seq} ({one.manner}) for {endpoint}: {states or 'no delivery'}"
            )

    def _judge_execution(self, one: Sent) -> None:
        status = self._engine.executions.get(one.id or "")
        if status is None:
            self._counts.note("lost", f"execution {one.id} of seq {one.seq} is not there")
        elif status not in _ENDED:
            self._counts.note("stuck", f"execution {one.id} of seq {one.seq} is still {status}")

    def _judge_replay(self, job: ReplayAccount) -> None:
        """A job comes to its end, and what it says it handed over was sent again."""
        if job.status != "completed":
            self._counts.note("stuck", f"replay {job.id} is still {job.status}")
        sent_again = sum(
            delivery.replays > 0 for delivery in self._engine.deliveries if delivery.endpoint == job.endpoint
        )
        if sent_again < job.reopened:
            self._counts.note(
                "lost", f"replay {job.id} handed over {job.reopened}, of which {sent_again} were sent again"
            )

    def _judge_order(self, endpoint: str) -> None:
        """What was acked before something else was sent arrives before it. Repeats may come at any time."""
        firsts = [
            (min(receipt.at for receipt in receipts if 200 <= receipt.answer < 300), self._sent[seq])
            for (seq, name), receipts in self._receipts.items()
            if name == endpoint and seq in self._sent and any(200 <= one.answer < 300 for one in receipts)
        ]
        latest = 0.0
        for _, one in sorted(firsts, key=lambda first: first[0]):
            if one.answer == "acked" and one.ended_at < latest:
                self._counts.note(
                    "out_of_order", f"{endpoint} got seq {one.seq} after one that was sent later"
                )
            latest = max(latest, one.began_at)

    def _judge_ends(self) -> None:
        """An execution ends once."""
        ends = Counter(event.execution_id for event in self._engine.events if event.execution_id)
        for execution_id, count in ends.items():
            for _ in range(count - 1):
                self._counts.note("duplicates_unexplained", f"execution {execution_id} ended {count} times")


def bound(trials: int) -> float:
    """The rule of three: with none lost in so many, the true share is below this, at 95 %. 1.0 for none."""
    return 3 / trials if trials > 3 else 1.0
