"""``hookline jobs``: render jobs, from a movie's JSON to its video."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import rotating, show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.options import Json, Limit, read_verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator

app = App(name="jobs", help="Render movies to videos.")

JobId = Annotated[str, Parameter(help="Its id from `hookline jobs list`.")]
Output = Annotated[
    Path | None, Parameter(name=["--output", "-o"], help="Save the video in this file; waits for it.")
]
Own = Annotated[
    str | None, Parameter(name="--set", help='Your own `{"secret": "whsec_…"}` in place of a fresh one.')
]


@app.command
def render(movie: str, /, *, wait: bool = False, output: Output = None, json: Json = False) -> int:
    """Render a movie; with `--wait` or `--output`, show its progress until it has ended.

    For example:

    ```
    hookline jobs render movie.json
    hookline jobs render movie.json --output video.mp4
    ```

    Parameters
    ----------
    movie
        The file with the movie's JSON.
    wait
        The exit code is 0 only if it was rendered.
    """
    client = Client.from_environment()
    job = client.post("/api/jobs", read_verbatim(f"@{movie}", name="the movie"))
    if wait or output is not None:
        if not json:
            show.line(f"job {job['job_id']}")
        job = _watched(client, job["job_id"], is_shown=not json)
    if output is not None and job["status"] == "completed":
        size = _save(client, job["job_id"], output)
        if not json:
            show.line(f"{output}: {size} bytes", "green")
    show.as_json(job) if json else _show(job)
    return 1 if job["status"] == "failed" else 0


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List render jobs, newest first.

    For example:

    ```
    hookline jobs list
    ```
    """
    found = Client.from_environment().pages("/api/v1/executions", "executions", limit=limit, kind="render")
    rows = [{**execution, "job_id": execution["id"].removeprefix("exec_")} for execution in found]
    show.listing(
        rows,
        show.columns(
            ("job_id", "job"),
            "status",
            ("created_at", "created"),
            ("run_duration_ms", "took"),
            ("credits_used", "credits"),
            ("error.code", "error"),
        ),
        json=json,
        spare=("credits_used", "run_duration_ms", "error.code", "created_at"),
        empty="nothing was rendered yet: `hookline jobs render movie.json` does",
    )


@app.command(name="show")
def show_(job_id: JobId, /, *, json: Json = False) -> None:
    """Show a render job, with the link to its video or what went wrong.

    For example:

    ```
    hookline jobs show 0199…
    ```
    """
    job = Client.from_environment().get(_path(job_id))
    show.as_json(job) if json else _show(job)


@app.command
def watch(job_id: JobId, /) -> int:
    """Follow a render job until it has ended; the exit code is 0 only if it was rendered.

    For example:

    ```
    hookline jobs watch 0199…
    ```
    """
    job = _watched(Client.from_environment(), job_id, is_shown=True)
    _show(job)
    return 1 if job["status"] == "failed" else 0


@app.command
def download(job_id: JobId, output: Path, /) -> None:
    """Save the video of a render job.

    For example:

    ```
    hookline jobs download 0199… video.mp4
    ```

    Parameters
    ----------
    output
        The file to write.
    """
    size = _save(Client.from_environment(), job_id, output)
    show.line(f"{output}: {size} bytes", "green")


@app.command
def cancel(job_id: JobId, /) -> None:
    """End a render job.

    For example:

    ```
    hookline jobs cancel 0199…
    ```
    """
    job = Client.from_environment().call("DELETE", _path(job_id))
    ended = job["status"] in {"completed", "failed"} and (job.get("error") or {}).get("code") != "KILLED"
    show.line(f"{job_id} has ended already: {job['status']}" if ended else f"{job_id} is being cancelled")


@app.command
def secret(*, finish: rotating.Finish = False, set: Own = None, json: Json = False) -> None:
    """Make a new secret for what is sent to the addresses that jobs name, and print it, once.

    It signs the webhooks of every job's `webhook_uri`. For 24 hours the one before signs, too.

    For example:

    ```
    hookline jobs secret
    hookline jobs secret --finish   # every receiver has the new secret: drop the old one
    ```
    """
    rotating.rotate(
        "/api/v1/jobs/secret/rotate", finish=finish, own=set, command="hookline jobs secret", json=json
    )


def _path(job_id: str, rest: str = "") -> str:
    return f"/api/jobs/{segment(job_id)}{rest}"


def _watched(client: Client, job_id: str, *, is_shown: bool) -> dict[str, Any]:
    """Follow a job to its end and return it."""
    is_terminal = is_shown and sys.stdout.isatty()
    for told in _events(client, job_id):
        if told["status"] in {"completed", "failed"}:
            if is_terminal:
                print()
            return told
        if is_terminal and "percent" in told:
            left = "" if told.get("eta_seconds") is None else f", {told['eta_seconds']:g} s left"
            print(f"\r{told['percent']:5.1f} %{left:<20}", end="", flush=True)
    raise CommandError(f"the server stopped telling of {job_id}: `hookline jobs show {job_id}`")


def _events(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    """The data of each server-sent event of a job."""
    for line in client.lines(_path(job_id, "/progress")):
        if line.startswith(b"data: "):
            yield json_text.loads(line[6:])


def _save(client: Client, job_id: str, output: Path) -> int:
    try:
        return client.save(_path(job_id, "/output"), output)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}") from error


def _show(job: dict[str, Any]) -> None:
    error = job.get("error") or {}
    show.sheet(
        [
            ("job", job.get("job_id")),
            ("status", job.get("status")),
            ("video", job.get("output_url")),
            ("lasts", None if job.get("duration_seconds") is None else f"{job['duration_seconds']:g} s"),
            ("credits", job.get("credits_used", job.get("estimated_credits"))),
            ("created", job.get("created_at")),
            ("completed", job.get("completed_at")),
            ("error", f"{error.get('code')}: {error.get('message')}" if error else None),
        ]
    )
