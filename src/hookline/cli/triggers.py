"""``hookline triggers``: URLs that start something, who may call them, and what came in on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.deleting import delete_for_good
from hookline.cli.instants import Instant
from hookline.cli.options import Json, Limit, Stay, Yes, confirm, read_fields, read_secret
from hookline.cli.replaying import confirm_replay, follow, how_many
from hookline.cli.sending import send
from hookline.cli.sheets import show_trigger
from hookline.cli.trigger_made import show_made

app = App(name="triggers", help="URLs that start something: who may call them, and what came in.")
app.command(send)

Auth = Literal["token", "basic", "api_key", "signature", "none"]
TriggerId = Annotated[str, Parameter(help="Its id from `hookline triggers list`.")]

_MORE = Parameter(
    name="--set", help='JSON object with any other field of the API, such as `\'{"methods": ["POST"]}\'`.'
)
_SINCE = Parameter(
    help="Requests that came at or after this time: RFC 3339, a date, `today`, `yesterday`, or how long ago, as `2h`."
)
_UNTIL = Parameter(help="Only those that came before this time, written as for `--since`; now if left out.")


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List triggers.

    For example:

    ```
    hookline triggers list
    ```
    """
    found = Client.from_environment().pages("/api/v1/triggers", "triggers", limit=limit)
    show.listing(
        found,
        show.columns(
            "id",
            "name",
            ("automation.kind", "kind"),
            ("automation.id", "automation"),
            "profile",
            ("auth.type", "auth"),
            ("is_enabled", "enabled"),
            "url",
        ),
        json=json,
        spare=("url", "is_enabled", "automation.kind", "profile", "name"),
        empty="no triggers yet: make one with `hookline triggers create workflow ID --auth token`",
    )


@app.command(name="show")
def show_(trigger_id: TriggerId, /, *, json: Json = False) -> None:
    """Show one trigger with its settings.

    For example:

    ```
    hookline triggers show trg_01990000-0000-7000-8000-000000000000
    ```
    """
    _one(Client.from_environment().get(_path(trigger_id)), json=json)


@app.command
def create(
    kind: Literal["workflow", "agent", "script", "robot", "render"],
    automation_id: str,
    /,
    *,
    auth: Auth,
    profile: Literal["agenticflow", "prismatic", "native"] | None = None,
    name: str | None = None,
    preset: str | None = None,
    secret: str | None = None,
    username: str | None = None,
    password: str | None = None,
    set: Annotated[str | None, _MORE] = None,
    json: Json = False,
) -> None:
    """Make a URL that starts an automation; print it with its credential, once, and a command that calls it.

    For example:

    ```
    hookline triggers create workflow orders --auth token --profile native
    hookline triggers create workflow pushes --auth signature --preset github --secret @secret.txt
    hookline triggers create agent support --auth basic --username crm --password @password.txt
    ```

    Parameters
    ----------
    kind
        Kind of the automation.
    automation_id
        Its id, as in `@app.workflow("orders")`.
    auth
        How callers are known: a `token` in the URL or as Bearer, `basic` with name and password, an `api_key` in the
        header Api-Key, the `signature` of their requests, or `none`: whoever knows the URL.
    profile
        How it behaves: `native`, or as the URLs of Prismatic or AgenticFlow do. If left out `agenticflow`, as in the
        API; `native` where that cannot be: for scripts, robots and renders, and with `signature` or `none`.
    name
        What people call it.
    preset
        Who signs: `stripe`, `github`, `slack` and so on; of another sender give the fields with `--set '{"auth": …}'`.
    secret
        What they sign with, or `@FILE` with it, which keeps it out of the shell's history.
    username
        For `basic`.
    password
        For `basic`, or `@FILE` with it.
    """
    given = {"type": auth, "preset": preset, "username": username}
    sealed = {"secret": secret, "password": password}
    known = {field: value for field, value in given.items() if value is not None}
    known |= {field: read_secret(text) for field, text in sealed.items() if text is not None}
    automation = {"kind": kind, "id": automation_id}
    body = _with_more(
        {"automation": automation, "profile": profile or _usual_profile(kind, auth)}, known, set
    )
    if auth == "signature" and not body["auth"].keys() - {"type", "secret"}:
        raise CommandError(
            "say who signs and with what: add --preset github --secret @secret.txt, or give the fields of "
            "another sender with --set"
        )
    if name is not None:
        body["name"] = name
    made = Client.from_environment().post("/api/v1/triggers", body)
    if json:
        show.as_json(made)
    else:
        show_made(made, password=known.get("password"))


