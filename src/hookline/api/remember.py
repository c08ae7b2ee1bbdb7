"""``Idempotency-Key`` on the cold routes: the first answer to a key is kept, sealed, and given again (P5).

A key is reserved before the route runs, so of any number of equal calls at once, on any nodes, one runs and the
others wait for its answer. Only answers of 2xx are kept: what failed may be tried again with the same key.
A node that dies between its work and its answer leaves a reservation that the next caller takes over, and the work
is then done twice: only the hot routes, which write both in one transaction, have no such gap.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from hookline.api.errors import Answer, UnavailableError
from hookline.api.publish import ONCE_WINDOW, REPLAYED, other_request
from hookline.engine.vault import ANSWER
from hookline.errors import StorageError
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.api.identity import Caller
    from hookline.api.inbound import AsgiApp, Receive, Scope
    from hookline.api.services import Services

_log = structlog.get_logger("hookline.api")

_LONGEST_WAIT_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.25
_KEPT_HEADERS: Final = frozenset({b"location"})


async def answer_once(
    services: Services,
    caller: Caller,
    scope: Scope,
    *,
    key: str,
    body: bytes,
    run: Callable[[], Awaitable[Answer]],
) -> Answer:
    """Return the answer of ``run``, or what it was the first time. Raises ConflictError for another request."""
    query: bytes = scope.get("query_string", b"")
    once = Once(
        scope=caller.organization_id,
        name=f"{scope['method']} {scope['path']} {key}",
        digest=hashlib.sha256(query + b"\0" + body).digest(),
        answer=b"",
        expires_at=services.clock.now() + ONCE_WINDOW,
    )
    known = await reserve(services, once)
    if known is False:
        raise UnavailableError(
            "The first request with this Idempotency-Key has not ended yet.", code="IDEMPOTENCY_KEY_BUSY"
        )
    if isinstance(known, Repeat):
        if not known.is_same:
            raise other_request()
        return _unpack(services, known.answer)
    try:
        answer = await run()
    except BaseException:
        await forget(services, once)
        raise
    if not 200 <= answer.status < 300:
        await forget(services, once)
        return answer
    try:
        await services.onces.finish(
            msgspec.structs.replace(once, answer=_pack(services, answer)), services.epoch
        )
    except StorageError as exc:
        # The work is done and stored: saying so is more useful than an error that asks for it again.
        _log.warning("answer_not_remembered", reason=exc.message)
    return answer


async def reserve(services: Services, once: Once) -> Repeat | bool:
    """Return what was answered before, or whether the name is ours now: for a while we wait for one who holds it."""
    pause, deadline = _FIRST_PAUSE_SECONDS, services.clock.elapsed() + _LONGEST_WAIT_SECONDS
    while True:
        result = await services.onces.reserve(once, services.epoch)
        if result is not False or services.clock.elapsed() >= deadline:
            return result
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def forget(services: Services, once: Once) -> None:
    """Give a name back that was reserved."""
    try:
        await services.onces.forget(once, services.epoch)
    except StorageError as exc:
        _log.warning("reservation_not_returned", reason=exc.message)


def _pack(services: Services, answer: Answer) -> bytes:
    return services.vault.seal(msgspec.msgpack.encode(answer), ANSWER)


def _unpack(services: Services, sealed: bytes) -> Answer:
    answer = msgspec.msgpack.decode(services.vault.open(sealed, ANSWER), type=Answer)
    return msgspec.structs.replace(answer, headers=(*answer.headers, REPLAYED))


async def capture(app: AsgiApp, scope: Scope, receive: Receive) -> Answer:
    """Run an application and return its whole answer."""
    status = 500
    headers: list[tuple[bytes, bytes]] = []
    chunks: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message["headers"])
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    kinds = [value for name, value in headers if name == b"content-type"]
    return Answer(
        status,
        b"".join(chunks),
        tuple((name, value) for name, value in headers if name in _KEPT_HEADERS),
        kinds[0] if kinds else b"application/json",
    )
