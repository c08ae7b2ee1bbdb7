"""An integration with Acme, as Prismatic's pages on webhook triggers tell it: every example there is a flow here.

python examples/prismatic/acme.py 9900 &
hookline serve examples/prismatic/app.py
hookline instances create acme --customer customer-42 \
    --config '{"acme_url": "http://127.0.0.1:9900", "api_key": "acme-key"}'
"""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

from hookline import App, ConfigVariable, HandlerContext, HttpResponse, Payload, Retry, TriggerResult

app = App()

acme = app.integration(
    "acme",
    name="Acme",
    description="Takes in what Acme sends: renders, photos, notifications and messages.",
    config={
        "acme_url": ConfigVariable(required=True, description="Where Acme's API answers."),
        "api_key": ConfigVariable(required=True, secret=True),
    },
)


# --- a JSON payload -----------------------------------------------------------------------------------------


@acme.flow("renders", retry=Retry(max_attempts=3, delay_minutes=1, exponential=True))
def renders(ctx: Any) -> dict[str, Any]:
    """Take note of a finished render."""
    render = ctx.trigger.body.data
    ctx.log("render finished", id=render["renderId"], bucket=render["s3Bucket"])
    return {"render_id": render["renderId"], "customer": ctx.trigger.customer.external_id}


# --- headers, path and query --------------------------------------------------------------------------------


@acme.flow("inspect")
def inspect(ctx: Any) -> dict[str, Any]:
    """Return what the trigger saw of a request."""
    trigger = ctx.trigger
    return {
        "header": trigger.headers.get("header-one"),
        "path": trigger.path_fragment.split("/"),
        "parameters": trigger.query_parameters,
        "quantity": trigger.body.data["quantity"],
        "do_thing": trigger.body.data["Do Thing?"],
    }


# --- binary and multipart data ------------------------------------------------------------------------------


@acme.flow("photos")
def photos(ctx: Any) -> dict[str, Any]:
    """Take an image, or a form with a person and a photo of them."""
    data = ctx.trigger.body.data
    if isinstance(data, bytes):
        return {"bytes": len(data), "content_type": ctx.trigger.body.content_type}
    return {
        "firstname": data["person"].data["firstname"],
        "photo_bytes": len(data["photo"].data),
        "filename": data["photo"].filename,
    }


# --- an answer of one's own, before the flow runs -----------------------------------------------------------


def parse_notification(_: HandlerContext, payload: Payload) -> TriggerResult:
    """Parse XML and answer with its challenge. What came stays at hand as ``raw_body``."""
    # Python's expat limits how far entities expand, and ElementTree fetches none.
    root = ET.fromstring(payload.raw_body.data.decode())
    parsed = {root.tag: {child.tag: child.text for child in root}}
    payload.body = {"data": parsed, "content_type": "application/json"}
    return TriggerResult(payload, HttpResponse(200, "text/plain", parsed["notification"]["challenge"]))


@acme.flow("notifications", on_trigger=parse_notification)
def notifications(ctx: Any) -> dict[str, Any]:
    """Work with the parsed notification."""
    return {"event": ctx.input["notification"]["event"]}


# --- a webhook in Acme, made when an instance is deployed ---------------------------------------------------


def register(ctx: HandlerContext) -> dict[str, Any]:
    """Make a webhook in Acme that points to this flow; what is returned is kept for ``unregister``."""
    if ctx.instance_state:  # deployed before: Acme has the webhook, and the URL has not changed
        return ctx.instance_state
    body = {"endpoint": ctx.webhook_urls[ctx.flow.name], "events": ["message.created", "message.updated"]}
    made = call_acme(ctx, "POST", "/webhooks", body)
    return {"webhook_id": made["id"]}


def unregister(ctx: HandlerContext) -> None:
    """Delete the webhook that ``register`` made."""
    call_acme(ctx, "DELETE", f"/webhooks/{ctx.instance_state['webhook_id']}")


@acme.flow("messages", on_instance_deploy=register, on_instance_remove=unregister)
def messages(ctx: Any) -> dict[str, Any]:
    """Take a message that Acme sends."""
    return {"message": ctx.input["text"], "webhook_id": ctx.instance_state["webhook_id"]}


def call_acme(ctx: HandlerContext, method: str, path: str, body: Any = None) -> Any:
    """Call Acme's API with the customer's key."""
    request = Request(
        ctx.config["acme_url"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {ctx.config['api_key']}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


# --- a flow that every deployment runs, and that calls a sibling --------------------------------------------


@acme.flow("setup", deploy_trigger=True)
def setup(ctx: Any) -> dict[str, Any]:
    """Call a sibling flow by its webhook URL."""
    url = ctx.trigger.webhook_urls["renders"]
    body = {"renderId": 1, "s3Bucket": "first-render", "status": "complete"}
    started = ctx.step("call renders", post, url, body)
    return {"called": url, "answer": started}


def post(url: str, body: Any) -> Any:
    request = Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


# --- a flow whose caller waits ------------------------------------------------------------------------------


@acme.flow("widgets", synchronous=True)
def widgets(ctx: Any) -> dict[str, Any]:
    """Look a widget up; its caller gets the result."""
    if ctx.input.get("item") != "Widgets":
        raise LookupError("The widget requested is not in the database")
    return {"item": "Widgets", "quantity": 5}
