"""``hookline webhooks``: which events go to which URL."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import rotating, show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.deleting import delete_for_good
from hookline.cli.options import Data, Json, Limit, Yes, read_fields, read_verbatim
from hookline.cli.sheets import health_line, show_webhook

app = App(name="webhooks", help="Say which events go to which URL, and how they fare.")

_EVENT = Parameter(
    name=["--event", "--events", "-e"],
    help="Event type or pattern such as `workflow.*`; may be repeated, or several parted by commas.",
)
_MORE = Parameter(
    name="--set", help="JSON object with any other field of the API, such as `'{\"max_in_flight\": 4}'`."
)

_OWN = Parameter(
    name="--set",
    help='Your own `{"secret": "whsec_…"}` or `{"signing_key": "whsk_…"}` in place of fresh ones.',
)


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List webhooks with their health.

    For example:

    ```
    hookline webhooks list
    ```
    """
    found = Client.from_environment().pages("/api/v1/webhooks", "webhooks", limit=limit)
    if not json:
        found = [webhook | {"health": health_line(webhook)} for webhook in found]
    show.listing(
        found,
        show.columns(
            "id",
            "name",
            "url",
            "events",
            "status",
            "health",
            ("last_delivery", "last delivery"),
            ("delivery_stats.successful_deliveries", "delivered"),
            ("delivery_stats.failed_deliveries", "failed"),
        ),
        json=json,
        spare=(
            "delivery_stats.successful_deliveries",
            "last_delivery",
            "events",
            "url",
            "delivery_stats.failed_deliveries",
        ),
        empty="no webhooks yet: make one with `hookline webhooks create URL --event 'workflow.*'`",
    )


@app.command
def create(
    url: str,
    /,
    *,
    event: Annotated[list[str] | None, _EVENT] = None,
    name: str | None = None,
    dialect: str | None = None,
    bearer: str | None = None,
    set: Annotated[str | None, _MORE] = None,
    json: Json = False,
) -> None:
    """Register a webhook and print its signing secret, once.

    For example:

    ```
    hookline webhooks create https://example.com/hooks --event 'workflow.*'
    hookline webhooks create https://example.com/paid -e order.paid --dialect standard
    hookline webhooks create https://example.com/hooks -e '*' --bearer s3cret --set '{"rate_per_second": 5}'
    ```

    Parameters
    ----------
    url
        Where deliveries go. Private addresses must be allowed by the server's operator.
    name
        What people call it; the URL's host and the end of its path when not given.
    dialect
        How events are worded: `agenticflow` (when not given), `standard`, `cloudevents`, `raw`, `phantombuster`,
        `maxun`, `maxun-src` or `phantomflow`.
    bearer
        Token that each delivery carries as `Authorization: Bearer`.
    """
    patterns = _patterns(event)
    if not patterns:
        raise CommandError(
            "say which events it gets: --event 'workflow.*', --event order.paid, or --event '*' for all"
        )
    given = {"url": url, "events": patterns, "name": name, "dialect": dialect}
    body: dict[str, Any] = {word: value for word, value in given.items() if value is not None}
    if bearer is not None:
        body["authentication"] = {"type": "bearer", "token": bearer}
    client = Client.from_environment()
    made = client.post("/api/v1/webhooks", body | read_fields(set))
    _one(made, json=json)
    if not json:
        _doubt(client, made["events"])


@app.command(name="show")
def show_(webhook_id: str, /, *, json: Json = False) -> None:
    """Show one webhook.

    For example:

    ```
    hookline webhooks show wh_01990000-0000-7000-8000-000000000000
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    _one(Client.from_environment().get(_path(webhook_id)), json=json)


@app.command
def update(
    webhook_id: str,
    /,
    *,
    url: str | None = None,
    event: Annotated[list[str] | None, _EVENT] = None,
    name: str | None = None,
    set: Annotated[str | None, _MORE] = None,
    json: Json = False,
) -> None:
    """Change a webhook; what is not given stays as it is.

    For example:

    ```
    hookline webhooks update wh_… --url https://new.example.com/hooks
    hookline webhooks update wh_… --set '{"retry_policy": {"max_retries": 3, "backoff_multiplier": 2}}'
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    url
        New URL.
    name
        New name.
    """
    given = {"url": url, "events": _patterns(event) or None, "name": name}
    body = {word: value for word, value in given.items() if value is not None}
    body |= read_fields(set)
    if not body:
        raise CommandError("nothing to change: give --url, --event, --name or --set")
    _one(Client.from_environment().call("PUT", _path(webhook_id), body=body), json=json)


@app.command
def delete(webhook_id: str, /, *, yes: Yes = False) -> None:
    """Delete a webhook; nothing more is sent to it, not even what waits.

    For example:

    ```
    hookline webhooks delete wh_… --yes
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    delete_for_good(
        _path(webhook_id), webhook_id, f"Delete {webhook_id} and cancel what waits for it?", yes=yes
    )


