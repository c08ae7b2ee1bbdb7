"""``hookline scripts``: the code that script agents run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.deleting import delete_for_good
from hookline.cli.options import Json, Limit, Yes

app = App(name="scripts", help="Store Python and JavaScript for script agents.")

_ID = Parameter(help="Its id from `hookline scripts list`.")
ScriptId = Annotated[str, _ID]
_FILE = Parameter(help="The file with its source.")


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List scripts.

    For example:

    ```
    hookline scripts list
    ```
    """
    found = Client.from_environment().pages("/api/v1/scripts", "scripts", limit=limit)
    show.listing(
        found,
        show.columns("id", "slug", "branch", "version", "size", ("updated_at", "changed")),
        json=json,
        spare=("size", "updated_at", "branch"),
        empty="no scripts yet: store one with `hookline scripts push FILE`",
    )


@app.command
def push(
    file: Annotated[Path, _FILE],
    /,
    *,
    branch: str = "main",
    slug: str | None = None,
    org: str | None = None,
    json: Json = False,
) -> None:
    """Store a file as a script, or as the next version of the one that has its name.

    For example:

    ```
    hookline scripts push scrape.py
    hookline scripts push scrape.js --branch staging
    ```

    Parameters
    ----------
    file
        A `.py` or `.js` file.
    branch
        Branch to store it on.
    slug
        Its name; the file's own when left out.
    org
        What webhooks tell as `scriptOrg`; the organization's name when left out.
    """
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    client = Client.from_environment()
    name = slug or file.name
    known = _find(client, name, branch)
    if known is None:
        body = {"slug": name, "source": source, "branch": branch} | ({} if org is None else {"org": org})
        stored = client.post("/api/v1/scripts", body)
    else:
        stored = client.call("PUT", f"/api/v1/scripts/{segment(known['id'])}", body={"source": source})
    if json:
        show.as_json(stored)
    else:
        show.line(f"{stored['slug']} on {stored['branch']} is version {stored['version']}: {stored['id']}")


@app.command(name="show")
def show_(script_id: ScriptId, /, *, version: int | None = None, json: Json = False) -> None:
    """Print a script's source.

    For example:

    ```
    hookline scripts show scr_…
    hookline scripts show scr_… --version 1
    ```

    Parameters
    ----------
    version
        An earlier version instead of the newest.
    """
    path = f"/api/v1/scripts/{segment(script_id)}"
    found = Client.from_environment().get(path if version is None else f"{path}/versions/{version}")
    if json:
        show.as_json(found)
    else:
        show.line(found["source"].rstrip("\n"))


@app.command
def delete(
    script_id: ScriptId,
    /,
    *,
    yes: Yes = False,
) -> None:
    """Delete a script that no agent runs.

    For example:

    ```
    hookline scripts delete scr_… --yes
    ```
    """
    delete_for_good(f"/api/v1/scripts/{segment(script_id)}", script_id, f"Delete {script_id}?", yes=yes)


def _find(client: Client, slug: str, branch: str) -> dict[str, Any] | None:
    known: list[dict[str, Any]] = client.pages("/api/v1/scripts", "scripts", limit=100_000)
    return next((one for one in known if (one["slug"], one["branch"]) == (slug, branch)), None)