def _usual_profile(kind: str, auth: str) -> str:
    """The profile of a trigger of which none is said: the API's own, and ``native`` where that one is refused."""
    is_agenticflow = kind in {"workflow", "agent"} and auth not in {"signature", "none"}
    return "agenticflow" if is_agenticflow else "native"


def _with_more(body: dict[str, Any], auth: dict[str, Any], more: str | None) -> dict[str, Any]:
    """Add what ``--set`` gives; its ``auth`` adds to the one that options gave."""
    fields = read_fields(more)
    more_auth = fields.pop("auth", {})
    if not isinstance(more_auth, dict):
        raise CommandError('--set: auth must be a JSON object, such as \'{"auth": {"preset": "github"}}\'')
    return {**body, "auth": auth | more_auth, **fields}


@app.command
def update(
    trigger_id: TriggerId,
    /,
    *,
    name: str | None = None,
    enabled: Annotated[bool | None, Parameter(negative="--disabled")] = None,
    set: Annotated[str | None, _MORE] = None,
    json: Json = False,
) -> None:
    """Change a trigger; what is not given stays as it is.

    For example:

    ```
    hookline triggers update trg_… --disabled
    hookline triggers update trg_… --set '{"rate_per_second": 5, "ip_allowlist": ["192.0.2.0/24"]}'
    hookline triggers update trg_… --set '{"keep_refused": false}'
    ```

    Parameters
    ----------
    name
        What people call it.
    enabled
        Whether it takes requests; a disabled one looks like one that is not there.
    """
    body: dict[str, Any] = read_fields(set)
    body |= {field: value for field, value in (("name", name), ("is_enabled", enabled)) if value is not None}
    if not body:
        raise CommandError("say what to change: --name, --enabled, --disabled or --set '{…}'")
    _one(Client.from_environment().call("PATCH", _path(trigger_id), body=body), json=json)


@app.command
def rotate(
    trigger_id: TriggerId,
    /,
    *,
    secret: str | None = None,
    overlap: int | None = None,
    json: Json = False,
) -> None:
    """Give a trigger a new credential and print it, once; the old one counts for a while, so no caller fails.

    For example:

    ```
    hookline triggers rotate trg_…
    hookline triggers rotate trg_… --secret @secret.txt --overlap 0
    ```

    Parameters
    ----------
    secret
        The new one of a signature, made by its sender, or `@FILE` with it; a token or key is made here.
    overlap
        Seconds for which the old one counts beside it; a day if left out.
    """
    body: dict[str, Any] = {} if secret is None else {"secret": read_secret(secret)}
    if overlap is not None:
        body["overlap_seconds"] = overlap
    made = Client.from_environment().post(_path(trigger_id, "/rotate"), body)
    _one(made, json=json)
    if not json and secret is not None:
        show.line(
            f"Were requests refused meanwhile? `hookline triggers reverify {trigger_id}` runs the good ones."
        )


@app.command
def delete(trigger_id: TriggerId, /, *, yes: Yes = False) -> None:
    """Delete a trigger; its URL is as if it had never been.

    For example:

    ```
    hookline triggers delete trg_… --yes
    ```
    """
    delete_for_good(_path(trigger_id), trigger_id, f"Delete {trigger_id} and its URL?", yes=yes)


# --- what came in -------------------------------------------------------------------------------------------


