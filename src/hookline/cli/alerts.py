"""``hookline alerts``: what the owners of webhooks were told, and who wants to hear no more of it for a while."""

from __future__ import annotations

from typing import Any, Literal

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client, segment
from hookline.cli.naming import with_webhook_names
from hookline.cli.options import Json, Limit
from hookline.cli.sheets import answer_word

app = App(name="alerts", help="See which webhooks are in trouble, and for how long.")


@app.command(name="list")
def list_(
    *,
    state: Literal["open", "closed"] | None = None,
    webhook: str | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List alerts, newest first.

    For example:

    ```
    hookline alerts list --state open
    hookline alerts list --webhook wh_…
    ```

    Parameters
    ----------
    state
        Only open ones, or only those that are over.
    webhook
        Only those of this webhook.
    """
    client = Client.from_environment()
    found = client.pages("/api/v1/alerts", "alerts", limit=limit, state=state, webhook_id=webhook)
    if not json:
        found = [alert | {"last": _last(alert)} for alert in with_webhook_names(client, found)]
    show.listing(
        found,
        show.columns(
            "id",
            "webhook",
            "cause",
            "state",
            ("opened_at", "since"),
            "failures",
            ("last", "last answer"),
            ("closed_at", "until"),
            ("snoozed_until", "snoozed until"),
        ),
        json=json,
        spare=("snoozed_until", "closed_at", "last", "failures", "opened_at"),
        empty=show.none_found("no alerts: nothing has failed", state, webhook),
    )


@app.command
def snooze(alert_id: str, /, *, hours: float = 24, json: Json = False) -> None:
    """Send no mail about an alert for a while; it is still listed, and its events still go out.

    For example:

    ```
    hookline alerts snooze alr_… --hours 8
    hookline alerts snooze alr_… --hours 0   # hear of it again
    ```

    Parameters
    ----------
    alert_id
        Its id from `hookline alerts list`.
    hours
        For how long, 720 at most.
    """
    path = f"/api/v1/alerts/{segment(alert_id)}/snooze"
    alert = Client.from_environment().post(path, {"hours": hours})
    if json:
        show.as_json(alert)
    elif alert["snoozed_until"] is None:
        show.line(f"{alert_id} is told of again", "green")
    else:
        show.line(f"no mail about {alert_id} until {alert['snoozed_until']}", "yellow")


def _last(alert: dict[str, Any]) -> str | None:
    return answer_word(alert["last_failure"]) if alert["last_failure"] else alert["reason"]
