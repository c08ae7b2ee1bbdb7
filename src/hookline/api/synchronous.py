"""Answer with the result: the caller waits, for so long as the trigger or the caller says, and no longer.

The waiter is registered before the execution is stored, the execution is durable before anything is answered, and
who leaves cancels nothing (PROMISES P20). When the wait is over, or when this node lets too many wait already, the
answer is the id: 202, which is not a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api import prismatic
from hookline.api.errors import Answer
from hookline.api.publish import REPLAYED, other_request
from hookline.api.results import LONGEST_WAIT, failed, inline, result_url, still_running
from hookline.core.preferences import preferences, whole_seconds
from hookline.engine.endings import ending_of
from hookline.engine.vault import ANSWER
from hookline.errors import StorageError
from hookline.model.executions import Ending
from hookline.model.ids import Key, new_key, parse, public
from hookline.model.states import ExecutionStatus
from hookline.ports import Repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.engine.receive import ExecutionStart
    from hookline.model.executions import Execution

DEFAULT_WAIT: Final = 25
"""Seconds (CONTRACT section 3): less than the 30 after which many proxies and callers give up."""


class Wish(msgspec.Struct, frozen=True):
    """How long a caller waits. applied: what Preference-Applied says, None when nothing was preferred."""

    seconds: int
    applied: bytes | None = None


def wish_of(settings: Mapping[str, Any], prefer: bytes | None, *, is_asked: bool = False) -> Wish | None:
    """Return how long to wait for the result, None to answer at once.

    settings: the trigger's.  prefer: the header (RFC 7240).  is_asked: a profile's own header asks for the result.
    """
    wanted = {} if prefer is None else preferences(prefer.decode("latin-1"))
    default = int(settings.get("wait_seconds", DEFAULT_WAIT))
    is_synchronous = is_asked or bool(settings.get("synchronous"))
    seconds = whole_seconds(wanted.get("wait", ""))
    if seconds is not None:
        seconds = min(seconds, LONGEST_WAIT)
        return Wish(seconds, b"wait=%d" % seconds) if seconds else None
    if not is_synchronous or "respond-async" in wanted:
        return None
    return Wish(default)


class Outcome(msgspec.Struct, frozen=True):
    """What came of a synchronous call. ending: None when the run goes on; then status says what it does."""

    execution_id: Key
    ending: Ending | None
    status: str


async def answer(
    site: Site,
    request: Inbound,
    start: ExecutionStart,
    wish: Wish,
    *,
    profile: str,
    words: Callable[[Execution], bytes],
) -> Answer:
    """Store the execution, wait for its end, and answer in the words of a profile.

    profile: ``native`` or ``prismatic``.  words: what the asynchronous answer would say; kept for repeats of
    ``start.once``, which wait for the first one's execution. Raises StorageError when nothing was stored,
    ConflictError for a repeat that is not one, CallerGoneError when nobody is there to be answered.
    """
    vault = site.services.vault
    sealed = None if start.once is None else lambda execution: vault.seal(words(execution), ANSWER)
    outcome = await _run_and_wait(site, request, start, wish, sealed)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(outcome, Repeat):
        if not outcome.is_same:
            raise other_request()
        first = execution_in(vault.open(outcome.answer, ANSWER))
        outcome = await _wait_again(site, request, first, wish)
        headers = (REPLAYED,)
    if profile == "prismatic":
        headers += prismatic.headers_of(outcome.execution_id, request.method)
        return with_headers(_led(site, outcome), *headers)
    return with_headers(_told(site, outcome, wish), *headers)


async def _run_and_wait(
    site: Site,
    request: Inbound,
    start: ExecutionStart,
    wish: Wish,
    sealed: Callable[[Execution], bytes] | None,
) -> Outcome | Repeat:
    id_ = new_key()
    with site.services.endings.expect(id_) as waiter:
        start = msgspec.structs.replace(start, id=id_, is_awaited=True)
        result = await site.services.start_execution(start, answer=sealed)
        if isinstance(result, Repeat):
            return result
        if result.id == id_ and site.services.endings.has_room:
            with request.waiting() as left:
                ending = await waiter.ended(wish.seconds, left=left)
            return await _outcome(site, id_, ending)
    # An earlier execution stands for this one (it was merged or skipped), or too many wait here already.
    return await _wait_again(site, request, result.id, wish)


async def _wait_again(site: Site, request: Inbound, execution_id: Key, wish: Wish) -> Outcome:
    """Wait for an execution that is stored already."""
    endings = site.services.endings
    ending = None
    if endings.has_room:
        with request.waiting() as left:
            ending = await endings.join(execution_id, wish.seconds, left=left)
    return await _outcome(site, execution_id, ending)


def execution_in(answer: bytes) -> Key:
    """Return the execution that a first answer names, in the words of either profile."""
    told = msgspec.json.decode(answer)
    if "executionId" in told:
        found = prismatic.parse_execution_id(told["executionId"])
    else:
        found = parse("execution", told["execution_id"])
    if found is None:
        raise ValueError("an answer of ours names its execution")
    return found


async def _outcome(site: Site, execution_id: Key, ending: Ending | None) -> Outcome:
    """Ask the record when nothing was told: the wait is over, and the answer says how it stands now."""
    if ending is not None:
        return Outcome(execution_id, ending, str(ending.status))
    try:
        found = await site.services.store.execution(execution_id, organization_id=None)
    except StorageError:
        found = None  # it is stored all the same, and whoever asks later will see it
    if found is None:
        return Outcome(execution_id, None, "queued")
    return Outcome(execution_id, ending_of(found) if found.status.is_terminal else None, str(found.status))


# --- answers ------------------------------------------------------------------------------------------------


def _told(site: Site, outcome: Outcome, wish: Wish) -> Answer:
    """The result itself, 202 while it runs, 500 or 504 when it failed (CONTRACT section 3)."""
    ending = outcome.ending
    if ending is None:
        answer = still_running(site, outcome.execution_id, outcome.status, profile="native")
    elif ending.status is ExecutionStatus.SUCCEEDED:
        answer = inline(ending)
    else:
        answer = failed(ending, profile="native")
    more = [(b"hookline-execution-id", public("execution", outcome.execution_id).encode())]
    if wish.applied is not None:
        more.append((b"preference-applied", wish.applied))
    return with_headers(answer, *more)


def _led(site: Site, outcome: Outcome) -> Answer:
    """303 to the result, which answers 202 until there is one; 400 with what was thrown (PR-4, PR-6, PR-X5)."""
    ending = outcome.ending
    if ending is not None and ending.status is not ExecutionStatus.SUCCEEDED:
        return failed(ending, profile="prismatic")
    url = result_url(site, outcome.execution_id, profile="prismatic")
    return Answer(303, b"", ((b"location", url.encode("ascii", "replace")),))


def with_headers(answer: Answer, *headers: tuple[bytes, bytes]) -> Answer:
    return msgspec.structs.replace(answer, headers=(*answer.headers, *headers))
