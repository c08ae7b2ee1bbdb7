"""``POST /webhooks/agents/{agent_id}`` and ``/webhooks/workflows/{workflow_id}`` (SEEDS AF-1 to AF-5).

The credential alone selects the trigger, and with it the organization: none or a wrong one is 401 whether the id
exists or not, and 404 is never said. Then, in this order: rate (429), size (413), content type (415), JSON and its
fields (400), and 202 once request and execution are on disk. An automation that its trigger outlived is 503: the
node with the right code may come back, and the caller's retry then finds it.

A refused request is kept with its reason: under its trigger when the credential was good; else, some a second only,
under the installation's first organization, since an unknown caller must not fill anyone's database.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.credentials import find_trigger, is_live
from hookline.api.errors import Answer, UnavailableError, missing_field, status_of
from hookline.api.identity import unauthorized
from hookline.api.inbound import idempotency_key, query_parameters
from hookline.api.publish import ONCE_WINDOW, repeated
from hookline.api.shape import Field, check_field, not_an_object
from hookline.core.canonical import decode
from hookline.core.rate import SlidingWindow
from hookline.core.redact import redact_headers, redact_query
from hookline.core.times import rfc3339
from hookline.engine.manage.callbacks import callback_of
from hookline.engine.manage.start import default_organization
from hookline.engine.receive import ExecutionStart
from hookline.engine.vault import ANSWER
from hookline.errors import ForbiddenError, HooklineError, InputError, StorageError, ThrottledError
from hookline.model.executions import TriggerRequest
from hookline.model.ids import new_key, public
from hookline.model.states import Kind
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.executions import Execution
    from hookline.model.ids import Key

ROUTES: Final = {"/webhooks/agents/": Kind.AGENT, "/webhooks/workflows/": Kind.WORKFLOW}
"""Path prefix to the kind of automation behind it."""

WORDS: Final = {Kind.AGENT: "agents", Kind.WORKFLOW: "workflows"}
"""Kind to its word in the path."""

RATE_PER_SECOND: Final = 50.0
"""Requests a second that one trigger takes on one node unless it says otherwise (CONTRACT section 3)."""

_KEPT_PER_SECOND: Final = 5
"""Refused requests that are kept a second: of one trigger, and of all unknown callers together."""

_MOST_KEPT_BYTES: Final = 64 * 1024
_MOST_WINDOWS: Final = 10_000
_MOST_ID_CHARACTERS: Final = 128

FIELDS: Final[Mapping[Kind, Mapping[str, Field]]] = {
    Kind.AGENT: {
        "message": Field("string", is_required=True),
        "user_id": Field("string", is_nullable=True),
        "metadata": Field("object", is_nullable=True),
        "context": Field("object", is_nullable=True),
    },
    Kind.WORKFLOW: {
        "input_data": Field("object"),
        "trigger_source": Field("string", is_nullable=True),
        "metadata": Field("object", is_nullable=True),
    },
}
"""AF-3. Other fields are let through: senders add what they like, and ``ctx.trigger`` shows it."""


class _WorkflowBody(msgspec.Struct):
    input_data: msgspec.Raw = msgspec.Raw()


_read_workflow: Final = msgspec.json.Decoder(_WorkflowBody).decode
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
        rate = float(trigger.document.settings.get("rate_per_second", RATE_PER_SECOND))
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


class _Call:
    """One request on its way through the steps: what is known of it so far, for the record."""

    __slots__ = ("_headers", "body", "kind", "parameters", "request", "route", "target", "trigger")

    def __init__(self, request: Inbound, prefix: str) -> None:
        self.request = request
        self.kind = ROUTES[prefix]
        self.target = request.path[len(prefix) :]
        self.route = f"{WORDS[self.kind]}/{self.target}"
        self.parameters: list[tuple[str, str]] = []
        self.body = b""
        self.trigger: Stored[Trigger] | None = None
        self._headers: tuple[tuple[str, str], ...] | None = None

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


async def receive(site: Site, gatekeeper: Gatekeeper, request: Inbound, prefix: str) -> Answer:
    """The hot route. prefix: the key of ROUTES under which it was found."""
    call = _Call(request, prefix)
    try:
        return await _accept(site, gatekeeper, call)
    except HooklineError as error:
        await _keep_refused(site, gatekeeper, call, error)
        raise


async def _accept(site: Site, gatekeeper: Gatekeeper, call: _Call) -> Answer:
    request, services = call.request, site.services
    request.check_declared_size(site.settings.max_body_bytes)
    trigger = await _authenticate(site, call)
    gatekeeper.check_rate(trigger, services.clock.elapsed())
    call.body = body = await request.body(site.settings.max_body_bytes)
    request.check_json()
    value = _validate(call.kind, body)
    automation = services.automation(call.kind, call.target)
    if automation is None:
        raise UnavailableError(
            "The automation behind this URL is not available now.", code="AUTOMATION_UNAVAILABLE"
        )
    callback_id, callback_url = callback_of(
        trigger.document, request.headers.get(b"hookline-callback"), value, site.addresses
    ) or (None, None)
    once = _once(trigger, request, value, body, services.clock.now())
    expected_at = rfc3339(await services.estimated_completion(call.kind, call.target))
    start = ExecutionStart(
        organization_id=trigger.organization_id,
        kind=call.kind,
        automation_id=call.target,
        input=body if call.kind is Kind.AGENT else bytes(_read_workflow(body).input_data) or None,
        source="trigger",
        trigger=_trigger_json(site, call),
        trigger_id=trigger.id,
        request=_record(site, call, trigger.organization_id, status=202),
        once=once,
        callback_id=callback_id,
        callback_url=callback_url,
    )
    return await _start(site, start, lambda execution: _accepted(execution, expected_at))


async def _authenticate(site: Site, call: _Call) -> Stored[Trigger]:
    request = call.request
    call.parameters = query_parameters(request.scope.get("query_string", b""))
    if len(call.target) > _MOST_ID_CHARACTERS:
        raise unauthorized()
    found = await find_trigger(site.services, call.route, request.headers, call.parameters)
    if found is None:
        raise unauthorized()
    trigger = found.document
    if trigger.profile != "agenticflow" or (trigger.automation_kind, trigger.automation_id) != (
        call.kind,
        call.target,
    ):
        raise unauthorized()
    call.trigger = found
    if not trigger.is_enabled or not is_live(site.services, trigger, request.headers, call.parameters):
        raise unauthorized()
    allowed = trigger.settings.get("ip_allowlist")
    if allowed and not _is_listed(request.remote_address, allowed):
        raise ForbiddenError("Requests from this address are not allowed here.", code="ADDRESS_NOT_ALLOWED")
    return found


def _is_listed(address: str, networks: list[str]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in ip_network(network) for network in networks)


def _validate(kind: Kind, body: bytes) -> dict[str, Any]:
    """Return the decoded body when it is what AF-3 asks for. Raises InputError in AF-5's words."""
    if not body.strip():
        raise not_an_object(None)
    value = decode(body)
    if not isinstance(value, dict):
        raise not_an_object(value)
    for name, field in FIELDS[kind].items():
        if name in value or field.is_required:
            if field.is_required and value.get(name) is None:
                raise missing_field(name, field.expected)
            check_field(value, name, field)
    if kind is Kind.AGENT and "\0" in (value.get("user_id") or ""):
        # An id is kept as text, which in PostgreSQL holds no NUL (CONTRACT section 2).
        raise InputError(
            "Field 'user_id' cannot hold a NUL character",
            field="user_id",
            expected="string without NUL",
            received="string",
        )
    return value


