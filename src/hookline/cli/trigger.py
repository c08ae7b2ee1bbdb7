"""``hookline trigger``: run an automation from a shell."""

from __future__ import annotations

import time
from typing import Any, Final, Literal

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.options import Data, Json, Timeout, Wait, read_data, read_verbatim
from hookline.cli.sheets import show_execution

ENDED: Final = {"succeeded", "failed", "killed", "timed_out", "lost"}
# The server answers as soon as the run has ended; this is how long one question may stay open.
_ASK_SECONDS: Final = 20
# Where a server has too many who wait, it answers at once.
_POLL_SECONDS: Final = 0.2

_ROUTES: Final = {
    "workflow": "/api/v1/workflows/{id}/executions",
    "agent": "/api/v1/agents/{id}/executions",
    "script": "/api/v1/script-agents/{id}/launch",
    "robot": "/api/v1/robots/{id}/runs",
}

_MOVIE: Final = "movie"


def trigger(
    kind: Literal["workflow", "agent", "script", "robot", "render"],
    automation_id: str,
    /,
    *,
    data: Data = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    json: Json = False,
) -> int:
    """Run an automation and print what the server answers; with `--wait`, what the run returned.

    The data becomes its input as it is, any JSON; the automation's own URL, `/webhooks/…`, takes objects only.

    For example:

    ```
    hookline trigger workflow orders --data '{"order": 17}'
    hookline trigger workflow orders --data @order.json --wait
    hookline trigger agent support --data '{"message": "Where is my parcel?"}' --wait
    hookline trigger render movie --data @movie.json --wait
    ```

    Parameters
    ----------
    kind
        Kind of the automation.
    automation_id
        Its id, as in `@app.workflow("orders")`; of a render, `movie`.
    """
    client = Client.from_environment()
    made = _started(client, kind, automation_id, data)
    if not wait:
        show.as_json(made) if json else show.sheet(made.items())
        return 0
    execution = wait_for(client, made["execution_id"], seconds=timeout)
    if json:
        show.as_json(execution)
    else:
        show_execution(execution)
    return 0 if execution["status"] == "succeeded" else 1


def _started(client: Client, kind: str, automation_id: str, data: str | None) -> dict[str, Any]:
    """Start it; return the server's answer, with an execution's id."""
    if kind == "render":
        if automation_id != _MOVIE:
            raise CommandError(
                f"there is one render, {_MOVIE!r}: `hookline trigger render {_MOVIE} --data @FILE`"
            )
        job: dict[str, Any] = client.post("/api/jobs", read_verbatim(data))
        return {"execution_id": f"exec_{job['job_id']}", **job}
    given = read_data(data)
    body = {} if given is None else {"input": given}
    made: dict[str, Any] = client.post(_ROUTES[kind].format(id=segment(automation_id)), body)
    return made


def wait_for(client: Client, execution_id: str, *, seconds: float) -> dict[str, Any]:
    """Return the execution once it has ended. Raises CommandError when it has not in time."""
    deadline = time.monotonic() + seconds
    while True:
        left = max(0, min(_ASK_SECONDS, int(deadline - time.monotonic())))
        execution: dict[str, Any] = client.call(
            "GET", f"/api/v1/executions/{segment(execution_id)}", headers={"Prefer": f"wait={left}"}
        )
        if execution["status"] in ENDED:
            return execution
        if time.monotonic() >= deadline:
            raise CommandError(
                f"{execution_id} is still {execution['status']} after {seconds:g} s; "
                f"follow it with `hookline executions show {execution_id}`"
            )
        time.sleep(_POLL_SECONDS)