@app.command
def test(webhook_id: str, /, *, event: str | None = None, data: Data = None, json: Json = False) -> int:
    """Send a test event now and print the receiver's answer.

    For example:

    ```
    hookline webhooks test wh_…
    hookline webhooks test wh_… --event order.paid --data '{"order": 17}'
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    event
        Type of the test event.
    """
    body: dict[str, Any] = {"event": event} if event is not None else {}
    if data is not None:
        body["test_data"] = read_verbatim(data)
    answer = Client.from_environment().post(_path(webhook_id, "/test"), body)
    show.as_json(answer) if json else show.sheet(answer.items())
    return 0 if answer.get("success", True) else 1


@app.command
def logs(webhook_id: str, /, *, limit: Limit = 50, json: Json = False) -> None:
    """Show what was sent to a webhook and what it answered.

    For example:

    ```
    hookline webhooks logs wh_… --limit 10
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    found = Client.from_environment().pages(_path(webhook_id, "/logs"), "logs", limit=limit)
    show.listing(
        found if json else [one | {"id": one["delivery_id"]} for one in found],
        show.columns(
            ("id", "delivery"),
            ("timestamp", "when"),
            "event",
            "status",
            ("response_code", "HTTP"),
            ("response_time_ms", "took"),
            "attempts",
            ("payload_size", "bytes"),
        ),
        json=json,
        spare=("payload_size", "response_time_ms", "timestamp", "attempts"),
        empty="nothing was sent to it yet",
    )


@app.command
def stats(webhook_id: str, /, *, window: str | None = None, json: Json = False) -> None:
    """Show a webhook's counters.

    For example:

    ```
    hookline webhooks stats wh_… --window 24h
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    window
        How far back to count, such as `1h` or `7d`.
    """
    answer = Client.from_environment().get(_path(webhook_id, "/stats"), window=window)
    if json:
        show.as_json(answer)
        return
    latency = ", ".join(
        f"{share} {show.took(value)}" for share, value in answer["latency_ms"].items() if value
    )
    classes = ", ".join(f"{count} {word}" for word, count in answer["by_class"].items())
    left_out = {"latency_ms", "by_class", "series", "step_seconds"}
    show.sheet((name, value) for name, value in answer.items() if name not in left_out)
    show.sheet([("latency", latency or "nothing was measured"), ("answers", classes or "none")])


@app.command
def pause(webhook_id: str, /) -> None:
    """Hold a webhook's events until it is resumed; nothing is lost.

    For example:

    ```
    hookline webhooks pause wh_…
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    Client.from_environment().post(_path(webhook_id, "/pause"))
    show.line(f"{webhook_id} is paused; its events are held", "yellow")


@app.command
def resume(webhook_id: str, /) -> None:
    """Send again, beginning with what was held.

    For example:

    ```
    hookline webhooks resume wh_…
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    Client.from_environment().post(_path(webhook_id, "/resume"))
    show.line(f"{webhook_id} is active", "green")


@app.command
def rotate(
    webhook_id: str,
    /,
    *,
    finish: rotating.Finish = False,
    set: Annotated[str | None, _OWN] = None,
    json: Json = False,
) -> None:
    """Make a new signing secret and print it, once; the key pair of a webhook that has one is new, too.

    For 24 hours both secrets sign, so that receivers can be moved over without a gap.

    For example:

    ```
    hookline webhooks rotate wh_…
    hookline webhooks rotate wh_… --finish   # every receiver has the new secret: drop the old one
    ```

    Parameters
    ----------
    webhook_id
        Its id from `hookline webhooks list`.
    """
    path = _path(webhook_id, "/secret/rotate")
    rotating.rotate(path, finish=finish, own=set, command=f"hookline webhooks rotate {webhook_id}", json=json)


def _path(webhook_id: str, rest: str = "") -> str:
    return f"/api/v1/webhooks/{segment(webhook_id)}{rest}"


def _patterns(given: list[str] | None) -> list[str]:
    """Every pattern of an option that may be repeated and hold several."""
    return [one.strip() for text in given or () for one in text.split(",") if one.strip()]


def _doubt(client: Client, patterns: list[str]) -> None:
    """Say which patterns look like a built-in event's and fit none: they are valid, since any type may be published."""
    types = [each["type"] for each in client.get("/api/v1/event-types")["event_types"]]
    families = {type_.partition(".")[0] for type_ in types}
    for pattern in patterns:
        family = pattern.partition(".")[0].rstrip("*")
        is_meant = family in families or get_close_matches(family, families, cutoff=0.8)
        if is_meant and not any(fnmatchcase(type_, pattern) for type_ in types):
            near = get_close_matches(pattern, [*types, *(f"{known}.*" for known in families)], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            show.line(f"No event that Hookline makes fits {pattern!r}{hint}", "yellow")


def _one(webhook: dict[str, Any], *, json: bool) -> None:
    show.as_json(webhook) if json else show_webhook(webhook)
