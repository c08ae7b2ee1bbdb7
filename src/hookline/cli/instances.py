"""``hookline instances``: customers' uses of an integration."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, segment
from hookline.cli.options import Json, Limit, Yes, confirm, read_object

app = App(name="instances", help="Deploy an integration for your customers.")

_CONFIG = Parameter(
    name=["--config", "-c"],
    help="JSON object of config values, `@FILE` or `-`; secrets are best kept off the command line.",
)
_ID = Parameter(help="Its id from `hookline instances list`.")
InstanceId = Annotated[str, _ID]


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List instances and how they are.

    For example:

    ```
    hookline instances list
    ```
    """
    found = Client.from_environment().pages("/api/v1/instances", "instances", limit=limit)
    show.listing(
        found,
        show.columns(
            "id",
            ("integration.id", "integration"),
            ("customer.external_id", "customer"),
            "name",
            "status",
            ("status_reason", "because"),
            ("deployed_at", "deployed"),
        ),
        json=json,
        spare=("deployed_at", "status_reason", "name", "integration.id"),
        empty="no instances yet: make one with `hookline instances create INTEGRATION --customer ID`",
    )


@app.command
def create(
    integration: str,
    /,
    *,
    customer: str,
    customer_name: str | None = None,
    name: str | None = None,
    config: Annotated[str | None, _CONFIG] = None,
    json: Json = False,
) -> int:
    """Create an instance and deploy it; prints its URLs and, once, its API keys.

    For example:

    ```
    hookline instances create acme --customer customer-42
    hookline instances create acme --customer customer-42 --config @acme.json
    ```

    Parameters
    ----------
    integration
        Id of the integration, from `hookline integrations list`.
    customer
        Your own id of the customer.
    customer_name
        What people call the customer.
    name
        What people call the instance.
    """
    body = {
        "integration": integration,
        "customer": {"external_id": customer, "name": customer_name},
        "name": name,
        "config": read_object(config, name="--config"),
    }
    return _one(Client.from_environment().post("/api/v1/instances", body), json=json)


@app.command(name="show")
def show_(instance_id: InstanceId, /, *, json: Json = False) -> None:
    """Show an instance with its URLs.

    For example:

    ```
    hookline instances show inst_01990000-0000-7000-8000-000000000000
    ```
    """
    _one(Client.from_environment().get(_path(instance_id)), json=json)


@app.command
def configure(instance_id: InstanceId, /, *, config: Annotated[str, _CONFIG], json: Json = False) -> int:
    """Change config values, which deploys the instance once more; null unsets a value.

    For example:

    ```
    hookline instances configure inst_… --config '{"region": "us"}'
    ```
    """
    body = {"config": read_object(config, name="--config")}
    return _one(Client.from_environment().call("PATCH", _path(instance_id), body=body), json=json)


@app.command
def deploy(instance_id: InstanceId, /, *, json: Json = False) -> int:
    """Deploy an instance once more, such as one that failed.

    For example:

    ```
    hookline instances deploy inst_…
    ```
    """
    return _one(Client.from_environment().post(_path(instance_id, "/deploy")), json=json)


@app.command
def enable(instance_id: InstanceId, /, *, json: Json = False) -> int:
    """Enable an instance, which deploys it.

    For example:

    ```
    hookline instances enable inst_…
    ```
    """
    return _one(Client.from_environment().post(_path(instance_id, "/enable")), json=json)


@app.command
def disable(instance_id: InstanceId, /, *, json: Json = False) -> int:
    """Disable an instance: its URLs answer 404, and its `on_remove` handlers are called.

    For example:

    ```
    hookline instances disable inst_…
    ```
    """
    return _one(Client.from_environment().post(_path(instance_id, "/disable")), json=json)


@app.command
def key(instance_id: InstanceId, /, flow: str, *, json: Json = False) -> None:
    """Make one more API key for a flow, and print it, once.

    For example:

    ```
    hookline instances key inst_… orders
    ```

    Parameters
    ----------
    flow
        Name of the flow.
    """
    made = Client.from_environment().post(_path(instance_id, "/keys"), {"flow": flow})
    show.as_json(made) if json else show.sheet(made.items())


@app.command
def delete(
    instance_id: InstanceId,
    /,
    *,
    force: bool = False,
    yes: Yes = False,
) -> None:
    """Delete an instance after its `on_remove` handlers.

    For example:

    ```
    hookline instances delete inst_… --yes
    ```

    Parameters
    ----------
    force
        Delete it without calling `on_remove`, such as when the other side is gone.
    """
    confirm(f"Delete {instance_id} and its URLs?", yes=yes)
    path = _path(instance_id) + ("?force=true" if force else "")
    left = Client.from_environment().call("DELETE", path)
    if left:
        show.line(f"{instance_id} is being removed: its handlers still run", "yellow")
    else:
        show.line(f"{instance_id} is deleted", "green")


def _path(instance_id: str, more: str = "") -> str:
    return f"/api/v1/instances/{segment(instance_id)}{more}"


def _one(instance: dict[str, Any], *, json: bool) -> int:
    """Print an instance; return 1 when it failed."""
    if json:
        show.as_json(instance)
    else:
        _sheet(instance)
    return 1 if instance.get("status") == "failed" else 0


def _sheet(instance: dict[str, Any]) -> None:
    show.sheet(
        [
            ("instance", instance.get("id")),
            ("name", instance.get("name")),
            ("integration", instance["integration"]["id"]),
            ("customer", instance["customer"]["external_id"]),
            ("status", instance.get("status")),
            ("because", instance.get("status_reason")),
            *((name, value) for name, value in instance["config"].items()),
            *((name, "(secret)") for name in instance["config_secrets"]),
            *((f"URL of {flow}", url) for flow, url in (instance.get("webhook_urls") or {}).items()),
            *((f"key of {flow}", keys) for flow, keys in (instance.get("api_keys") or {}).items()),
        ]
    )
    if instance.get("api_keys"):
        show.line("API keys are shown once: give them to whoever calls.", "yellow")
