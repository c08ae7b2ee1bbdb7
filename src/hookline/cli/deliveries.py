"""``hookline deliveries``: what is owed, what was sent, and sending it again."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client, segment
from hookline.cli.options import Json, Limit
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
    found = Client.from_environment().pages(
        "/api/v1/deliveries", "deliveries", limit=limit, state=state, webhook_id=webhook
    )
    if json:
        show.as_json(found)
        return
    show.table(
        show.columns(
            "id",
            ("event_type", "event"),
            "webhook_id",
            "state",
            ("attempts_made", "attempts"),
            ("last_status", "HTTP"),
            ("next_attempt_at", "next"),
            ("created_at", "created"),
        ),
        found,
        empty="no deliveries: none of the events so far matched a webhook",
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


@app.command
def retry(delivery_id: str, /, *, json: Json = False) -> None:
    """Send a delivery again now, whatever its state; the bytes are the same.

    For example:

    ```
    hookline deliveries retry dlv_…
    ```

    Parameters
    ----------
    delivery_id
        Its id from `hookline deliveries list`.
    """
    answer = Client.from_environment().post(f"/api/v1/deliveries/{segment(delivery_id)}/retry")
    if json:
        show.as_json(answer)
        return
    show.line(f"{delivery_id} is due now", "green")
