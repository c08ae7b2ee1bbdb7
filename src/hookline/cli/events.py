"""``hookline events``: publish facts of your own, and read the feed."""

from __future__ import annotations

import time
from typing import Any, Final

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client
from hookline.cli.options import Data, Json, Limit, read_verbatim

app = App(name="events", help="Publish, list and follow events.")

# The feed is asked again this long after it had nothing new.
_IDLE_SECONDS: Final = 1.0


@app.command
def publish(
    type: str,
    *,
    data: Data = None,
    id: str | None = None,
    ordering_key: str | None = None,
    json: Json = False,
) -> None:
    """Publish an event; every matching webhook gets it.

    For example:

    ```
    hookline events publish order.paid --data '{"order": 17}'
    hookline events publish order.paid --data @order.json --id order-17-paid
    ```

    Parameters
    ----------
    type
        What happened, such as `order.paid`.
    id
        Your own id for it: publishing the same id again changes nothing.
    ordering_key
        Ordered webhooks get the events of one key in the order of publishing.
    """
    given = {"type": type, "data": read_verbatim(data), "id": id, "ordering_key": ordering_key}
    body = {name: value for name, value in given.items() if value is not None}
    answer = Client.from_environment().post("/api/v1/events", body)
    if json:
        show.as_json(answer)
        return
    show.sheet(answer.items())
    if answer["duplicate"]:
        show.line(
            f"There was an event {answer['id']} already: it stands as it was published first, nothing new is sent.",
            "yellow",
        )


@app.command(name="list")
def list_(
    *,
    after: str | None = None,
    type: str | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List events, oldest first; the feed never skips one.

    For example:

    ```
    hookline events list --limit 10
    hookline events list --after CURSOR --json
    hookline events list --type order.paid
    ```

    Parameters
    ----------
    after
        Cursor that an earlier list ended with.
    type
        Only events of exactly this type.
    """
    client = Client.from_environment()
    page = client.get("/api/v1/events", after=after, type=type, limit=limit)
    if json:
        show.as_json(page)
        return
    show.table(
        show.columns("id", "type", ("timestamp", "when"), ("execution_id", "execution")),
        page["events"],
        spare=("execution_id", "timestamp"),
        empty=show.none_found("no events yet: publish one with `hookline events publish TYPE`", after, type),
    )
    if len(page["events"]) == limit and _has_more(client, page["next"], type):
        show.line(f"more with --after {page['next']}", "dim")


def _has_more(client: Client, after: str, type_: str | None) -> bool:
    return bool(client.get("/api/v1/events", after=after, type=type_, limit=1)["events"])


@app.command
def tail(*, after: str | None = None, json: Json = False) -> None:
    """Print events as they happen, until Ctrl-C.

    Begins with what happens from now on, or after a cursor.

    For example:

    ```
    hookline events tail
    hookline events tail --json | jq .type
    ```

    Parameters
    ----------
    after
        Cursor to go on from.
    """
    client = Client.from_environment()
    cursor = after if after is not None else end_of_feed(client)
    while True:
        page = client.get("/api/v1/events", after=cursor, limit=500)
        for event in page["events"]:
            _print(event, as_json=json)
        cursor = page.get("next") or cursor
        if not page["events"]:
            time.sleep(_IDLE_SECONDS)


def end_of_feed(client: Client) -> str | None:
    """Return the cursor after the last event there is."""
    cursor = None
    while True:
        page = client.get("/api/v1/events", after=cursor, limit=500)
        cursor = page.get("next") or cursor
        if not page["events"]:
            return cursor


def _print(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(event, ensure_ascii=False, separators=(",", ":")), flush=True)
        return
    show.line(f"{event.get('timestamp')}  {event.get('type'):<32} {event.get('id')}")
