"""``hookline integrations``: what the app declares."""

from __future__ import annotations

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client, segment
from hookline.cli.options import Json

app = App(name="integrations", help="See the integrations that your app declares.")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List integrations.

    For example:

    ```
    hookline integrations list
    ```
    """
    found = Client.from_environment().get("/api/v1/integrations")["integrations"]
    if json:
        show.as_json(found)
        return
    rows = [one | {"flows": ", ".join(flow["name"] for flow in one["flows"])} for one in found]
    show.table(
        show.columns("id", "name", "endpoint", "security", "flows"),
        rows,
        empty="no integrations: declare one with `app.integration(…)` in your app",
    )


@app.command(name="show")
def show_(integration_id: str, /, *, json: Json = False) -> None:
    """Show an integration: its flows and its config variables.

    For example:

    ```
    hookline integrations show acme
    ```

    Parameters
    ----------
    integration_id
        Its id from `hookline integrations list`.
    """
    found = Client.from_environment().get(f"/api/v1/integrations/{segment(integration_id)}")
    if json:
        show.as_json(found)
        return
    show.sheet((word, found.get(word)) for word in ("id", "name", "description", "endpoint", "security"))
    show.line("")
    show.table(
        show.columns("name", "synchronous", ("deploy_trigger", "on deploy"), "handlers"),
        found["flows"],
        empty="it has no flows",
    )
    if found["config"]:
        show.line("")
        show.table(
            show.columns(("name", "config variable"), "type", "default", "required", "secret", "description"),
            found["config"],
            spare=("default", "description"),
            empty="",
        )
