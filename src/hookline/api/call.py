"""One request to a trigger, from whichever route: what is known of it, and what it may take."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from hookline.core.forwarded import client_address
from hookline.core.hops import hops_in, shown
from hookline.core.octets import wrapped
from hookline.core.rate import Allowance, SlidingWindow
from hookline.core.redact import redact_headers
from hookline.core.times import rfc3339
from hookline.errors import ForbiddenError, ThrottledError
from hookline.model.ids import new_key

if TYPE_CHECKING:
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.api.spool import Spooled
    from hookline.core.bodies import Body
    from hookline.core.octets import Kept
    from hookline.engine.signing import Signing
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.ids import Key

RATE_PER_SECOND: Final = 50.0
"""Requests a second that one trigger takes on one node unless it says otherwise (CONTRACT section 3)."""

_KEPT_PER_SECOND: Final = 5
"""Refused requests that are kept a second: of one trigger, and of all unknown callers together."""
_MOST_KEPT_AT_ONCE: Final = 300
"""Of one trigger after a rest: a minute of them, so that an hour's first mistakes are all there."""

FEWEST_KEPT_BYTES: Final = 64 * 1024
"""Of a refused request's body, whatever else was kept."""
MOST_KEPT_BYTES: Final = 1 << 20
"""Of a refused request's body, as long as its trigger's allowance lasts."""
_MOST_SAVED_BYTES: Final = 64 << 20
_MOST_WINDOWS: Final = 10_000
_TOKEN: Final = frozenset({"token"})

_write: Final = msgspec.json.Encoder().encode


class Gatekeeper:
    """Counts the requests of each trigger on this node. One per node."""

    def __init__(self) -> None:
        self._passing: dict[tuple[Key, float], SlidingWindow] = {}
        self._keeping: dict[Key, _Keeping] = {}

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

    def room_for(self, source: Key, size: int, now: float) -> Room | None:
        """Return what is kept of one more refused request, None for nothing.

        source: the trigger, empty for unknown callers.  size: bytes of the body.
        """
        known = self._keeping.get(source)
        if known is None:
            if len(self._keeping) >= _MOST_WINDOWS:
                self._keeping.clear()
            at_once = _MOST_KEPT_AT_ONCE if source else _KEPT_PER_SECOND
            known = self._keeping[source] = _Keeping(
                Allowance(_KEPT_PER_SECOND, at_once),
                Allowance(_KEPT_PER_SECOND * FEWEST_KEPT_BYTES, _MOST_SAVED_BYTES if source else 0),
                Allowance(_KEPT_PER_SECOND, _KEPT_PER_SECOND),
            )
        if not known.requests.take(1, now):
            return None
        is_whole = FEWEST_KEPT_BYTES < size <= MOST_KEPT_BYTES and known.bytes_.take(size, now)
        return Room(size if is_whole else min(size, FEWEST_KEPT_BYTES), known.explained.take(1, now))


class Room(NamedTuple):
    """What is kept of a refused request. body_bytes: of its body.  is_explained: whether its reason may take time to
    find; else it is found when somebody asks for it.
    """

    body_bytes: int
    is_explained: bool


class _Keeping(NamedTuple):
    """What one source may still have kept. bytes_: of bodies that are kept whole although they are large."""

    requests: Allowance
    bytes_: Allowance
    explained: Allowance


class Call:
    """One request on its way through the steps: what is known of it so far, for the record.

    remote_address: of the caller, behind the operator's own proxies.  request_id: of the record.
    is_again: it came earlier, was kept, and is taken up now.
    path_fragment: what follows the trigger's own path.  hidden: query parameters that are credentials.
    body: its bytes, empty when it was not read or is kept elsewhere.  body_size: None until it was read.
    body_digest: SHA-256 of a body that is kept elsewhere, None for one that is here.
    received_at: when it came: what is signed is judged by that time, also when it is checked again later.
    signing: how it must be signed, None when it need not be or that is not known yet.
    """

    __slots__ = (
        "_headers",
        "body",
        "body_digest",
        "body_size",
        "hidden",
        "is_again",
        "kept",
        "parameters",
        "path_fragment",
        "received_at",
        "remote_address",
        "request",
        "request_id",
        "signing",
        "trigger",
    )

    def __init__(self, site: Site, request: Inbound, *, request_id: Key | None = None) -> None:
        self.request = request
        self.remote_address = _remote_address(site, request)
        self.request_id = request_id or new_key()
        self.is_again = request_id is not None
        self.received_at = site.services.clock.now()
        self.parameters: list[tuple[str, str]] = []
        self.hidden = _TOKEN
        self.path_fragment = ""
        self.body = b""
        self.body_digest: bytes | None = None
        self.body_size: int | None = None
        self.kept: Kept | None = None
        self.trigger: Stored[Trigger] | None = None
        self.signing: Signing | None = None
        self._headers: tuple[tuple[str, str], ...] | None = None

    def __repr__(self) -> str:
        return f"Call({self.request!r})"

    def took_in(self, spooled: Spooled) -> None:
        """Note the body, now that all of it is here."""
        self.body, self.kept, self.body_digest = spooled.held, spooled.kept, spooled.digest
        self.body_size = len(spooled.held) if spooled.kept is None else spooled.kept.size

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