# --- once ---------------------------------------------------------------------------------------------------


def _once(trigger: Stored[Trigger], request: Inbound, value: Any, body: bytes, now: Any) -> Once | None:
    """Return what makes this request happen once: its Idempotency-Key, else what the trigger dedupes by."""
    key = idempotency_key(request.headers.get(b"idempotency-key"))
    if key is not None:
        return Once(
            scope=trigger.id,
            name=f"key {key}",
            digest=hashlib.sha256(body).digest(),
            answer=b"",
            expires_at=now + ONCE_WINDOW,
        )
    dedupe = trigger.document.settings.get("dedupe")
    if dedupe is None:
        return None
    mark = _mark(dedupe, request, value)
    if mark is None:
        return None
    window = timedelta(seconds=dedupe.get("window_seconds") or ONCE_WINDOW.total_seconds())
    # The sender's own delivery id decides alone: a redelivery may differ in its bytes.
    digest = hashlib.sha256(mark.encode()).digest()
    return Once(
        scope=trigger.id, name=f"dedupe {digest.hex()}", digest=digest, answer=b"", expires_at=now + window
    )


def _mark(dedupe: dict[str, Any], request: Inbound, value: Any) -> str | None:
    """Return what the sender names its delivery by, None when it does not."""
    if "header" in dedupe:
        wanted = str(dedupe["header"]).lower().encode("latin-1", "replace")
        found = [item for name, item in request.scope["headers"] if name == wanted]
        return found[0].decode("latin-1") if found and found[0] else None
    for part in str(dedupe["path"]).split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int | float) and value != "" else None


