"""Kept requests, taken up again: checked with today's secrets, routed by hand, started once.

A kept request goes the way of one that has just come in, with three differences: its age is judged by the time of its
arrival, nobody waits for an answer, and it starts one execution at most, however often and by however many it is tried
(``ports.Accept.reruns``). What was not kept is never made up: a body that was cut, a URL that held a credential or a
credential itself cannot be checked again, and that is said.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from hookline.api import synchronous, trigger_answers
from hookline.api.call import Call, check_address
from hookline.api.inbound import Budget, Inbound, query_parameters
from hookline.api.publish import other_request
from hookline.api.records import MOST_PATH, MOST_QUERY
from hookline.api.spool import take_in
from hookline.api.starting import content_type_of, prepared, read, routed
from hookline.api.trigger_auth import (
    answer_handshake,
    credentials_in_query,
    may_be_signed,
    must_be_signed,
    signing_of,
    verify_signature,
)
from hookline.api.trigger_in import check_method
from hookline.core.redact import REDACTED
from hookline.engine.routing import Chosen
from hookline.engine.vault import ANSWER
from hookline.errors import ConflictError, MissingError, VerificationError
from hookline.model.configuration import Trigger
from hookline.model.ids import new_key
from hookline.ports import Repeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookline.api.flows_in import Flow
    from hookline.api.services import Site
    from hookline.api.spool import Spooled
    from hookline.core.inbound import Scheme
    from hookline.errors import HooklineError
    from hookline.model.configuration import Stored
    from hookline.model.executions import Execution, TriggerRequest
    from hookline.model.ids import Key

UNROUTABLE: Final = "unroutable"

_CHUNK_BYTES: Final = 1 << 20
_SIGNATURE: Final = VerificationError.code.lower()


class Started(NamedTuple):
    """What a kept request started. is_new: False when an earlier execution stands for it, such as that of its
    sender's own retry.
    """

    execution_id: Key
    is_new: bool


def refusal_of(kept: TriggerRequest) -> str:
    """Return why a request was refused, as one lower-case word; empty for one that was not."""
    return (kept.reason or "").partition(":")[0].lower()


def reason_of(error: HooklineError) -> str:
    """Return an error as such a word; of a signature what was wrong with it."""
    return error.reason if isinstance(error, VerificationError) else error.code.lower()


async def trigger_of(site: Site, kept: TriggerRequest) -> Stored[Trigger]:
    """Return the trigger that a request came to. Raises ConflictError when it is not there."""
    found = None
    if kept.trigger_id is not None:
        found = await site.services.store.get(Trigger, kept.trigger_id, organization_id=kept.organization_id)
    if found is None:
        raise ConflictError("No trigger is known for this request, or it is deleted.", code="TRIGGER_GONE")
    if found.document.path_id is None:  # such a trigger knows its callers by tokens and passwords alone
        raise _no_credential()
    return found


# --- checked ------------------------------------------------------------------------------------------------


def _no_credential() -> ConflictError:
    return ConflictError(
        "The credential that came with it is not kept, so it cannot be checked again; its sender must send it again.",
        code="CREDENTIAL_NOT_KEPT",
    )


def _no_body() -> ConflictError:
    return ConflictError("Its body is not kept any more.", code="BODY_GONE")


def check_kept(trigger: Trigger, scheme: Scheme | None, kept: TriggerRequest) -> None:
    """Raise ConflictError when something besides the body is not kept that a check, or the code that runs, looks at."""
    if refusal_of(kept) == "unauthorized" or (scheme is not None and _is_redacted(scheme, kept)):
        raise _no_credential()
    hidden = credentials_in_query(trigger, scheme)
    shown = [(name, value) for name, value in _parameters(kept) if name not in hidden]
    is_cut = len(kept.path) >= MOST_PATH or len(kept.query) >= MOST_QUERY
    if is_cut or any(value == REDACTED for _, value in shown):
        raise ConflictError(
            "Its URL held a credential, which is not kept, or was too long to be kept; its sender must send it again.",
            code="URL_NOT_KEPT",
        )


def _is_redacted(scheme: Scheme, kept: TriggerRequest) -> bool:
    headers = {name.lower() for name, value in kept.headers if value == REDACTED}
    parameters = {name for name, value in _parameters(kept) if value == REDACTED}
    lost = {"header": headers, "query": parameters}
    return any(not lost.get(source.place, set()).isdisjoint(source.names) for source in scheme.signature)


def _parameters(kept: TriggerRequest) -> list[tuple[str, str]]:
    return query_parameters(kept.query.encode("latin-1"))


@asynccontextmanager
async def reopened(site: Site, found: Stored[Trigger], kept: TriggerRequest) -> AsyncIterator[Call]:
    """Return a kept request as it came in, its body to be read while the context is open.

    Raises ConflictError for one of which something is not kept.
    """
    signed = await signing_of(site, found.document)
    check_kept(found.document, None if signed is None else signed.scheme, kept)
    async with body_chunks(site, kept) as chunks:
        call = _call(site, found, kept, chunks)
        must_be_signed(call, signed)
        yield call


@asynccontextmanager
async def body_chunks(site: Site, kept: TriggerRequest) -> AsyncIterator[AsyncIterator[bytes]]:
    """Return the exact bytes of a body while the context is open. Raises ConflictError when they are not all kept."""
    if kept.body_size is None:
        raise ConflictError(
            "It was refused before its body was read; its sender must send it again.", code="BODY_NOT_READ"
        )
    if not kept.is_whole:
        raise ConflictError(
            f"Of its {kept.body_size} bytes only the first {len(kept.body)} are kept; its sender must send it again.",
            code="BODY_CUT",
        )
    if kept.body_blob is None:
        yield _held(kept.body)
        return
    blobs = site.services.blobs
    if blobs is None:
        raise _no_body()
    async with AsyncExitStack() as stack:
        try:
            path = await stack.enter_async_context(blobs.local(kept.body_blob))
        except MissingError as exc:
            raise _no_body() from exc
        yield _read(path)


async def _held(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _read(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _call(site: Site, found: Stored[Trigger], kept: TriggerRequest, chunks: AsyncIterator[bytes]) -> Call:
    trigger = found.document
    _, _, rest = kept.path.partition("/trigger/")[2].partition("/")
    raw = f"/trigger/{trigger.path_id}" + (f"/{rest}" if rest else "")
    scope: dict[str, Any] = {
        "method": kept.method,
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
        "raw_path": raw.encode("latin-1"),
        "query_string": kept.query.encode("latin-1"),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers
        ],
        "client": (kept.remote_address, 0),
    }

    async def receive() -> dict[str, Any]:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    request = Inbound(scope, receive, Budget())
    call = Call(site, request, request_id=kept.id)
    call.trigger = found
    call.received_at = kept.received_at
    call.remote_address = kept.remote_address
    call.path_fragment = call.request.path.removeprefix("/trigger/").partition("/")[2].strip("/")
    call.parameters = query_parameters(scope["query_string"])
    return call


async def take_in_again(site: Site, call: Call, kept: TriggerRequest) -> Spooled:
    """Read the body as when it came; large ones become blobs of the execution's own."""
    assert call.trigger is not None
    assert kept.body_size is not None
    blobs = None if may_be_signed(site, call.trigger.document) else site.services.blobs
    spooled = await take_in(call.request, max(1, kept.body_size), blobs, content_type_of(call.request))
    call.took_in(spooled)
    return spooled


