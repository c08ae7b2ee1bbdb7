"""One request to a trigger, from whichever route: what is known of it, what it may take, and what is kept of it.

A refused request is kept with its reason: under its trigger when that is known; else, some a second only, under the
installation's first organization, since an unknown caller must not fill anyone's database.
"""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.errors import status_of
from hookline.core.forwarded import client_address
from hookline.core.hops import hops_in, shown
from hookline.core.octets import wrapped
from hookline.core.rate import SlidingWindow
from hookline.core.redact import redact_headers, redact_path, redact_query
from hookline.core.times import rfc3339
from hookline.engine.manage.start import default_organization
from hookline.errors import ForbiddenError, HooklineError, StorageError, ThrottledError, UnroutableError
from hookline.model.executions import TriggerRequest
from hookline.model.ids import new_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.core.bodies import Body
    from hookline.core.octets import Kept
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.ids import Key

RATE_PER_SECOND: Final = 50.0
"""Requests a second that one trigger takes on one node unless it says otherwise (CONTRACT section 3)."""

_KEPT_PER_SECOND: Final = 5
"""Refused requests that are kept a second: of one trigger, and of all unknown callers together."""

_MOST_KEPT_BYTES: Final = 64 * 1024
MOST_UNROUTABLE_BYTES: Final = 1 << 20
"""Bytes kept of the body of a request that cannot be routed: nearly always all of it."""
_MOST_WINDOWS: Final = 10_000
_TOKEN: Final = frozenset({"token"})

_write: Final = msgspec.json.Encoder().encode


class Gatekeeper:
    """Counts the requests of each trigger on this node. One per node."""

    def __init__(self) -> None:
        self._passing: dict[tuple[Key, float], SlidingWindow] = {}
        self._keeping: dict[Key, SlidingWindow] = {}

    def __repr__(self) -> str:
        return f"Gatekeeper(triggers={len(self._passing)})"

    def check_rate(self, trigger: Stored[Trigger], now: float) -> None:
        """Raise ThrottledError when the trigger has had its share of the last second."""
        rate = rate_of(trigger.document)
        place = (trigger.id, rate)
        window = self._passing.get(place)
        if window is None:
            if len(self._passing) >= _MOST_WINDOWS:
                self._passing.clear()
            limit = max(1, int(rate))
            window = self._passing[place] = SlidingWindow(limit, limit / rate)
        wait = window.ask(now)
        if wait > 0:
            raise ThrottledError(
                f"This URL takes {rate:g} requests a second.", retry_after_seconds=max(1, int(wait + 0.999))
            )

    def may_keep(self, source: Key, now: float) -> bool:
        """Say whether one more refused request of this source is kept."""
        if len(self._keeping) >= _MOST_WINDOWS:
            self._keeping.clear()
        return self._keeping.setdefault(source, SlidingWindow(_KEPT_PER_SECOND)).ask(now) <= 0


