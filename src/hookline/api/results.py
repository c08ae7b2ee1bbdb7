"""``GET /results/…``: what a run returned, for whoever holds the link (SEEDS PR-4, PR-13b, PR-X5).

The link names one execution and the words in which a failure is told, is signed with the installation's key and
expires; there is nothing to guess and nothing to look up in it. Only GET is signed: another method is refused. While
the run goes on the answer is 202, and ``Prefer: wait=N`` waits here, too.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.api import prismatic
from hookline.api.errors import Answer, error_body
from hookline.api.inbound import query_parameters
from hookline.core.content import JSON, content_of
from hookline.core.preferences import preferences, whole_seconds
from hookline.core.ranges import part_asked
from hookline.errors import ForbiddenError, HooklineError, MissingError
from hookline.model.ids import parse, public
from hookline.model.states import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.model.executions import Ending
    from hookline.model.ids import Key

PREFIX: Final = "/results/"
PROFILES: Final = ("native", "prismatic")
"""Whose words a failure is told in; part of the link."""

LIFETIME: Final = timedelta(days=30)
"""PR-13b: result objects expire about 30 days on."""

LONGEST_WAIT: Final = 90
"""Seconds that a caller may ask us to wait (CONTRACT section 3)."""

_RETRY_AFTER: Final = (b"retry-after", b"1")
_ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
# What a run made up must not act as a page of ours, whatever type it claims to be.
_SANDBOX: Final = (b"content-security-policy", b"sandbox; default-src 'none'")


def result_url(site: Site, execution_id: Key, *, profile: str) -> str:
    """Return a link to the result of an execution, good for LIFETIME. profile: one of PROFILES."""
    path = f"{PREFIX}{profile}/{public('execution', execution_id)}"
    expires_at = site.services.clock.now() + LIFETIME
    return f"{site.settings.public_url}{path}?token={site.services.vault.sign_link(path, expires_at)}"


async def result(site: Site, request: Inbound) -> Answer:
    """Answer a GET on a link. Raises ForbiddenError for a forged or expired one, MissingError when it is gone."""
    profile, execution_id = _verified(site, request)
    ending = await _ending(site, request, execution_id)
    if ending is None:
        found = await site.services.store.execution(execution_id, organization_id=None)
        if found is None:
            raise MissingError("There is no result any more.")
        return still_running(site, execution_id, str(found.status), profile=profile)
    if ending.status is not ExecutionStatus.SUCCEEDED:
        answer = failed(ending, profile=profile)
    else:
        answer = _sent(ending, request.headers)
    if profile != "prismatic":
        return answer
    more = prismatic.headers_of(execution_id, request.method)
    return msgspec.structs.replace(answer, headers=(*answer.headers, *more))


def _verified(site: Site, request: Inbound) -> tuple[str, Key]:
    """Return profile and execution of a link that is ours and alive."""
    profile, _, name = request.path.removeprefix(PREFIX).partition("/")
    execution_id = parse("execution", name)
    tokens = [v for k, v in query_parameters(request.scope.get("query_string", b"")) if k == "token"]
    if (
        profile not in PROFILES
        or execution_id is None
        or len(tokens) != 1
        or not site.services.vault.verify_link(request.path, tokens[0], site.services.clock.now())
    ):
        raise ForbiddenError("This link is not valid, or it has expired.", code="LINK_INVALID")
    return profile, execution_id


async def _ending(site: Site, request: Inbound, execution_id: Key) -> Ending | None:
    endings = site.services.endings
    wanted = whole_seconds(preferences(request.headers.get(b"prefer", b"").decode("latin-1")).get("wait", ""))
    if wanted and endings.has_room:
        with request.waiting() as left:
            return await endings.join(execution_id, min(wanted, LONGEST_WAIT), left=left)
    found = await site.services.store.endings((execution_id,))
    return found[0] if found else None


# --- answers, for synchronous triggers too ------------------------------------------------------------------


def still_running(site: Site, execution_id: Key, status: str, *, profile: str) -> Answer:
    """202: what to ask again. Location is the execution for whoever has a key; ``result_url`` needs none."""
    id_ = public("execution", execution_id)
    body = {
        "execution_id": id_,
        "status": status,
        "result_url": result_url(site, execution_id, profile=profile),
    }
    location = f"{site.settings.public_url}/api/v1/executions/{id_}"
    return Answer(
        202,
        msgspec.json.encode(body),
        ((b"location", location.encode("ascii", "replace")), _RETRY_AFTER, _ANY_ORIGIN),
    )


def failed(ending: Ending, *, profile: str) -> Answer:
    """What is answered for a run that did not succeed: never a 2xx (CONTRACT section 3, PR-6, PR-X4)."""
    error = ending.error
    message = error.message if error is not None else "The execution did not succeed."
    if profile == "prismatic":
        return Answer(400, prismatic.thrown(message))
    code = error.code if error is not None else str(ending.status).upper()
    told = msgspec.json.decode(error_body(HooklineError(message, code=code)))
    told["execution_id"] = public("execution", ending.execution_id)
    status = 504 if ending.status is ExecutionStatus.TIMED_OUT else 500
    return Answer(status, msgspec.json.encode(told))


def inline(ending: Ending) -> Answer:
    """200 with the result itself."""
    content = content_of(ending.output)
    return Answer(200, content.body, _guard(content.type), content_type=content.type.encode("ascii"))


def _guard(content_type: str) -> tuple[tuple[bytes, bytes], ...]:
    return () if content_type == JSON else (_SANDBOX,)


def _sent(ending: Ending, asked: Mapping[bytes, bytes]) -> Answer:
    """The result as an object: entity tag, date, ranges."""
    content = content_of(ending.output)
    body, kind = content.body, content.type.encode("ascii")
    tag = b'"%b"' % hashlib.sha256(kind + b"\0" + body).hexdigest()[:32].encode()
    date = format_datetime(ending.completed_at, usegmt=True).encode()
    headers = (
        (b"etag", tag),
        (b"last-modified", date),
        (b"accept-ranges", b"bytes"),
        _ANY_ORIGIN,
        *_guard(content.type),
    )
    part = part_asked(asked, tag=tag, date=date, size=len(body))
    if part.content_range is not None:
        headers = (*headers, (b"content-range", part.content_range))
    if part.status == 416:
        return Answer(416, unsatisfiable(len(body)), headers)
    cut = body[part.positions.start : part.positions.stop]
    return Answer(part.status, cut, headers, content_type=kind)


def unsatisfiable(size: int) -> bytes:
    """Return the body of a 416."""
    message = f"The range cannot be had: there are {size} bytes."
    return error_body(HooklineError(message, code="RANGE_NOT_SATISFIABLE"))
