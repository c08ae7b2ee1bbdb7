"""``hookline deliveries``: what is owed, what was sent, and sending it again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.instants import Instant
from hookline.cli.naming import with_webhook_names
from hookline.cli.options import Json, Limit, Stay, Yes
from hookline.cli.replaying import confirm_replay, follow, how_many
from hookline.cli.retrying import note_pending, retry_all_of, retry_each, show_retried
from hookline.cli.sheets import show_delivery

app = App(name="deliveries", help="See what was sent, and send it again.")

State = Literal["pending", "in_flight", "succeeded", "held", "exhausted", "cancelled"]


@app.command(name="list")
def list_(
    *, state: State | None = None, webhook: str | None = None, limit: Limit = 50, json: Json = False
) -> None:
    """List deliveries, newest first.

    For example:

    ```
    hookline deliveries list --state exhausted
    hookline deliveries list --webhook wh_… --limit 10
    ```

    Parameters
    ----------
    state
        Only those in this state.
    webhook
        Only those owed to this webhook.
    """
    client = Client.from_environment()
    found = client.pages("/api/v1/deliveries", "deliveries", limit=limit, state=state, webhook_id=webhook)
    if json:
        show.as_json(found)
        return
    show.table(
        show.columns(
            "id",
            ("event_type", "event"),
            "webhook",
            "state",
            ("attempts_made", "attempts"),
            ("last_status", "HTTP"),
            ("next_attempt_at", "next"),
            ("created_at", "created"),
        ),
        with_webhook_names(client, found),
        spare=("created_at", "next_attempt_at", "last_status", "attempts_made", "webhook"),
        empty=show.none_found("no deliveries: none of the events so far matched a webhook", state, webhook),
    )


@app.command(name="show")
def show_(delivery_id: str, /, *, json: Json = False) -> None:
    """Show a delivery with every attempt.

    For example:

    ```
    hookline deliveries show dlv_…
    ```

    Parameters
    ----------
    delivery_id
        Its id from `hookline deliveries list`.
    """
    delivery = Client.from_environment().get(f"/api/v1/deliveries/{segment(delivery_id)}")
    show.as_json(delivery) if json else show_delivery(delivery)


Retriable = Literal["pending", "exhausted", "held"]


@app.command
def retry(
    *delivery_ids: str,
    webhook: str | None = None,
    state: Retriable | None = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Send deliveries again now, whatever their state; the bytes are the same.

    With `--webhook`, all that wait for their next try: after its receiver is mended, nobody need wait for hours.

    For example:

    ```
    hookline deliveries retry dlv_…
    hookline deliveries retry --webhook wh_…
    hookline deliveries retry --webhook wh_… --state exhausted --yes
    ```

    Parameters
    ----------
    delivery_ids
        Their ids from `hookline deliveries list`.
    webhook
        Instead of ids: all of this webhook that are in `--state`.
    state
        With `--webhook`: which ones; `pending` if left out.
    """
    if bool(delivery_ids) == (webhook is not None):
        raise CommandError("name deliveries by their ids, or all of one webhook with --webhook ID")
    if state is not None and webhook is None:
        raise CommandError("--state goes with --webhook ID: a delivery named by its id is sent in any state")
    client = Client.from_environment()
    if len(delivery_ids) == 1:
        answer = client.post(f"/api/v1/deliveries/{segment(delivery_ids[0])}/retry")
        show.as_json(answer) if json else show.line(f"{delivery_ids[0]} is due now", "green")
        return
    if webhook is not None:
        done = retry_all_of(client, webhook, state or "pending", yes=yes, is_shown=not json)
    else:
        done = retry_each(client, delivery_ids, total=len(delivery_ids), is_shown=not json)
    show.as_json(done) if json else show_retried(done)
    if done["refused"]:
        raise CommandError(f"{len(done['refused'])} could not be sent again: each says why")


Replayable = Literal["succeeded", "exhausted", "held", "cancelled"]


@app.command
def replay(
    *,
    since: Instant,
    until: Instant | None = None,
    webhook: str | None = None,
    state: list[Replayable] | None = None,
    types: Annotated[list[str] | None, Parameter(name="--type")] = None,
    rate: float | None = None,
    include_never_attempted: Annotated[bool, Parameter(negative=())] = False,
    dry_run: bool = False,
    yes: bool = False,
    wait: Stay = True,
    json: Json = False,
) -> None:
    """Send many deliveries again, oldest first: says how many, asks, then shows how far it is.

    For example:

    ```
    hookline deliveries replay --since 2026-07-28T09:00:00Z --state exhausted
    hookline deliveries replay --since 2026-07-28T09:00:00Z --webhook wh_… --rate 20 --yes
    hookline deliveries replay --since yesterday --dry-run
    hookline deliveries replay --since 2026-07-28T09:00:00Z --webhook wh_… --include-never-attempted
    ```

    Parameters
    ----------
    since
        Deliveries created at or after this time: RFC 3339, a date, `today`, `yesterday`, or how long ago, as `2h`.
    until
        Only those created before this time, written as for `--since`; now if left out.
    webhook
        Only those of this webhook.
    state
        Only those in this state; may be repeated. Succeeded and exhausted ones if left out.
    types
        Only events of this type, which may hold `*`; may be repeated.
    rate
        How many a second; 100 if left out.
    include_never_attempted
        Also events that the webhook would get now and never did: it was created, or widened, after them.
    dry_run
        Only say how many.
    yes
        Do not ask.
    wait
        Stay until it is done; the server goes on without.
    """
    client = Client.from_environment()
    wanted = {
        "since": since,
        "until": until,
        "webhook_id": webhook,
        "state": state or None,
        "types": types or [],
        "rate_per_second": rate,
        "include_never_attempted": include_never_attempted or None,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    preview = client.post("/api/v1/replays", wanted | {"dry_run": True})
    note_pending(client, webhook)
    if dry_run:
        show.as_json(preview) if json else show.line(how_many(preview, "deliveries"))
        return
    if not yes:
        confirm_replay(preview, "deliveries", would="send", question="Send them again?")
    made = client.post("/api/v1/replays", wanted | {"until": preview["until"]})
    ended = follow(client, made, is_shown=not json) if wait else made
    show.as_json(ended) if json else _show_ended(ended)


def _show_ended(job: dict[str, Any]) -> None:
    show.line(
        f"{job['id']} {job['status']}: {job['reopened'] + job['added']} handed over, {job['skipped']} skipped",
        "green" if job["status"] in {"completed", "running"} else "yellow",
    )
