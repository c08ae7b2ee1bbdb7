"""The demo's robot: a page on this machine, a browser that reads it, its end told as Maxun tells it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from hookline.cli.demo.errors import DemoError
from hookline.cli.demo.narrator import brief

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookline.cli.demo.story import Demo

_WAIT_SECONDS: Final = 60.0
"""Longest wait for a run that takes about two seconds."""

_PAGE: Final = """<!doctype html><title>Shop</title><h1>Laptops</h1>
<ul><li><b>MacBook Air M2</b> <i>$1,199.00</i></li><li><b>MacBook Pro 16</b> <i>$3,999.00</i></li></ul>"""

_HEAD: Final = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"


def missing() -> str | None:
    """Say what to do before a robot can run here, None for nothing."""
    from hookline.runners.robot.checks import look

    return "; ".join(check.remedy for check in look(None) if check.remedy is not None) or None


async def show(demo: Demo) -> None:
    """Run it, and look at the picture that it took."""
    async with _shop() as url:
        await demo.register("maxun", ("robot.run.completed", "robot.run.failed"))
        wanted = demo.ledger.terminal + 1
        body = {"name": "Laptop prices", "recording": _recording(url), "pause_ms": 0}
        robot = await demo.call("POST", "/api/v1/robots", body, note=lambda got: f"robot {brief(got['id'])}")
        run = await demo.call(
            "POST",
            f"/api/v1/robots/{robot['id']}/runs",
            {},
            note=lambda got: f"{brief(got['execution_id'])}, {got['status']}",
        )
        demo.ledger.accept(run["execution_id"], "robot", "laptops")
        await demo.until_ended(wanted, seconds=_WAIT_SECONDS)
    path = f"/api/v1/executions/{run['execution_id']}/artifacts"
    found = await demo.call(
        "GET", path, note=lambda got: ", ".join(each["name"] for each in got["artifacts"])
    )
    if [each["content_type"] for each in found["artifacts"]] != ["image/png"]:
        raise DemoError("the robot's picture is not among its files")
    demo.narrator.note("ok", f"the robot's picture: PNG, {found['artifacts'][0]['size'] // 1024} KB")


def _recording(url: str) -> dict[str, Any]:
    """In Maxun's format: pairs run from the last to the first."""
    rows = {"listSelector": "li", "fields": {"Product": "b", "Price": "i"}}
    return {
        "workflow": [
            {
                "where": {"url": url},
                "what": [{"action": "scrapeList", "args": [rows]}, {"action": "screenshot", "name": "Shop"}],
            },
            {"where": {"url": "about:blank"}, "what": [{"action": "goto", "args": [url]}]},
        ]
    }


@asynccontextmanager
async def _shop() -> AsyncIterator[str]:
    """Serve one page on a free port; gives its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD.encode() + _PAGE.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
