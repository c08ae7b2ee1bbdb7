"""Deliveries sent again now, many of them, as a person meets it: how many, may I, how far, what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.cli import show
from hookline.cli.client import AnswerError, Client, segment
from hookline.cli.options import confirm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PAGE: Final = 100
"""Deliveries read at a time before they are sent again, so that none has ended meanwhile by itself."""

_MOST_COUNTED: Final = 500

_OF_ONE_ALONE: Final = frozenset({404, 409})
"""Refusals that say something of the one delivery; after any other the next would be refused, too."""


def retry_all_of(client: Client, webhook_id: str, state: str, *, yes: bool, is_shown: bool) -> dict[str, Any]:
    """Ask, then send again what a webhook has in that state. Returns what ``retry_each`` does."""
    total = sum(1 for _ in _ids(client, webhook_id, state, page=_MOST_COUNTED))
    if total:
        confirm(f"Send {_many(total, state)} of {webhook_id} again now?", yes=yes)
    elif is_shown:
        _note_none(client, webhook_id, state)
    return retry_each(client, _ids(client, webhook_id, state, page=_PAGE), total=total, is_shown=is_shown)


def retry_each(client: Client, ids: Iterable[str], *, total: int, is_shown: bool) -> dict[str, Any]:
    """Make each due now, with a bar.

    Returns ``retried``, how many are due, ``held``, how many are not because their webhook takes nothing now, and
    ``refused``, each with its id and why. Raises CommandError when the server refuses all, not one.
    """
    from rich.progress import Progress

    retried, held, refused = 0, 0, []
    with Progress(console=show.console(), transient=True, disable=not is_shown) as bar:
        task = bar.add_task("retrying", total=max(1, total))
        for id_ in ids:
            try:
                is_held = client.post(f"/api/v1/deliveries/{segment(id_)}/retry")["state"] == "held"
                held, retried = held + is_held, retried + (not is_held)
            except AnswerError as error:
                if error.status not in _OF_ONE_ALONE:
                    raise
                refused.append({"id": id_, "message": str(error)})
            bar.advance(task)
    return {"retried": retried, "held": held, "refused": refused}


def show_retried(done: dict[str, Any]) -> None:
    """Print the count, and beside it each refusal and what is still held."""
    for one in done["refused"]:
        show.note(f"{one['id']}: {one['message']}")
    if done["held"]:
        show.note(f"{done['held']} held until the webhook takes events again: `hookline webhooks resume ID`")
    noun = "delivery is" if done["retried"] == 1 else "deliveries are"
    show.line(f"{done['retried']} {noun} due now", "green" if done["retried"] else "")


def _note_none(client: Client, webhook_id: str, state: str) -> None:
    """Say that nothing is in that state; of what is held, which is why most often, the command that sends it."""
    webhook = client.get(f"/api/v1/webhooks/{segment(webhook_id)}")
    show.note(f"no {state} deliveries of {webhook_id}")
    if webhook["status"] != "active" and state != "held":
        show.note(
            f"it is {webhook['status']} and what comes is held: `hookline webhooks resume {webhook_id}`"
        )


def note_pending(client: Client, webhook_id: str | None) -> None:
    """Say beside a replay, which sends again only what ended, what still waits and the command for it."""
    waiting = client.pages(
        "/api/v1/deliveries", "deliveries", limit=_MOST_COUNTED, state="pending", webhook_id=webhook_id
    )
    if not waiting:
        return
    or_more = " or more" if len(waiting) == _MOST_COUNTED else ""
    verb = "waits" if len(waiting) == 1 and not or_more else "wait"
    show.note(
        f"{len(waiting)}{or_more} more still {verb} for the next try (pending), which no replay sends sooner: "
        f"`hookline deliveries retry --webhook {webhook_id or 'ID'}` does"
    )


def _ids(client: Client, webhook_id: str, state: str, *, page: int) -> Iterator[str]:
    """Every delivery's id, newest first. What comes in after the first page was read is not among them."""
    cursor = None
    while True:
        answer = client.get(
            "/api/v1/deliveries", webhook_id=webhook_id, state=state, limit=page, cursor=cursor
        )
        yield from [one["id"] for one in answer["deliveries"]]
        cursor = answer.get("next")
        if cursor is None:
            return


def _many(count: int, state: str) -> str:
    return f"1 {state} delivery" if count == 1 else f"{count} {state} deliveries"
