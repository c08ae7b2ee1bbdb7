"""What a request to ``/trigger/…`` is answered, in the words of the trigger's profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.api import prismatic, synchronous
from hookline.api.call import rate_of
from hookline.api.errors import Answer, answer_of, status_of
from hookline.api.identity import unauthorized
from hookline.api.once import is_by_key
from hookline.api.publish import REPLAYED, other_request
from hookline.core.bodies import MalformedJsonError
from hookline.engine.vault import ANSWER
from hookline.errors import HandlerFailedError, InputError, StorageError, ThrottledError, VerificationError
from hookline.model.ids import public
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.api.call import Call
    from hookline.api.flows_in import Flow
    from hookline.api.services import Site
    from hookline.engine.receive import ExecutionStart
    from hookline.engine.routing import Answered
    from hookline.errors import HooklineError
    from hookline.model.configuration import Trigger
    from hookline.model.executions import Execution
    from hookline.model.ids import Key

_ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
_SANDBOX: Final = (b"content-security-policy", b"sandbox; default-src 'none'")
_PREFLIGHT_HEADERS: Final = (
    b"access-control-allow-headers",
    b"Accept,Api-Key,Authorization,Content-Type,Idempotency-Key,Prefer,Prismatic-Synchronous",
)
_HARMLESS: Final = frozenset({b"application/json", b"text/plain"})
_write: Final = msgspec.json.Encoder().encode


def accepted_status(trigger: Trigger, flow: Flow) -> int:
    """Return the status of an asynchronous answer (PR-2, PR-3, CONTRACT section 3)."""
    if flow.answer is not None:
        return flow.answer.status
    response = trigger.settings.get("response")
    if response is not None:
        return int(response["status"])
    return 200 if trigger.profile == "prismatic" else 202


async def answer(site: Site, call: Call, trigger: Trigger, start: ExecutionStart, flow: Flow) -> Answer:
    """Store the execution, and answer at once, or with its result when the trigger or its caller wants that.

    Raises StorageError when nothing was stored, ConflictError for a repeat that is not one.
    """
    headers, is_prismatic = call.request.headers, trigger.profile == "prismatic"
    words = words_of(trigger)
    is_asked = is_prismatic and headers.get(b"prismatic-synchronous", b"").strip().lower() == b"true"
    prefer = None if is_prismatic else headers.get(b"prefer")
    wish = synchronous.wish_of(trigger.settings, prefer, is_asked=is_asked or flow.is_synchronous)
    if wish is not None:
        found = await synchronous.answer(
            site, call.request, start, wish, profile=trigger.profile, words=words
        )
        return synchronous.with_headers(found, _ANY_ORIGIN) if is_prismatic else found
    vault = site.services.vault
    sealed = None if start.once is None else lambda execution: vault.seal(words(execution), ANSWER)
    result = await site.services.start_execution(start, answer=sealed)
    if not isinstance(result, Repeat):
        return _accepted(trigger, call, flow, result.id, words(result))
    if not result.is_same:
        raise other_request()
    assert start.once is not None
    first = vault.open(result.answer, ANSWER)
    execution_id = synchronous.execution_in(first)
    body = first if is_prismatic else await _stands(site, start.once, first, execution_id)
    return synchronous.with_headers(_accepted(trigger, call, flow, execution_id, body), REPLAYED)


def words_of(trigger: Trigger) -> Callable[[Execution], bytes]:
    """Return what words the answer that names an execution, as a repeat gets it too."""
    return _executed if trigger.profile == "prismatic" else _queued


def _queued(execution: Execution) -> bytes:
    return _write({"execution_id": public("execution", execution.id), "status": str(execution.status)})


def _executed(execution: Execution) -> bytes:
    return prismatic.executed(execution.id)


async def _stands(site: Site, once: Once, first: bytes, execution_id: Key) -> bytes:
    """Return how the first execution stands now, for a repeat that its sender's own id gave away.

    An Idempotency-Key gets the first answer to the letter (CONTRACT section 2).
    """
    if is_by_key(once):
        return first
    try:
        found = await site.services.store.execution(execution_id, organization_id=None)
    except StorageError:
        found = None  # it is stored all the same, and that is what the sender must know
    if found is None:
        return first
    told = {"execution_id": public("execution", execution_id), "status": str(found.status)}
    if found.error is not None:
        return _write(told | {"error": {"code": found.error.code, "message": found.error.message}})
    if found.status.is_terminal:
        return _write(told | {"result": msgspec.Raw(found.output or b"null")})
    return _write(told)


def _accepted(trigger: Trigger, call: Call, flow: Flow, execution_id: Key, body: bytes) -> Answer:
    """Return the asynchronous answer: that of the flow's ``on_trigger``, of the trigger, or the profile's own."""
    if flow.answer is not None:
        named = tuple(_named(trigger, call, execution_id))
        return _handlers_own(flow.answer, body if flow.answer.body is None else flow.answer.body, named)
    response = trigger.settings.get("response") or {}
    status, own = accepted_status(trigger, flow), response.get("body")
    headers = [
        (name.lower().encode(), text.encode()) for name, text in (response.get("headers") or {}).items()
    ]
    content_type = b"application/json"
    if own is not None:
        body = own.encode("utf-8", "surrogatepass") if isinstance(own, str) else _write(own)
        content_type = response["content_type"].encode()
        if content_type.partition(b";")[0].strip().lower() != b"application/json":
            headers.append(_SANDBOX)
    elif status in {204, 205, 304}:
        body = b""
    headers += _named(trigger, call, execution_id)
    return Answer(status, body, tuple(headers), content_type=content_type)


def instead_of_running(trigger: Trigger, flow: Flow) -> Answer:
    """Return what ``on_trigger`` answers without an execution, such as to a challenge (PR-12)."""
    assert flow.answer is not None
    headers = (_ANY_ORIGIN,) if trigger.profile == "prismatic" else ()
    return _handlers_own(flow.answer, flow.answer.body or b"", headers)


def _handlers_own(given: Answered, body: bytes, more: tuple[tuple[bytes, bytes], ...]) -> Answer:
    content_type = (given.content_type or "application/json").encode("latin-1")
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.headers.items()
    ]
    if content_type.partition(b";")[0].strip().lower() not in _HARMLESS:
        headers.append(_SANDBOX)
    if given.status in {204, 205, 304}:
        body = b""
    return Answer(given.status, body, (*headers, *more), content_type=content_type)


def _named(trigger: Trigger, call: Call, key: Key) -> list[tuple[bytes, bytes]]:
    if trigger.profile == "prismatic":
        return [*prismatic.headers_of(key, call.request.method), _ANY_ORIGIN]
    return [(b"hookline-execution-id", public("execution", key).encode())]


def options(trigger: Trigger, methods: tuple[str, ...]) -> Answer:
    """Answer OPTIONS. Pages of any origin may call a trigger of the Prismatic profile (PR-13b), no other."""
    allow = (b"allow", ", ".join((*methods, "OPTIONS")).encode())
    if trigger.profile != "prismatic":
        return Answer(204, b"", (allow,))
    cors = (b"access-control-allow-methods", ",".join(methods).encode())
    return Answer(204, b"", (allow, cors, _PREFLIGHT_HEADERS, _ANY_ORIGIN))


def refusal(error: HooklineError, call: Call) -> Answer:
    """Return how a refusal is told. Of a signature only that it is not valid: what is wrong is for its owner."""
    if isinstance(error, VerificationError):
        error = unauthorized()
    found = call.trigger
    if found is None or not found.document.is_enabled or found.document.profile != "prismatic":
        return answer_of(error)
    trigger = found.document
    if isinstance(error, ThrottledError):
        body = prismatic.throttled(trigger.path_id or "", rate_of(trigger))
        return Answer(429, body, ((b"retry-after", b"1"),))
    if isinstance(error, HandlerFailedError) or (isinstance(error, InputError) and status_of(error) == 400):
        # There is no execution; the id is the one under which the request is kept.
        body = (
            prismatic.MALFORMED if isinstance(error, MalformedJsonError) else prismatic.thrown(error.message)
        )
        headers = (*prismatic.headers_of(call.request_id, call.request.method), _ANY_ORIGIN)
        return Answer(400, body, headers)
    return answer_of(error)