# --- what is stored -----------------------------------------------------------------------------------------


def _trigger_json(site: Site, call: _Call) -> bytes:
    """Return what ``ctx.trigger`` shows. The credential is not part of it: the code needs none of it."""
    request = call.request
    content_type = request.headers.get(b"content-type", b"application/json").decode("latin-1")
    headers: dict[str, str] = {}
    for name, value in call.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return _write(
        {
            "method": request.method,
            "headers": headers,
            "query_parameters": {name: value for name, value in call.parameters if name != "token"},
            "path_fragment": "",
            "raw_body": {"data": {"$base64": b64encode(call.body).decode()}, "content_type": content_type},
            "body": {"data": msgspec.Raw(call.body), "content_type": content_type},
            "invoke_url": f"{site.settings.public_url}{request.path}",
            "started_at": rfc3339(site.services.clock.now()),
        }
    )


def _record(
    site: Site, call: _Call, organization_id: Key, *, status: int, reason: str | None = None
) -> TriggerRequest:
    """Return the request for the record: accepted whole, refused capped, never with a credential."""
    request = call.request
    return TriggerRequest(
        id=new_key(),
        organization_id=organization_id,
        trigger_id=call.trigger.id if call.trigger is not None else None,
        execution_id=None,
        received_at=site.services.clock.now(),
        method=request.method,
        path=request.path[:1024],
        query=redact_query(request.scope.get("query_string", b"").decode("latin-1"))[:4096],
        headers=call.headers,
        body=call.body if reason is None else call.body[:_MOST_KEPT_BYTES],
        remote_address=request.remote_address,
        status=status,
        reason=reason,
    )


async def _keep_refused(site: Site, gatekeeper: Gatekeeper, call: _Call, error: HooklineError) -> None:
    if isinstance(error, StorageError):
        return  # nothing can be kept now, and the caller was told to come again
    trigger = call.trigger
    source = b"" if trigger is None else trigger.id
    if not gatekeeper.may_keep(source, site.services.clock.elapsed()):
        return
    if trigger is not None:
        organization_id: Key | None = trigger.organization_id
    else:
        organization_id = await default_organization(site.services.store)
    if organization_id is not None:
        reason = f"{error.code}: {error.message}"
        await site.services.keep_request(
            _record(site, call, organization_id, status=status_of(error), reason=reason)
        )


# --- the answer ---------------------------------------------------------------------------------------------


async def _start(site: Site, start: ExecutionStart, words: Callable[[Execution], bytes]) -> Answer:
    vault = site.services.vault
    if start.once is None:
        result = await site.services.start_execution(start)
    else:
        result = await site.services.start_execution(
            start, answer=lambda execution: vault.seal(words(execution), ANSWER)
        )
    if isinstance(result, Repeat):
        return repeated(vault.open(result.answer, ANSWER), is_same=result.is_same)
    return Answer(202, words(result))


def _accepted(execution: Execution, expected_at: str) -> bytes:
    """AF-4."""
    return _write(
        {
            "success": True,
            "message": "Webhook processed successfully",
            "execution_id": public("execution", execution.id),
            "status": "queued",
            "estimated_completion": expected_at,
        }
    )
