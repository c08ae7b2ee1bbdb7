"""``hookline keys``: who may speak to the server."""

from __future__ import annotations

import os
from typing import Final, Literal

from cyclopts import App

from hookline.cli import offline, show
from hookline.cli.client import Client, NoServerError, segment
from hookline.cli.options import Json, Limit

app = App(name="keys", help="Create, list and revoke API keys.")

Scope = Literal["admin", "write", "read", "trigger"]

_RULES_ALL: Final = (
    "warning: a key with the scope admin rules the whole server, every organization of it, not {} alone; for one "
    "organization make one with `--scope write`, and revoke this with `hookline keys revoke {}`"
)


@app.command
def create(
    name: str,
    /,
    *,
    scope: list[Scope] = ["write"],  # noqa: B006 -- read only; shown in the help
    expires_at: str | None = None,
    json: Json = False,
) -> None:
    """Create a key and print it, once.

    `admin` includes all others and rules every organization, `write` includes `read` and `trigger`. When no server
    runs, the SQLite file is opened itself: that is how a lost admin key is replaced, in the folder of the database
    and without `HOOKLINE_URL`.

    For example:

    ```
    hookline keys create billing-service
    hookline keys create dashboard --scope read
    env -u HOOKLINE_URL hookline keys create rescue --scope admin   # with the server stopped
    hookline keys create ci --scope trigger --expires-at 2030-01-01T00:00:00Z
    ```

    Parameters
    ----------
    name
        What the key is for; people see it in lists.
    scope
        What the key may do; may be given more than once.
    expires_at
        RFC 3339 instant after which the key is refused; never when not given.
    """
    body: dict[str, object] = {"name": name, "scopes": scope}
    if expires_at is not None:
        body["expires_at"] = expires_at
    try:
        made = Client.from_environment().post("/api/v1/keys", body)
    except NoServerError as reason:
        made = offline.create_key(reason, name=name, scopes=list(scope), expires_at=expires_at)
    organization = os.environ.get("HOOKLINE_ORGANIZATION")
    if organization and "admin" in scope:
        show.note(_RULES_ALL.format(organization, made.get("id")))
    if json:
        show.as_json(made)
        return
    show.sheet([("key", made.get("key")), ("id", made.get("id")), ("scopes", made.get("scopes"))])
    show.line("The key is shown once: keep it now.", "yellow")


@app.command(name="rotate-secret")
def rotate_secret(*, json: Json = False) -> None:
    """Put every secret at rest under the newest secret key, so that the one before it can be forgotten.

    When no server runs on a SQLite database whose key is kept beside it, a new key is made, too. Everywhere else
    give every node both keys first: HOOKLINE_SECRET_KEY is the new one, HOOKLINE_SECRET_KEY_PREVIOUS the present one.
    What was interrupted goes on when the command is given again.

    For example:

    ```
    hookline keys rotate-secret
    ```
    """
    client = Client.from_environment()
    seen = resealed = unreadable = 0
    since: object = None
    try:
        while True:
            answer = client.post("/api/v1/secret-key/reseal", {} if since is None else {"since": since})
            seen, resealed = seen + answer["rows_seen"], resealed + answer["rows_resealed"]
            unreadable, since = unreadable + answer["unreadable"], answer["next"]
            if since is None:
                break
        after = "Take HOOKLINE_SECRET_KEY_PREVIOUS away from every node and start it again."
    except NoServerError as reason:
        seen, resealed, unreadable, after = offline.rotate_secret(reason)
    if json:
        show.as_json({"rows_seen": seen, "rows_resealed": resealed, "unreadable": unreadable})
        return
    show.sheet([("rows read", seen), ("rows resealed", resealed)])
    if unreadable:
        show.line(f"{unreadable} values open with neither key; they were unreadable before, too.", "yellow")
    show.line(f"Every other secret is under the newest key. {after}", "green")


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List keys; only their first characters are known.

    For example:

    ```
    hookline keys list
    ```
    """
    found = Client.from_environment().pages("/api/v1/keys", "keys", limit=limit)
    show.listing(
        found,
        show.columns("id", "name", "hint", "scopes", ("created_at", "created"), ("revoked_at", "revoked")),
        json=json,
        spare=("hint", "created_at", "revoked_at", "scopes"),
        empty="no keys yet: make one with `hookline keys create NAME`",
    )


@app.command
def revoke(key_id: str, /, *, force: bool = False) -> None:
    """Refuse a key from now on, on every node within a second. The last admin key only with `--force`.

    For example:

    ```
    hookline keys revoke key_01990000-0000-7000-8000-000000000000
    ```

    Parameters
    ----------
    key_id
        Its id from `hookline keys list`, not the key itself.
    force
        Even the last admin key: only `hookline keys create` with the server stopped makes another.
    """
    query = {"force": "true"} if force else None
    Client.from_environment().call("DELETE", f"/api/v1/keys/{segment(key_id)}", query=query)
    show.line(f"{key_id} is revoked", "green")
