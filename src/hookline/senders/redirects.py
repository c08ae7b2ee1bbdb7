"""Follow redirects, as far as a webhook allows it: never as a different request, never with credentials for others.

Each hop is a request of its own over the same dial site, so its address is judged like any other. All hops share one
deadline. Of a delivery only 307 and 308 are followed: after any other a client would go on with a GET without the
body, and a receiver that answers that with 200 has received nothing (SEEDS PB-X2, RFC 9110 section 15.4). What is a
GET already stays one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import msgspec

from hookline.core.addresses import parse_target
from hookline.core.parameters import drop_parameter
from hookline.core.redact import forget, redact_url, spellings_of
from hookline.errors import InputError
from hookline.model.states import AttemptOutcome
from hookline.ports.sender import TlsOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.core.addresses import Target
    from hookline.ports.sender import Answer, Outgoing

_KEEPS_METHOD_AND_BODY: Final = (307, 308)
_KEEPS_A_GET: Final = (301, 302, 303, 307, 308)
_SHOWN_PLACE: Final = 500
"""Characters of a place in an error; the whole of it is in the answer's headers."""


class _StayError(Exception):
    """This redirect is not followed; the message says why."""


async def follow(send: Callable[[Outgoing], Awaitable[Answer]], request: Outgoing) -> Answer:
    """Send a request and up to ``max_redirects`` more. Returns the last answer, with the time of all of them.

    Its error names the place that was not followed, or the one where a followed redirect failed.
    """
    started = time.monotonic()
    hop, followed = request, 0
    answer = await send(hop)
    if answer.outcome is not AttemptOutcome.REDIRECT:
        return answer
    while answer.outcome is AttemptOutcome.REDIRECT:
        left = request.timeout_seconds - (time.monotonic() - started)
        try:
            hop = _next(hop, answer, left, followed=followed, most=request.max_redirects)
        except _StayError as exc:
            answer = msgspec.structs.replace(answer, error=_not_followed(request, answer, exc))
            break
        followed += 1
        answer = await send(hop)
    error = answer.error
    if followed and error is not None:
        last = "a redirect" if followed == 1 else f"{followed} redirects, the last"
        error = f"After {last} to {_shown(request, hop.url)}: {error}"
    duration_ms = round((time.monotonic() - started) * 1000)
    return msgspec.structs.replace(answer, error=error, duration_ms=duration_ms)


def _not_followed(request: Outgoing, answer: Answer, why: _StayError) -> str:
    if answer.location is None:
        return f"The receiver answered {answer.status}: {why}."
    place = _shown(request, answer.location)
    return f"The receiver answered {answer.status} and pointed to {place}, which was not followed: {why}."


def _shown(request: Outgoing, place: str) -> str:
    """Where a receiver pointed, without the secrets that it was sent and may repeat under any name."""
    secret = (request.query_secret or "").partition("=")[2]
    sent = spellings_of(secret, headers=request.headers, url=request.url)
    return forget(redact_url(place, _secret_names(request)).encode(), sent).decode()[:_SHOWN_PLACE]


def _next(hop: Outgoing, answer: Answer, seconds: float, *, followed: int, most: int) -> Outgoing:
    """Return the request that a redirect asks for. Raises _StayError."""
    if answer.location is None:
        raise _StayError("it does not say where to")
    if not most:
        raise _StayError("redirects are not followed")
    if followed >= most:
        raise _StayError(f"it is redirect number {followed + 1}, and {most} are followed")
    if answer.status not in (_KEEPS_A_GET if hop.method == "GET" else _KEEPS_METHOD_AND_BODY):
        turned = f"turns a {hop.method} into a GET without its body"
        raise _StayError(
            f"a {answer.status} {turned if answer.status in _KEEPS_A_GET else 'names no one place'}"
        )
    if seconds <= 0:
        raise _StayError("the time for this attempt is over")
    try:
        url = urljoin(hop.url, answer.location)
        before, after = parse_target(hop.url), parse_target(url)
    except (InputError, ValueError) as exc:
        raise _StayError("it is no address that a delivery may go to") from exc
    if before.scheme == "https" and after.scheme != "https":
        raise _StayError("it leads from https to http")
    changes: dict[str, object] = {"url": url, "timeout_seconds": seconds}
    for name in _secret_names(hop):
        # A receiver that repeats our query in its Location would hand the secret on, or get it twice.
        changes["url"] = drop_parameter(url, name)
    if _origin(before) != _origin(after):
        changes["query_secret"] = None
        changes["headers"] = tuple(
            [(name, value) for name, value in hop.headers if name.lower() not in hop.credentials]
        )
        changes["tls"] = None if hop.tls is None else TlsOptions(ca_pem=hop.tls.ca_pem)
    return msgspec.structs.replace(hop, **changes)


def _origin(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.ascii_host, target.port


def _secret_names(hop: Outgoing) -> tuple[str, ...]:
    """The name of the parameter that is a credential, if there is one."""
    return () if hop.query_secret is None else (hop.query_secret.partition("=")[0],)
