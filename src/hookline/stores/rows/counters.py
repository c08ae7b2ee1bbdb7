"""What settled deliveries add to their webhooks' counters, and a minute of them read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookline.model.states import AttemptOutcome, DeliveryState
from hookline.ports import Minute
from hookline.stores.rows.values import MINUTE_MS, from_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hookline.model.ids import Key
    from hookline.ports import Settle


class Counters:
    """What settled deliveries add to their webhooks' counters, summed over one batch.

    Adding is on the hottest path, so like outcomes are only counted there and worded when they are asked for.
    """

    __slots__ = ("_latest", "_like")

    def __init__(self) -> None:
        self._like: dict[tuple[Any, ...], int] = {}
        self._latest: dict[Key, int] = {}

    def __repr__(self) -> str:
        return f"Counters(like={len(self._like)})"

    def add(self, settle: Settle, at_ms: int) -> None:
        """at_ms: ``settle.at``, which every caller has in milliseconds already."""
        webhook, state, attempt = settle.webhook_id, settle.state, settle.attempt
        minute = at_ms - at_ms % MINUTE_MS
        if attempt is None:
            like: tuple[Any, ...] = (webhook, minute, state, None, None, 0)
        else:
            bucket = latency_bucket(attempt.duration_ms)
            like = (webhook, minute, state, attempt.outcome, attempt.status, bucket)
        self._like[like] = self._like.get(like, 0) + 1
        if state is DeliveryState.SUCCEEDED and self._latest.get(webhook, 0) < at_ms:
            self._latest[webhook] = at_ms

    @property
    def minutes(self) -> dict[tuple[Key, int, str], int]:
        """(webhook, start of the minute in ms, what) to count."""
        counts: dict[tuple[Key, int, str], int] = {}
        for (webhook, minute, *like), count in self._like.items():
            for what in _counted(*like):
                place = (webhook, minute, what)
                counts[place] = counts.get(place, 0) + count
        return counts

    @property
    def totals(self) -> dict[Key, list[Any]]:
        """Webhook to [delivered, exhausted, latest successful end in ms or None], if any of them ended so."""
        totals: dict[Key, list[Any]] = {}
        for (webhook, _, state, *_rest), count in self._like.items():
            if state is DeliveryState.SUCCEEDED or state is DeliveryState.EXHAUSTED:
                total = totals.setdefault(webhook, [0, 0, self._latest.get(webhook)])
                total[state is DeliveryState.EXHAUSTED] += count
        return totals


def _counted(
    state: DeliveryState, outcome: AttemptOutcome | None, status: int | None, bucket: int
) -> Iterator[str]:
    """The counters that one outcome raises. A delivery that a node died holding was no HTTP attempt we know of."""
    if outcome is not None and outcome is not AttemptOutcome.INTERRUPTED:
        yield "attempt"
        if outcome is not AttemptOutcome.DELIVERED:
            yield "failed"
        yield f"class:{outcome}" if status is None else f"class:{status // 100}xx"
        yield f"latency:{bucket}"
    if state is DeliveryState.SUCCEEDED:
        yield "delivered"
    elif state is DeliveryState.EXHAUSTED:
        yield "exhausted"


def latency_bucket(duration_ms: int) -> int:
    """Bucket n holds 2^n - 1 to 2^(n+1) - 2 milliseconds."""
    return (max(0, duration_ms) + 1).bit_length() - 1


def minute_from(webhook_id: Key | None, minute_ms: int, counts: dict[str, int]) -> Minute:
    """One minute out of what its counters say. counts: the stored word to its sum over nodes."""
    return Minute(
        webhook_id=webhook_id,
        minute=from_ms(minute_ms),
        delivered=counts.get("delivered", 0),
        exhausted=counts.get("exhausted", 0),
        attempts=counts.get("attempt", 0),
        failed_attempts=counts.get("failed", 0),
        by_class={what[6:]: count for what, count in counts.items() if what.startswith("class:")},
        latency={int(what[8:]): count for what, count in counts.items() if what.startswith("latency:")},
    )


def minutes_from(webhook_id: Key | None, found: Iterable[Sequence[Any]]) -> list[Minute]:
    """Rows of (start of the minute in ms, what, count), ascending by minute, as minutes."""
    by_minute: dict[int, dict[str, int]] = {}
    for minute, what, count in found:
        by_minute.setdefault(minute, {})[what] = count
    return [minute_from(webhook_id, minute, counts) for minute, counts in by_minute.items()]
