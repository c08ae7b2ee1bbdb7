"""Read what the engine says of itself, through its public API and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hookline.testing.crashtest.script import is_end
from hookline.testing.crashtest.verdict import (
    DeliveryAccount,
    EngineAccount,
    EventAccount,
    ReplayAccount,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hookline.testing.crashtest.ledgers import Receipt
    from hookline.testing.nodes import Api

_POLL_SECONDS: Final = 0.1
_QUIET_SECONDS: Final = 2.5
_MOST_PATIENCE: Final = 5
"""Times the wait for something to move: what goes on for longer than that is as good as stuck."""

_PAGE: Final = 500
_OPEN_DELIVERIES: Final = ("pending", "in_flight", "held")
_PLAIN: Final = {"outcome": "delivered", "cause": "live"}
_OPEN_EXECUTIONS: Final = ("queued", "running", "waiting")


def quiesce(
    api: Api, *, seconds: float, told: Callable[[str], None], progress: Callable[[], int] = int
) -> float:
    """Wait until nothing is owed and nothing runs, as long as ``progress`` goes on and so long after it last did.
    Returns the seconds it took.

    It does not raise when the time is over: what is still open then is counted as stuck. Events that wait for a batch
    are no deliveries yet, so it must stay quiet for longer than a node takes to find what another left behind.
    progress: any number that changes while receivers are still served: a busy machine is slow, and that is not stuck.
    """
    began = quiet_since = moved_at = time.monotonic()
    reached = progress()
    while time.monotonic() - moved_at < seconds and time.monotonic() - began < _MOST_PATIENCE * seconds:
        took = time.monotonic() - began
        if (now_reached := progress()) != reached:
            reached, moved_at = now_reached, time.monotonic()
        is_open = _first_open(api)
        if is_open is None:
            if time.monotonic() - quiet_since > _QUIET_SECONDS:
                return took
            time.sleep(_POLL_SECONDS)
            continue
        quiet_since = time.monotonic()
        told(f"quiesce: {is_open}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _first_open(api: Api) -> str | None:
    for state in _OPEN_DELIVERIES:
        if api.call("GET", f"/api/v1/deliveries?state={state}&limit=1")["deliveries"]:
            return f"deliveries {state}"
    for status in _OPEN_EXECUTIONS:
        if api.call("GET", f"/api/v1/executions?status={status}&limit=1")["executions"]:
            return f"executions {status}"
    if any(job["status"] == "running" for job in api.call("GET", "/api/v1/replays")["replays"]):
        return "a replay"
    return None


def read_account(api: Api, names: Mapping[str, str], receipts: Iterable[Receipt]) -> EngineAccount:
    """Everything the verdict needs. names: endpoint by webhook id.

    Attempts are fetched one delivery at a time, so only where they decide something: where the receiver saw
    something else than one accepted request, or the engine says something else than one attempt.
    """
    seen = Counter((receipt.id, receipt.endpoint) for receipt in receipts)
    events = _events(api)
    deliveries = []
    for row in api.pages("/api/v1/deliveries", "deliveries", limit=_PAGE):
        endpoint = names.get(row["webhook_id"], row["webhook_id"])
        if row["batch_id"] is not None:
            deliveries += _of_batch(api, row, endpoint)
            continue
        event_id = row["event_id"]
        is_plain = row["state"] == "succeeded" and row["attempts_made"] == 1 and seen[event_id, endpoint] == 1
        attempts = [_PLAIN] if is_plain else api.call("GET", f"/api/v1/deliveries/{row['id']}")["attempts"]
        of_replay = [one for one in attempts if one["cause"] == "replay"]
        deliveries.append(
            DeliveryAccount(
                id=row["id"],
                event_id=event_id,
                endpoint=endpoint,
                state=row["state"],
                outcomes=tuple([one["outcome"] for one in attempts]),
                replays=len(of_replay),
                replays_delivered=sum(one["outcome"] == "delivered" for one in of_replay),
            )
        )
    executions = {
        row["id"]: row["status"] for row in api.pages("/api/v1/executions", "executions", limit=_PAGE)
    }
    replays = [
        ReplayAccount(
            id=row["id"],
            endpoint=names.get(row["webhook_id"], ""),
            status=row["status"],
            reopened=row["reopened"],
        )
        for row in api.pages("/api/v1/replays", "replays", limit=_PAGE)
    ]
    return EngineAccount(events=events, deliveries=deliveries, executions=executions, replays=replays)


def _of_batch(api: Api, row: Mapping[str, Any], endpoint: str) -> list[DeliveryAccount]:
    """A batch's delivery as one for each of its events."""
    whole = api.call("GET", f"/api/v1/deliveries/{row['id']}")
    outcomes = tuple(attempt["outcome"] for attempt in whole["attempts"])
    return [
        DeliveryAccount(
            id=row["id"], event_id=event_id, endpoint=endpoint, state=row["state"], outcomes=outcomes
        )
        for event_id in whole["event_ids"]
    ]


def _events(api: Api) -> list[EventAccount]:
    """The whole feed, ascending."""
    found: list[EventAccount] = []
    after = ""
    while True:
        page = api.call("GET", f"/api/v1/events?limit={_PAGE}{after}")
        found += [_event(row) for row in page["events"]]
        if not page["events"] or not page.get("next"):
            return found
        after = f"&after={page['next']}"


def _event(row: Mapping[str, Any]) -> EventAccount:
    data = row["data"] if isinstance(row["data"], dict) else {}
    source = data.get("input_data") if is_end(row["type"]) else data
    seq = source.get("seq") if isinstance(source, dict) else None
    return EventAccount(
        id=row["id"],
        seq=seq if isinstance(seq, int) else -1,
        execution_id=row.get("execution_id") if is_end(row["type"]) else None,
    )
