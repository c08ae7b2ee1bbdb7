"""``hookline script-agents``: what launches a stored script."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.deleting import delete_for_good
from hookline.cli.options import Data, Json, Limit, Timeout, Wait, Yes, read_fields
from hookline.cli.trigger import trigger

app = App(name="script-agents", help="Launch stored scripts.")

_ID = Parameter(help="Its number from `hookline script-agents list`.")
AgentId = Annotated[str, _ID]
_SET = Parameter(
    name=["--set", "-s"],
    help='More fields, as JSON: \'{"limits": {"memory_mb": 512}, "webhook": "https://…"}\'.',
)


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List script agents.

    For example:

    ```
    hookline script-agents list
    ```
    """
    found = Client.from_environment().pages("/api/v1/script-agents", "script_agents", limit=limit)
    show.listing(
        found,
        show.columns(
            "id",
            "name",
            "script",
            "branch",
            ("limits.time_seconds", "limit s"),
            ("max_parallelism", "at once"),
        ),
        json=json,
        spare=("max_parallelism", "branch", "limits.time_seconds"),
        empty="no script agents yet: make one with `hookline script-agents create SCRIPT`",
    )


@app.command
def create(
    script: str,
    /,
    *,
    name: str | None = None,
    branch: str = "main",
    set: Annotated[str | None, _SET] = None,
    json: Json = False,
) -> None:
    """Make an agent for a stored script. The secret of its own webhook is shown once.

    For example:

    ```
    hookline script-agents create scrape.py
    hookline script-agents create scrape.py --set '{"webhook": "https://example.com/ended", "argument": {"pages": 3}}'
    ```

    Parameters
    ----------
    script
        Slug of the script, from `hookline scripts list`.
    name
        What people call the agent; the slug when left out.
    branch
        Branch of the script.
    """
    body = {**read_fields(set), "script": script, "branch": branch}
    if name is not None:
        body["name"] = name
    _one(Client.from_environment().post("/api/v1/script-agents", body), json=json)


@app.command(name="show")
def show_(agent_id: AgentId, /, *, json: Json = False) -> None:
    """Show a script agent.

    For example:

    ```
    hookline script-agents show 5027055349780535
    ```
    """
    _one(Client.from_environment().get(_path(agent_id)), json=json)


@app.command
def update(agent_id: AgentId, /, *, set: Annotated[str, _SET], json: Json = False) -> None:
    """Change a script agent; what is not named stays.

    For example:

    ```
    hookline script-agents update 5027055349780535 --set '{"max_parallelism": 3}'
    ```
    """
    body = read_fields(set)
    if not body:
        raise CommandError("nothing to change: name fields with --set")
    _one(Client.from_environment().call("PUT", _path(agent_id), body=body), json=json)


@app.command
def launch(
    agent_id: AgentId,
    /,
    *,
    data: Data = None,
    wait: Wait = False,
    timeout: Timeout = 900.0,
    json: Json = False,
) -> int:
    """Launch a script agent; with `--wait`, print its result object.

    The data is its argument, any JSON; without it the agent's own is used.

    For example:

    ```
    hookline script-agents launch 5027055349780535 --wait
    hookline script-agents launch 5027055349780535 --data '{"pages": 3}'
    ```
    """
    return trigger("script", agent_id, data=data, wait=wait, timeout=timeout, json=json)


@app.command
def delete(
    agent_id: AgentId,
    /,
    *,
    yes: Yes = False,
) -> None:
    """Delete a script agent with its own webhook; what it has run stays.

    For example:

    ```
    hookline script-agents delete 5027055349780535 --yes
    ```
    """
    delete_for_good(_path(agent_id), agent_id, f"Delete {agent_id}?", yes=yes)


def _path(agent_id: str) -> str:
    return f"/api/v1/script-agents/{segment(agent_id)}"


def _one(agent: dict[str, Any], *, json: bool) -> None:
    if json:
        show.as_json(agent)
        return
    limits, webhook = agent["limits"], agent.get("webhook") or {}
    show.sheet(
        [
            ("agent", agent["id"]),
            ("name", agent["name"]),
            ("script", f"{agent['script']} on {agent['branch']}"),
            (
                "limits",
                f"{limits['time_seconds']} s, {limits['memory_mb']} MiB, {limits['processes']} processes",
            ),
            ("network", "public addresses, by the guard" if agent["network"] else "none"),
            ("at once", agent["max_parallelism"]),
            ("webhook", webhook.get("url")),
            ("secret", webhook.get("secret")),
        ]
    )
