"""``hookline executions``: runs, past and present."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.following import followed
from hookline.cli.options import Data, Json, Limit, read_data
from hookline.cli.sheets import show_execution
from hookline.cli.trigger import ENDED

app = App(name="executions", help="See, cancel and resume runs.")

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "killed", "timed_out", "lost"]


@app.command(name="list")
def list_(
    *,
    status: Status | None = None,
    kind: Literal["workflow", "agent", "script", "robot", "render"] | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List executions, newest first.

    For example:

    ```
    hookline executions list --status failed
    hookline executions list --kind workflow --limit 10
    ```

    Parameters
    ----------
    status
        Only those with this status.
    kind
        Only those of this kind of automation.
    """
    found = Client.from_environment().pages(
        "/api/v1/executions", "executions", limit=limit, status=status, kind=kind
    )
    show.listing(
        found,
        show.columns(
            "id",
            ("automation.kind", "kind"),
            ("automation.id", "automation"),
            "status",
            ("created_at", "created"),
            ("run_duration_ms", "took"),
            "steps",
            ("error.code", "error"),
        ),
        json=json,
        spare=("steps", "run_duration_ms", "error.code", "automation.kind", "created_at"),
        empty=show.none_found(
            "nothing has run yet: start something with `hookline trigger workflow ID`", status, kind
        ),
    )


@app.command(name="show")
def show_(execution_id: str, /, *, json: Json = False) -> None:
    """Show one execution with its result or error.

    For example:

    ```
    hookline executions show exec_…
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    """
    execution = Client.from_environment().get(_path(execution_id))
    show.as_json(execution) if json else show_execution(execution)


@app.command
def logs(
    execution_id: str,
    /,
    *,
    limit: Limit = 500,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"])] = False,
    json: Json = False,
) -> None:
    """Print what an execution logged.

    For example:

    ```
    hookline executions logs exec_…
    hookline executions logs exec_… --follow
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    follow
        All of it, and what is logged while it runs, with its progress, until it has ended.
    """
    if follow:
        for entry in followed(Client.from_environment(), execution_id):
            show.as_json(entry) if json else _log_line(entry)
        return
    page = Client.from_environment().get(_path(execution_id, "/logs"), limit=limit)
    if json:
        show.as_json(page)
        return
    for entry in page["logs"]:
        _log_line(entry)
    if not page["logs"]:
        show.line("it has logged nothing", "dim")


def _log_line(entry: dict[str, Any]) -> None:
    at = entry.get("at") or entry.get("timestamp")
    show.line(f"{at} {entry.get('level', ''):<7} {_told(entry)}")


def _told(entry: dict[str, Any]) -> str:
    """A line's text and fields; of progress, which has no text, how far the run is, or an answer's next words."""
    text, fields = str(entry.get("text", "")), entry.get("fields")
    if not isinstance(fields, dict):
        return text
    if entry.get("stream") != "progress":
        return "  ".join([text, *(f"{name}={show.short(value)}" for name, value in fields.items())])
    if isinstance(fields.get("delta"), str):
        return str(fields["delta"])
    percent, label = fields.get("percent"), fields.get("label")
    words = [] if percent is None else [f"{percent} %"]
    words += [str(label)] if label else []
    words += [f"{name} {value}" for name, value in fields.items() if name not in {"percent", "label"}]
    return ", ".join(words)


@app.command
def files(
    execution_id: str,
    /,
    *,
    save: Annotated[
        Path | None, Parameter(help="Folder to write them to, made when it is not there.")
    ] = None,
    json: Json = False,
) -> None:
    """List the files that an execution made, or save them.

    For example:

    ```
    hookline executions files exec_…
    hookline executions files exec_… --save videos
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    """
    client = Client.from_environment()
    found = client.get(_path(execution_id, "/artifacts"))["artifacts"]
    if save is not None:
        try:
            save.mkdir(parents=True, exist_ok=True)
            for file in found:
                client.save(_path(execution_id, f"/artifacts/{segment(file['name'])}"), save / file["name"])
        except OSError as error:
            raise CommandError(f"{save} cannot be written: {error}") from error
    show.listing(
        found,
        show.columns("name", ("content_type", "type"), "size", ("created_at", "made")),
        json=json,
        spare=("created_at", "content_type"),
        empty="it has made no files",
    )


@app.command
def cancel(execution_id: str, /) -> None:
    """End an execution; its process gets a moment to clean up.

    For example:

    ```
    hookline executions cancel exec_…
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    """
    client = Client.from_environment()
    status = client.get(_path(execution_id))["status"]
    if status in ENDED:
        show.line(f"{execution_id} has ended already: {status}")
        return
    client.post(_path(execution_id, "/cancel"))
    show.line(f"{execution_id} is being cancelled", "yellow")


@app.command
def resume(execution_id: str, name: str, /, *, data: Data = None) -> None:
    """Answer a `ctx.wait_for_event(NAME)`, so that the run goes on.

    For example:

    ```
    hookline executions resume exec_… approval --data '{"approved": true}'
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    name
        Name that the run waits for.
    """
    body = {"name": name, "data": read_data(data)}
    answer = Client.from_environment().post(_path(execution_id, "/resume"), body)
    if answer["status"] == "resumed":
        show.line(f"{execution_id} has its answer to {name}", "green")
        return
    show.line(f"{execution_id} does not wait for {name}; the answer is kept until it does", "yellow")
    if answer.get("waits_for"):
        show.line(f"it waits for {', '.join(answer['waits_for'])}", "yellow")


@app.command
def replay(execution_id: str, /, *, json: Json = False) -> None:
    """Start another execution from the same bytes.

    For example:

    ```
    hookline executions replay exec_…
    ```

    Parameters
    ----------
    execution_id
        Its id from `hookline executions list`.
    """
    made = Client.from_environment().post(_path(execution_id, "/replay"))
    show.as_json(made) if json else show.sheet(made.items())


def _path(execution_id: str, rest: str = "") -> str:
    return f"/api/v1/executions/{segment(execution_id)}{rest}"
