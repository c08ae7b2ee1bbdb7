"""``hookline listen``: events of a running server go to a program on this machine, worded and signed as live ones."""

from __future__ import annotations

import asyncio
import json as json_text
import os
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError
from hookline.cli.events import end_of_feed
from hookline.cli.options import Json

if TYPE_CHECKING:
    from hookline.dialects import Dialect
    from hookline.model.events import Event
    from hookline.ports.sender import Answer, Outgoing

_IDLE_SECONDS: Final = 0.5
_WEBHOOK_ID: Final = "wh_00000000-0000-7000-8000-000000000000"
"""Stands where a registered webhook's id would stand."""

_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
"""Whoever types the address of a program on their own machine means it."""


def listen(
    *,
    forward: str | None = None,
    events: Annotated[str, Parameter(name=["--events", "--event", "-e"])] = "*",
    dialect: str = "agenticflow",
    secret: str | None = None,
    after: str | None = None,
    json: Json = False,
) -> None:
    """Send events of a running server to a program on this machine, until Ctrl-C.

    No public URL is needed: this command asks the server for what happens and posts it, worded and signed as a webhook
    would be. Nothing is registered, and nothing is sent twice: an error is shown, and the next event goes on.

    For example:

    ```
    hookline listen --forward http://localhost:3000/hook
    hookline listen --forward http://localhost:3000/hook --events 'workflow.*,order.paid' --dialect standard
    ```

    Parameters
    ----------
    forward
        Where to post, such as http://localhost:3000/hook; it must be given.
    events
        Event types or patterns, parted by commas.
    dialect
        How events are worded; see `hookline webhooks create --help`.
    secret
        Signing secret (whsec_…); a new one is made and shown when not given.
    after
        Cursor to begin at; from now on when not given.
    """
    if forward is None:
        raise CommandError("say where to post the events: --forward http://localhost:3000/hook")
    from hookline.core.addresses import parse_target
    from hookline.core.signing import check_own_secret, new_secret
    from hookline.dialects import get

    parse_target(forward, field="--forward")
    wording = get(dialect, field="--dialect")
    shown_secret = check_own_secret(secret) if secret else new_secret(secrets.token_bytes(32))
    patterns = tuple(pattern.strip() for pattern in events.split(",") if pattern.strip())
    if not patterns:
        raise CommandError("--events names no event type: leave it out for all of them")
    client = Client.from_environment()
    cursor = after if after is not None else end_of_feed(client)
    if not json:
        show.line(f"events of {client.url} go to {forward}; Ctrl-C ends it")
        if secret is None:
            show.line(f"signing secret {shown_secret}", "dim")
    forwarder = _Forwarder(client, forward, wording, shown_secret, patterns, as_json=json)
    asyncio.run(forwarder.run(cursor))


class _Forwarder:
    def __init__(
        self,
        client: Client,
        url: str,
        dialect: Dialect,
        secret: str,
        patterns: tuple[str, ...],
        *,
        as_json: bool,
    ) -> None:
        from hookline.core.addresses import AddressPolicy
        from hookline.core.matching import check_pattern, compile_patterns
        from hookline.senders.http import HttpSender

        self._client = client
        self._url = url
        self._dialect = dialect
        self._secret = secret
        self._wants = compile_patterns([check_pattern(pattern, field="--events") for pattern in patterns])
        self._as_json = as_json
        self._sender = HttpSender(AddressPolicy(_EVERYWHERE))

    async def run(self, cursor: str | None) -> None:
        try:
            while True:
                page = await asyncio.to_thread(self._client.get, "/api/v1/events", after=cursor, limit=100)
                for told in page["events"]:
                    if self._wants(told["type"]):
                        await self._forward(told)
                cursor = page.get("next") or cursor
                if not page["events"]:
                    await asyncio.sleep(_IDLE_SECONDS)
        finally:
            await self._sender.close()

    async def _forward(self, told: dict[str, Any]) -> None:
        answer = await self._sender.send(self._request(_event_of(told)))
        if self._as_json:
            print(json_text.dumps(_line(told, answer), ensure_ascii=False), flush=True)
            return
        verdict = f"{answer.status} in {answer.duration_ms} ms" if answer.status else answer.error or "failed"
        style = "green" if answer.error is None else "red"
        show.line(f"{_clock()}  {told['type']:<32} {verdict}", style)

    def _request(self, event: Event) -> Outgoing:
        from hookline.dialects.base import Recipient
        from hookline.ports.sender import Outgoing

        body = self._dialect.body(event, Recipient(webhook_id=_WEBHOOK_ID))
        signature = self._dialect.signature_headers(
            secret=self._secret,
            previous_secret=None,
            message_id=event.public_id,
            timestamp=int(time.time()),
            body=body,
        )
        headers = (
            ("Content-Type", self._dialect.content_type),
            *signature,
            *self._dialect.event_headers(event),
        )
        return Outgoing(url=self._url, headers=headers, body=body, timeout_seconds=30.0)


def _event_of(told: dict[str, Any]) -> Event:
    """The event that the feed tells of."""
    from hookline.model.events import Event
    from hookline.model.ids import parse

    key = parse("event", told["id"])
    at = datetime.fromisoformat(told["timestamp"]).astimezone(UTC)
    return Event(
        key=key if key is not None else os.urandom(16),
        own_id=None if key is not None else told["id"],
        organization_id=bytes(16),
        type=told["type"],
        data=json_text.dumps(told["data"], ensure_ascii=False, separators=(",", ":")).encode(),
        occurred_at=at,
        received_at=at,
        sequence=0,
        ordering_key=told.get("ordering_key"),
    )


def _line(told: dict[str, Any], answer: Answer) -> dict[str, Any]:
    return {
        "event_id": told["id"],
        "type": told["type"],
        "status": answer.status,
        "duration_ms": answer.duration_ms,
        "error": answer.error,
    }


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
