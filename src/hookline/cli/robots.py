"""``hookline robots``: recordings that run in a browser."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.deleting import delete_for_good
from hookline.cli.options import Data, Json, Limit, Timeout, Wait, Yes, read_fields, read_object
from hookline.cli.trigger import trigger

app = App(name="robots", help="Run recordings of Maxun's in a browser.")

_ID = Parameter(help="Its id from `hookline robots list`.")
RobotId = Annotated[str, _ID]
_RECORDING = Parameter(
    name=["--recording", "-r"], help="The recording: `@FILE` for a file's content, JSON text, or `-`."
)
_SET = Parameter(name=["--set", "-s"], help="More fields, as JSON: '{\"timeout_seconds\": 60}'.")


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List robots.

    For example:

    ```
    hookline robots list
    ```
    """
    found = Client.from_environment().pages("/api/v1/robots", "robots", limit=limit)
    show.listing(
        found,
        show.columns("id", "name", ("timeout_seconds", "limit s"), "matching", ("updated_at", "changed")),
        json=json,
        spare=("matching", "updated_at", "timeout_seconds"),
        empty="no robots yet: make one with `hookline robots create NAME --recording @FILE`",
    )


@app.command
def create(
    name: str,
    /,
    *,
    recording: Annotated[str, _RECORDING],
    set: Annotated[str | None, _SET] = None,
    json: Json = False,
) -> None:
    """Store a robot. What its recording may not say is refused, with the path to it.

    For example:

    ```
    hookline robots create "Laptop prices" --recording @laptops.json
    ```

    Parameters
    ----------
    name
        What people call it.
    """
    body = {**read_fields(set), "name": name, "recording": _read_recording(recording)}
    _one(Client.from_environment().post("/api/v1/robots", body), json=json)


@app.command(name="show")
def show_(robot_id: RobotId, /, *, json: Json = False) -> None:
    """Show a robot; with `--json`, its recording too.

    For example:

    ```
    hookline robots show rob_01990000-0000-7000-8000-000000000000
    ```
    """
    _one(Client.from_environment().get(_path(robot_id)), json=json)


@app.command
def update(
    robot_id: RobotId,
    /,
    *,
    name: str | None = None,
    recording: Annotated[str | None, _RECORDING] = None,
    set: Annotated[str | None, _SET] = None,
    json: Json = False,
) -> None:
    """Change a robot; what is not named stays.

    For example:

    ```
    hookline robots update rob_… --recording @laptops.json
    hookline robots update rob_… --set '{"timeout_seconds": 60, "max_repeats": 0}'
    ```

    Parameters
    ----------
    name
        What people call it.
    """
    body = read_fields(set)
    if name is not None:
        body["name"] = name
    if recording is not None:
        body["recording"] = _read_recording(recording)
    if not body:
        raise CommandError("nothing to change: name --name, --recording or --set")
    _one(Client.from_environment().call("PUT", _path(robot_id), body=body), json=json)


@app.command
def run(
    robot_id: RobotId,
    /,
    *,
    data: Data = None,
    wait: Wait = False,
    timeout: Timeout = 900.0,
    json: Json = False,
) -> int:
    """Run a robot; with `--wait`, print what it captured.

    The data is an object with the values that its recording asks for, and may be left out where it asks for none.

    For example:

    ```
    hookline robots run rob_… --wait
    hookline robots run rob_… --data '{"words": "laptop"}'
    ```
    """
    return trigger("robot", robot_id, data=data, wait=wait, timeout=timeout, json=json)


@app.command
def delete(
    robot_id: RobotId,
    /,
    *,
    yes: Yes = False,
) -> None:
    """Delete a robot; what it has captured stays.

    For example:

    ```
    hookline robots delete rob_… --yes
    ```
    """
    delete_for_good(_path(robot_id), robot_id, f"Delete {robot_id}?", yes=yes)


def _read_recording(text: str) -> dict[str, Any]:
    """A recording, or a robot file that holds one beside other things, as Maxun's API has it."""
    found = read_object(text, name="--recording")
    inner = found.get("recording")
    return inner if "workflow" not in found and isinstance(inner, dict) else found


def _path(robot_id: str) -> str:
    return f"/api/v1/robots/{segment(robot_id)}"


def _one(robot: dict[str, Any], *, json: bool) -> None:
    if json:
        show.as_json(robot)
        return
    show.sheet(
        [
            ("robot", robot.get("id")),
            ("name", robot.get("name")),
            ("limit", f"{robot.get('timeout_seconds')} s"),
            ("at once", robot.get("concurrency") or "as many as there is room for"),
            ("matching", robot.get("matching")),
            ("pause", f"{robot.get('pause_ms')} ms"),
            ("repeats", robot.get("max_repeats")),
        ]
    )