class Call:
    """One request on its way through the steps: what is known of it so far, for the record.

    remote_address: of the caller, behind the operator's own proxies.  request_id: of the record.
    path_fragment: what follows the trigger's own path.  hidden: query parameters that are credentials.
    body_digest: SHA-256 of a body that is kept elsewhere, None for one that is here.
    """

    __slots__ = (
        "_headers",
        "body",
        "body_digest",
        "hidden",
        "kept",
        "parameters",
        "path_fragment",
        "remote_address",
        "request",
        "request_id",
        "trigger",
    )

    def __init__(self, site: Site, request: Inbound) -> None:
        self.request = request
        self.remote_address = _remote_address(site, request)
        self.request_id = new_key()
        self.parameters: list[tuple[str, str]] = []
        self.hidden = _TOKEN
        self.path_fragment = ""
        self.body = b""
        self.body_digest: bytes | None = None
        self.kept: Kept | None = None
        self.trigger: Stored[Trigger] | None = None
        self._headers: tuple[tuple[str, str], ...] | None = None

    def __repr__(self) -> str:
        return f"Call({self.request!r})"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers without credentials."""
        if self._headers is None:
            self._headers = redact_headers(
                [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in self.request.scope["headers"]
                ]
            )
        return self._headers

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body."""
        return self.body_digest or hashlib.sha256(self.body).digest()

    @property
    def joined_headers(self) -> dict[str, str]:
        """The headers without credentials by name in lower case; the values of a repeated one joined."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    @property
    def shown_parameters(self) -> dict[str, str]:
        """The query parameters without the credential; of a repeated one the last value."""
        return {name: value for name, value in self.parameters if name not in self.hidden}

    def payload(self, body: Body) -> dict[str, Any]:
        """Return what a field of ``core.routing`` leads into."""
        return {
            "headers": self.joined_headers,
            "query_parameters": self.shown_parameters,
            "path_fragment": self.path_fragment,
            "body": {"data": body.data},
        }


def _remote_address(site: Site, request: Inbound) -> str:
    trusted = site.settings.trusted_proxies
    if not trusted:
        return request.remote_address
    forwarded = [
        value.decode("latin-1") for name, value in request.scope["headers"] if name == b"x-forwarded-for"
    ]
    return client_address(request.remote_address, forwarded, trusted)


def rate_of(trigger: Trigger) -> float:
    """Return how many requests a second a trigger takes."""
    return float(trigger.settings.get("rate_per_second", RATE_PER_SECOND))


def check_address(trigger: Trigger, address: str) -> None:
    """Raise ForbiddenError when the trigger lists addresses and this is none of them."""
    allowed = trigger.settings.get("ip_allowlist")
    if allowed and not _is_listed(address, allowed):
        raise ForbiddenError("Requests from this address are not allowed here.", code="ADDRESS_NOT_ALLOWED")


def _is_listed(address: str, networks: list[str]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in ip_network(network) for network in networks)


# --- what is stored -----------------------------------------------------------------------------------------


def trigger_json(site: Site, call: Call, body: Body, **more: Any) -> bytes:
    """Return what ``ctx.trigger`` shows. The credential is not part of it: the code needs none of it.

    more: what else it shows, or shows instead.  Raises ConflictError when it came in a circle.
    """
    request = call.request
    declared = request.headers.get(b"content-type")
    content_type = None if declared is None else declared.decode("latin-1")
    shown_body: dict[str, Any] = {"content_type": content_type}
    if not body.is_raw:  # else its data are those of raw_body, which are carried once
        shown_body["data"] = msgspec.Raw(body.text or b"null")
    return _write(
        {
            **shown(hops_in(request.headers.get(b"hookline-hops"))),
            "method": request.method,
            "headers": call.joined_headers,
            "query_parameters": call.shown_parameters,
            "path_fragment": call.path_fragment,
            "raw_body": {"data": wrapped(call.kept or call.body), "content_type": content_type},
            "body": shown_body,
            "invoke_url": f"{site.settings.public_url}{request.path}",
            "started_at": rfc3339(site.services.clock.now()),
            **more,
        }
    )


def record_of(
    site: Site,
    call: Call,
    organization_id: Key,
    *,
    status: int,
    reason: str | None = None,
    most_bytes: int = _MOST_KEPT_BYTES,
) -> TriggerRequest:
    """Return the request for the record: accepted whole, refused capped, never with a credential."""
    request = call.request
    return TriggerRequest(
        id=call.request_id,
        organization_id=organization_id,
        trigger_id=call.trigger.id if call.trigger is not None else None,
        execution_id=None,
        received_at=site.services.clock.now(),
        method=request.method,
        path=redact_path(request.path)[:1024],
        query=redact_query(request.scope.get("query_string", b"").decode("latin-1"))[:4096],
        headers=call.headers,
        body=call.body if reason is None else call.body[:most_bytes],
        remote_address=call.remote_address,
        status=status,
        reason=reason,
    )


async def keep_refused(
    site: Site,
    gatekeeper: Gatekeeper,
    call: Call,
    error: HooklineError,
    explain: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Keep a refused request with its reason, if there is room for one more.

    explain: says more than the error's message, at a cost that is paid for kept ones only.
    """
    if isinstance(error, StorageError | UnroutableError):
        return  # nothing can be kept now, and the caller was told to come again; or it is kept already
    trigger = call.trigger
    source = b"" if trigger is None else trigger.id
    if not gatekeeper.may_keep(source, site.services.clock.elapsed()):
        return
    if trigger is not None:
        organization_id: Key | None = trigger.organization_id
    else:
        organization_id = await default_organization(site.services.store)
    if organization_id is not None:
        reason = f"{error.code}: {error.message if explain is None else await explain()}"
        await site.services.keep_request(
            record_of(site, call, organization_id, status=status_of(error), reason=reason)
        )


async def keep_unroutable(site: Site, call: Call, found: Stored[Trigger], error: UnroutableError) -> None:
    """Keep a request that names no flow that is here, to be routed again (PR-X8). Raises StorageError: its sender
    must come again.

    However many there are, they are kept: the trigger's rate bounds them, as it does those that start something.
    """
    record = record_of(
        site,
        call,
        found.organization_id,
        status=status_of(error),
        reason=error.reason,
        most_bytes=MOST_UNROUTABLE_BYTES,
    )
    await site.services.keep_request(record, is_owed=True)