@app.command
def replay(
    trigger_id: TriggerId,
    /,
    *,
    since: Annotated[Instant, _SINCE],
    until: Annotated[Instant | None, _UNTIL] = None,
    rate: float | None = None,
    dry_run: bool = False,
    yes: Yes = False,
    wait: Stay = True,
    json: Json = False,
) -> None:
    """Run again what came in and ran, oldest first, from the same bytes: says how many, asks, then shows how far it is.

    For example:

    ```
    hookline triggers replay trg_… --since 2026-07-28T09:00:00Z
    hookline triggers replay trg_… --since 2026-07-28T09:00:00Z --until 2026-07-28T10:00:00Z --rate 2 --yes
    hookline triggers replay trg_… --since yesterday --dry-run
    ```

    Parameters
    ----------
    rate
        How many a second; 10 if left out.
    dry_run
        Only say how many.
    wait
        Stay until all are started; the server goes on without.
    """
    client = Client.from_environment()
    wanted = {"since": since, "until": until, "rate_per_second": rate}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    preview = client.post(_path(trigger_id, "/replay"), wanted | {"dry_run": True})
    if dry_run:
        show.as_json(preview) if json else show.line(how_many(preview, "requests"))
        return
    if not yes:
        confirm_replay(preview, "requests", would="run", question="Run them again?")
    made = client.post(_path(trigger_id, "/replay"), wanted | {"until": preview["until"]})
    ended = follow(client, made, is_shown=not json) if wait else made
    if json:
        show.as_json(ended)
    else:
        show.line(
            f"{ended['id']} {ended['status']}: {ended['started']} started, {ended['skipped']} skipped",
            "green" if ended["status"] in {"completed", "running"} else "yellow",
        )


@app.command
def reverify(
    trigger_id: TriggerId,
    /,
    *,
    since: Annotated[Instant | None, _SINCE] = None,
    until: Annotated[Instant | None, _UNTIL] = None,
    dry_run: bool = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Check refused requests again, with the secret that is right now, and run those that fit, oldest first, each once.

    For example:

    ```
    hookline triggers reverify trg_… --dry-run
    hookline triggers reverify trg_… --since 2026-07-28T09:00:00Z --yes
    ```

    Parameters
    ----------
    dry_run
        Only say how many fit.
    """
    client = Client.from_environment()
    wanted = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    if not (dry_run or yes):
        preview = _reverified(client, trigger_id, wanted | {"dry_run": True})
        confirm(f"{preview['good']} of {preview['requests']} refused requests fit now. Run them?", yes=False)
    told = _reverified(client, trigger_id, wanted | {"dry_run": dry_run})
    if json:
        show.as_json(told)
        return
    outcome = "fit now" if dry_run else f"fit: {told['started']} started, {told['repeats']} had run before"
    show.line(f"{told['good']} of {told['requests']} refused requests {outcome}", "green")
    if told["refused"]:
        show.sheet((f"{count} refused", reason) for reason, count in told["refused"].items())


def _reverified(client: Client, trigger_id: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Go through all of them, a page at a time. Returns the sums."""
    told: dict[str, Any] = {
        "dry_run": wanted["dry_run"],
        "requests": 0,
        "good": 0,
        "started": 0,
        "repeats": 0,
    }
    refused: dict[str, int] = {}
    executions: list[str] = []
    page: dict[str, Any] = {"next": None}
    while True:
        page = client.post(_path(trigger_id, "/reverify"), wanted | {"cursor": page["next"]})
        for name in ("requests", "good", "started", "repeats"):
            told[name] += page[name]
        for reason, count in page["refused"].items():
            refused[reason] = refused.get(reason, 0) + count
        executions += page["executions"]
        if page["next"] is None:
            return told | {"refused": refused, "executions": executions}


def _path(trigger_id: str, rest: str = "") -> str:
    return f"/api/v1/triggers/{segment(trigger_id)}{rest}"


def _one(trigger: dict[str, Any], *, json: bool) -> None:
    show.as_json(trigger) if json else show_trigger(trigger)