def check_again(site: Site, call: Call) -> str | None:
    """Check what a request must bring, by today's settings and secrets. Returns the id that its signature's scheme
    dedupes by, or None. Raises VerificationError, ForbiddenError, MethodError, or ConflictError for a handshake.
    """
    assert call.trigger is not None
    trigger = call.trigger.document
    check_method(trigger, call.request.method)
    check_address(trigger, call.remote_address)
    if answer_handshake(site, call) is not None:
        raise ConflictError(
            "It asked whether this URL is ours; nobody waits for the answer any more.", code="HANDSHAKE"
        )
    return verify_signature(site, call)


async def check_route(site: Site, call: Call, spooled: Spooled) -> Flow:
    """Return where a request would go, and check what only that tells: the signature that its flow asks for. Starts
    nothing. Raises VerificationError, and as the router does.
    """
    assert call.trigger is not None
    flow, _ = await routed(site, call, call.trigger, await read(spooled, call.request), chosen=Chosen())
    return flow


def is_checked_again(kept: TriggerRequest) -> bool:
    """Say whether a request was refused for who sent it, which another secret may change."""
    return refusal_of(kept) in {_SIGNATURE, "unauthorized"}


# --- started ------------------------------------------------------------------------------------------------


async def start_again(
    site: Site, call: Call, spooled: Spooled, *, dedupe_id: str | None = None, chosen: Chosen | None = None
) -> Started | None:
    """Start what a kept request asks for, once. None when its ``on_trigger`` answers it without an execution.

    Raises ConflictError (``ALREADY_RAN``, or a repeat that is not one) and as ``prepared`` does: nothing is stored.
    """
    assert call.trigger is not None
    found, services = call.trigger, site.services
    try:
        start, _ = await prepared(site, call, found, spooled, dedupe_id=dedupe_id, chosen=chosen)
    except BaseException:
        await spooled.forget(services.blobs)
        raise
    if start is None:
        await spooled.forget(services.blobs)
        return None
    own_id = new_key()
    start = msgspec.structs.replace(start, id=own_id, request=None, reruns=call.request_id)
    sealed = None if start.once is None else _sealing(site, found.document)
    try:
        result = await services.start_execution(start, answer=sealed)
    except ConflictError:  # after a StorageError an execution may be stored that refers to what was written
        await spooled.forget(services.blobs)
        raise
    if not isinstance(result, Repeat):
        return Started(result.id, result.id == own_id)
    await spooled.forget(services.blobs)
    if not result.is_same:
        raise other_request()
    first = synchronous.execution_in(services.vault.open(result.answer, ANSWER))
    await services.attribute(found.organization_id, call.request_id, first)
    return Started(first, is_new=False)


def _sealing(site: Site, trigger: Trigger) -> Any:
    words = trigger_answers.words_of(trigger)

    def sealed(execution: Execution) -> bytes:
        return site.services.vault.seal(words(execution), ANSWER)

    return sealed
