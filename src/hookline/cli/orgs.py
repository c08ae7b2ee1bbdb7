"""``hookline orgs``: one organization for each of a platform's customers."""

from __future__ import annotations

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client
from hookline.cli.options import Json, Limit

app = App(name="orgs", help="Create and list organizations; needs an admin key.")


@app.command
def create(name: str, /, *, external_id: str | None = None, json: Json = False) -> None:
    """Create an organization.

    An admin key acts for it with `HOOKLINE_ORGANIZATION` set to its id or its external id.

    For example:

    ```
    hookline orgs create "Acme GmbH" --external-id customer-42
    HOOKLINE_ORGANIZATION=customer-42 hookline webhooks list
    ```

    Parameters
    ----------
    name
        What people call it.
    external_id
        Your own id for it, unique.
    """
    body = {"name": name} | ({"external_id": external_id} if external_id is not None else {})
    made = Client.from_environment().post("/api/v1/organizations", body)
    if json:
        show.as_json(made)
        return
    show.sheet((word, made.get(word)) for word in ("id", "name", "external_id"))


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List organizations.

    For example:

    ```
    hookline orgs list
    ```
    """
    found = Client.from_environment().pages("/api/v1/organizations", "organizations", limit=limit)
    show.listing(
        found,
        show.columns("id", "name", ("external_id", "external id"), ("created_at", "created")),
        json=json,
        spare=("created_at",),
        empty="no organizations yet: make one with `hookline orgs create NAME`",
    )
