"""Triggers with a path of their own, over a running node whose work notes what it was given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from api_bed import PUBLIC_URL, serving
from engine_bed import ORDERS

from hookline.ports.runner import Succeeded
from hookline.runners.protocol import Start
from hookline.runners.session import RunSession

if TYPE_CHECKING:
    from api_bed import Api
    from asgi import Reply

    from hookline.model.executions import Automation
    from hookline.ports.runner import RunJob, RunListener
    from hookline.testing.fakes import Work
    from hookline.triggered import Trigger

__all__ = ["Door", "Seen", "serving"]


class Door:
    """One trigger. path: its URL without the server.  made: the answer that it was made with."""

    def __init__(self, api: Api, made: dict[str, Any]) -> None:
        self.api = api
        self.made = made
        self.path: str = made["url"].removeprefix(PUBLIC_URL)

    @classmethod
    async def open(
        cls, api: Api, profile: str = "native", auth: dict[str, Any] | None = None, **settings: Any
    ) -> Door:
        body = {
            "automation": {"kind": "workflow", "id": ORDERS.id},
            "profile": profile,
            "auth": auth or {"type": "none"},
            **settings,
        }
        made = await api.admin("POST", "/api/v1/triggers", body)
        assert made.status == 201, made
        return cls(api, made.json)

    async def __call__(
        self, body: Any = b"", rest: str = "", *, method: str = "POST", **headers: str
    ) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.anyone(method, self.path + rest, body, headers=sent)

    async def refused(self) -> list[dict[str, Any]]:
        """Return what is kept of refused requests, newest first."""
        found = await self.api.admin("GET", f"/api/v1/triggers/{self.made['id']}/requests?refused=true")
        kept: list[dict[str, Any]] = found.json["requests"]
        return kept

    async def executions(self) -> list[dict[str, Any]]:
        found = await self.api.admin("GET", "/api/v1/executions")
        started: list[dict[str, Any]] = found.json["executions"]
        return started


class Seen:
    """Notes what the automation ``orders`` is shown. work: for ``serving``.  inputs: their ``ctx.input``."""

    def __init__(self) -> None:
        self.triggers: list[Trigger] = []
        self.inputs: list[Any] = []
        self._came = asyncio.Event()

    @property
    def work(self) -> dict[Automation, Work]:
        return {ORDERS: self._work}

    async def first(self) -> Trigger:
        """Return what the first run was shown."""
        async with asyncio.timeout(8):
            await self._came.wait()
        return self.triggers[0]

    async def _work(self, job: RunJob, _: RunListener) -> Succeeded:
        session = RunSession(
            Start(1, job.execution_id, job.kind, job.automation_id, job.input, job.trigger, 1), (), _drop
        )
        self.triggers.append(session.trigger)
        self.inputs.append(session.input)
        self._came.set()
        return Succeeded(output=b'"done"')


def _drop(_: object) -> None:
    """Nobody is told."""
