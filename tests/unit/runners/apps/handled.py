"""An app whose handlers do everything that handlers do, well and badly."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any
from xml.etree import ElementTree as ET

from hookline import App, ConfigVariable, HttpResponse, Route, TriggerResult


def _route(payload: Any) -> Any:
    if payload.headers.get("x-odd") == "number":
        return 17
    return Route(flow=payload.headers.get("x-flow"), customer=payload.body.data["tenant"])


app = App()
acme = app.integration(
    "acme",
    endpoint="shared",
    route=_route,
    config={"token": ConfigVariable(secret=True)},
)


async def deploy(ctx: Any) -> Any:
    await asyncio.sleep(0)
    ctx.log("registering", url=ctx.webhook_urls[ctx.flow.name])
    sys.stdout.write("printed\n")
    return {"seen": ctx.config["token"], "before": ctx.instance_state, "pid": os.getpid()}


def misbehave(ctx: Any) -> Any:
    match ctx.config["token"]:
        case "raise":
            raise RuntimeError("the other side said no")
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(60)
        case "object":
            return object()
        case "quit":
            raise SystemExit(1)
    return os.getpid()


def xml(ctx: Any, payload: Any) -> Any:
    """PR-12: parse XML, answer with its challenge, run with the parsed body."""
    root = ET.fromstring(payload.raw_body.data.decode())
    parsed = {root.tag: {child.tag: child.text for child in root}}
    payload.body.data = parsed
    return TriggerResult(
        payload, HttpResponse(200, "text/plain", parsed["notification"]["challenge"], {"X-Seen": "yes"})
    )


async def change(ctx: Any, payload: Any) -> Any:
    match payload.query_parameters.get("do"):
        case None:
            payload.body.data["added"] = True
            return payload
        case what:
            return ANSWERS[what]()


ANSWERS: Any = {
    "challenge": lambda: HttpResponse(201, body={"challenge": 1}),
    "nothing": lambda: None,
    "mapping": lambda: TriggerResult({"body": {"data": b"\x00\xff", "content_type": "image/png"}}),
    "wrong": lambda: 17,
    "status": lambda: HttpResponse(99),
    "cookie": lambda: HttpResponse(headers={"Set-Cookie": "a=b"}),
    "split": lambda: HttpResponse(headers={"X-A": "b\r\nX-C: d"}),
}


@acme.flow("xml", on_trigger=xml)
def by_xml(ctx: Any) -> Any:
    return ctx.input


@acme.flow("orders", on_trigger=change, on_deploy=deploy, on_remove=misbehave)
async def orders(ctx: Any) -> Any:
    return {
        "config": ctx.config,
        "state": ctx.instance_state,
        "keys": ctx.trigger.webhook_api_keys,
        "customer": ctx.trigger.customer.external_id,
    }
