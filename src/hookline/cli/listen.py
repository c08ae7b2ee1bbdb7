"""``hookline listen``: events of a running server go to a program on this machine, worded and signed as live ones."""

from __future__ import annotations

import asyncio
import json as json_text
import secrets
import time
from base64 import b64decode
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
        self._accepts = compile_patterns([check_pattern(pattern, field="--events") for pattern in patterns])
        self._as_json = as_json
        self._sender = HttpSender(AddressPolicy(_EVERYWHERE))

    async def run(self, cursor: str | None) -> None:
        try:
            while True:
                page = await asyncio.to_thread(self._client.get, "/api/v1/events", after=cursor, limit=100)
                for told in page["events"]:
                    if self._wants(told):
                        await self._forward(told)
                cursor = page.get("next") or cursor
                if not page["events"]:
                    await asyncio.sleep(_IDLE_SECONDS)
        finally:
            await self._sender.close()

    def _wants(self, told: dict[str, Any]) -> bool:
        """Say whether a webhook with these patterns would get it."""
        from hookline.core.event_types import is_told_by_ends

        type_, is_of_execution = told["type"], told["sequence"] is not None
        return self._accepts(type_) and (
            not self._dialect.tells_ends_only
            or is_told_by_ends(type_, self._accepts, is_of_execution=is_of_execution)
        )

    async def _forward(self, told: dict[str, Any]) -> None:
        worded = await asyncio.to_thread(self._word, told)
        answer = None if worded["body"] is None else await self._sender.send(self._request(told, worded))
        error = worded["error"] if answer is None else answer.error
        if self._as_json:
            print(json_text.dumps(_line(told, answer, error), ensure_ascii=False), flush=True)
            return
        if answer is not None and answer.status is not None:
            verdict = f"{answer.status} in {answer.duration_ms} ms"
        else:
            verdict = error or "failed"
        style = "green" if error is None else "red"
        show.line(f"{_clock()}  {told['type']:<32} {verdict}", style)

    def _word(self, told: dict[str, Any]) -> dict[str, Any]:
        """The body as a webhook of this dialect would get it: the server alone has the bytes that came and the run."""
        asked = {"event_id": told["id"], "changes": {"dialect": self._dialect.name}}
        worded: dict[str, Any] = self._client.post("/api/v1/webhooks/preview", asked)
        return worded

    def _request(self, told: dict[str, Any], worded: dict[str, Any]) -> Outgoing:
        from hookline.ports.sender import Outgoing

        text: str = worded["body"]
        body = text.encode() if worded["body_encoding"] == "utf-8" else b64decode(text)
        signature = self._dialect.signature_headers(
            secret=self._secret,
            previous_secret=None,
            message_id=told["id"],
            timestamp=int(time.time()),
            body=body,
        )
        headers = (
            ("Content-Type", worded["content_type"]),
            *signature,
            *self._dialect.event_headers(_event_of(told)),
        )
        if told["sequence"] is not None:
            headers = (*headers, ("Hookline-Sequence", str(told["sequence"])))
        return Outgoing(url=self._url, headers=headers, body=body, timeout_seconds=30.0)


def _event_of(told: dict[str, Any]) -> Event:
    """The event that the feed tells of, without its data."""
    from hookline.model.events import Event
    from hookline.model.ids import Key

    at = datetime.fromisoformat(told["timestamp"]).astimezone(UTC)
    return Event(
        key=Key(bytes(16)),
        organization_id=Key(bytes(16)),
        type=told["type"],
        data=b"{}",
        occurred_at=at,
        received_at=at,
    )


def _line(told: dict[str, Any], answer: Answer | None, error: str | None) -> dict[str, Any]:
    return {
        "event_id": told["id"],
        "type": told["type"],
        "status": None if answer is None else answer.status,
        "duration_ms": None if answer is None else answer.duration_ms,
        "error": error,
    }


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
