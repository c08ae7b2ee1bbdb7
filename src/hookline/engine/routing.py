"""Decide which flow of which instance a request to an integration is for, and who may call it (PR-8, PR-16, PR-17).

The trigger of a flow leads to it, that of an instance to one of its flows, a shared one to a flow of a customer's
instance; what the URL leaves open the request says, by fields (``core.routing``) or by a function of the app. Then the
flow's ``on_trigger`` may change the payload or answer. Nothing here reads HTTP or starts an execution.
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import msgspec

from hookline.core.routing import Route, resolve
from hookline.engine.handlers import call_handler
from hookline.engine.manage.instances import CUSTOMERS, customer_name
from hookline.engine.manage.keys import DIGESTS
from hookline.engine.vault import token_digest
from hookline.errors import HandlerFailedError, MissingError, UnauthorizedError, UnroutableError
from hookline.model.configuration import ApiKey, Stored, Trigger, TriggerEndpoint
from hookline.model.ids import Key, public
from hookline.model.integrations import Flow, Handler, Instance, Integration, Security
from hookline.model.states import Scope
from hookline.ports.runner import CallJob

if TYPE_CHECKING:
    from hookline.engine.contexts import Contexts
    from hookline.engine.directory import Directory
    from hookline.model.executions import Failure
    from hookline.ports import Clock
    from hookline.ports.runner import CallResult, Runner

_MOST_KEY_CHARACTERS: Final = 512
_STARTERS: Final = frozenset({Scope.ADMIN, Scope.WRITE, Scope.TRIGGER})
"""Scopes of an organization's keys that may start executions."""


MOST_ASKED: Final = 8
"""Calls of ``on_trigger`` for one instance at once: half of a node's handler processes (P10)."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a routing decision looks at.

    payload: what ``ctx.trigger`` would show, as Python values.  text: makes the same as JSON text (``core.octets``).
    api_key: of the header ``Api-Key``, None without one.  url: the URL that was called.
    """

    payload: Mapping[str, Any]
    text: Callable[[], bytes]
    api_key: str | None
    url: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Who routes a kept request says where it goes: what is None here is taken from the request.

    It is vouched for: keys are not asked for, since those that came with it are not kept.
    """

    instance_id: Key | None = None
    flow: str | None = None


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes. shown: what ``ctx.trigger`` shows of it beside the request itself."""

    integration: Integration
    flow: Flow
    instance: Stored[Instance]
    shown: dict[str, Any]

    @property
    def asks_first(self) -> bool:
        """Whether the flow has an ``on_trigger``."""
        return Handler.ON_TRIGGER in self.flow.handlers


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An ``HttpResponse`` of a handler. body: None for the answer that names the execution."""

    status: int
    content_type: str | None
    headers: dict[str, str]
    body: bytes | None


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What ``on_trigger`` decided.

    runs: whether an execution starts.  replaced: members of ``ctx.trigger`` to replace, as JSON text by name.
    answer: None for the answer that names the execution.
    """

    runs: bool = True
    replaced: dict[str, msgspec.Raw] = {}
    answer: Answered | None = None


_UNTOUCHED: Final = Before()


class _Body(msgspec.Struct):
    bytes_: str = msgspec.field(name="$base64")


class _Response(msgspec.Struct):
    status: int
    content_type: str | None
    headers: dict[str, str]
    body: _Body | None


class _Result(msgspec.Struct):
    """The JSON of ``handling.trigger_answer``."""

    runs: bool
    payload: dict[str, msgspec.Raw] | None
    response: _Response | None


class Router:
    """One per node."""

    def __init__(self, *, contexts: Contexts, directory: Directory, runner: Runner, clock: Clock) -> None:
        self._contexts = contexts
        self._directory = directory
        self._runner = runner
        self._clock = clock
        self._asking: WeakValueDictionary[Key, asyncio.Semaphore] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"Router({self._contexts!r})"

    async def destination(
        self, trigger: Stored[Trigger], request: Request, chosen: Chosen | None = None
    ) -> Destination:
        """Return where a request to an integration's trigger goes. chosen: None for one that has just come in.

        Raises MissingError (nothing is there, or it takes no requests: the two look the same), UnroutableError (the
        request does not say what is there), UnauthorizedError, or HandlerFailedError (a route function did not work).
        """
        endpoint = trigger.document.endpoint
        integration = None if endpoint is None else self._contexts.integration(endpoint.integration_id)
        if endpoint is None or integration is None:
            raise MissingError("There is no such trigger.")
        if chosen is None and integration.security is Security.ORGANIZATION:
            await self._check_organization(trigger, request.api_key)
        given = chosen or Chosen()
        route = Route(given.flow)
        if given.flow is None or (given.instance_id is None and endpoint.instance_id is None):
            route = await self._route(endpoint, integration, request)
            route = Route(given.flow or route.flow, route.customer)
        instance = await self._instance(trigger, endpoint, route, given.instance_id)
        flow = None if route.flow is None else integration.flow(route.flow)
        if flow is None:
            raise UnroutableError(
                "no flow is named" if route.flow is None else f"there is no flow {route.flow!r}"
            )
        if chosen is None:
            _check_key(integration, instance.document, flow, request.api_key)
        shown = self._contexts.shown(instance, integration, flow, invoke_url=request.url)
        return Destination(integration=integration, flow=flow, instance=instance, shown=shown)

    async def _route(self, endpoint: TriggerEndpoint, integration: Integration, request: Request) -> Route:
        """Return what the URL and the request say."""
        if endpoint.flow is not None:
            return Route(endpoint.flow)
        if integration.has_route:
            return await self._asked(integration, request.text())
        if integration.flow_name_field is None:  # the app declares another endpoint now
            raise MissingError("There is no such trigger.")
        customer = integration.customer_id_field
        return Route(
            resolve(integration.flow_name_field, request.payload),
            None if customer is None else resolve(customer, request.payload),
        )

    async def _asked(self, integration: Integration, text: bytes) -> Route:
        job = CallJob(integration_id=integration.id, flow=None, handler=Handler.ROUTE, payload=text)
        result = await call_handler(self._runner, job)
        if result.failure is None:
            return msgspec.json.decode(result.value or b"{}", type=Route)
        words = _worded(result.failure)
        # What a function raises is a request it does not understand; that it could not run is our own affair.
        if result.failure.code == "FAILED":
            raise UnroutableError(f"the route function failed: {words}")
        raise HandlerFailedError(f"The route function did not work: {words}")

    async def _instance(
        self, trigger: Stored[Trigger], endpoint: TriggerEndpoint, route: Route, chosen: Key | None
    ) -> Stored[Instance]:
        if endpoint.instance_id is not None:
            if chosen not in {None, endpoint.instance_id}:
                raise UnroutableError("the URL belongs to another instance")
            stored = await self._directory.get(Instance, endpoint.instance_id)
            if stored is None or not stored.document.takes_requests:
                raise MissingError("There is no such trigger.")
            return stored
        if chosen is not None:
            return await self._chosen(trigger, endpoint, chosen)
        if route.customer is None:
            raise UnroutableError("no customer is named")
        name = customer_name(trigger.organization_id, endpoint.integration_id, route.customer)
        stored = await self._directory.find(Instance, CUSTOMERS, name)
        if stored is None or not stored.document.takes_requests:
            what = "there is no instance of" if stored is None else "out of service is the instance of"
            raise UnroutableError(f"{what} customer {route.customer!r}")
        return stored

    async def _chosen(self, trigger: Stored[Trigger], endpoint: TriggerEndpoint, id: Key) -> Stored[Instance]:
        stored = await self._directory.get(Instance, id)
        if (
            stored is None
            or stored.organization_id != trigger.organization_id
            or stored.document.integration_id != endpoint.integration_id
            or not stored.document.takes_requests
        ):
            raise UnroutableError("there is no such instance of this integration in service")
        return stored

    async def _check_organization(self, trigger: Stored[Trigger], api_key: str | None) -> None:
        """Let in who has a live key of the trigger's organization."""
        stored = None
        if api_key is not None and len(api_key) <= _MOST_KEY_CHARACTERS:
            stored = await self._directory.find(ApiKey, DIGESTS, token_digest(api_key).hex())
        if (
            stored is None
            or stored.organization_id != trigger.organization_id
            or not stored.document.is_live(self._clock.now())
            or _STARTERS.isdisjoint(stored.document.scopes)
        ):
            raise _unauthorized()

    async def before_start(self, destination: Destination, text: bytes) -> Before:
        """Ask the flow's ``on_trigger``, where it has one. text: what ``ctx.trigger`` would show, as JSON text.

        Raises HandlerFailedError with what it raised.
        """
        flow = destination.flow
        if not destination.asks_first:
            return _UNTOUCHED
        job = CallJob(
            integration_id=destination.integration.id,
            flow=flow.name,
            handler=Handler.ON_TRIGGER,
            context=self._contexts.for_handler(destination.instance, destination.integration, flow),
            payload=text,
        )
        result = await self._ask(destination.instance.id, job)
        if result.failure is not None:
            raise HandlerFailedError(result.failure.message)
        return _before(msgspec.json.decode(result.value or b"null", type=_Result | None))

    async def _ask(self, instance_id: Key, job: CallJob) -> CallResult:
        """Call an ``on_trigger``, at most so many of one instance at once: one that hangs holds up its own."""
        # Kept only while somebody uses it: there may be any number of instances.
        turns = self._asking.get(instance_id)
        if turns is None:
            turns = self._asking[instance_id] = asyncio.Semaphore(MOST_ASKED)
        try:
            async with asyncio.timeout(job.timeout_ms / 1000):
                await turns.acquire()
        except TimeoutError:
            raise HandlerFailedError("Too many requests wait for on_trigger of this instance.") from None
        try:
            return await call_handler(self._runner, job, instance=public("instance", instance_id))
        finally:
            turns.release()


def _before(result: _Result | None) -> Before:
    if result is None:
        return _UNTOUCHED
    answer = None
    if result.response is not None:
        given = result.response
        body = None if given.body is None else b64decode(given.body.bytes_)
        answer = Answered(
            status=given.status, content_type=given.content_type, headers=given.headers, body=body
        )
    return Before(runs=result.runs, replaced=result.payload or {}, answer=answer)


def _check_key(integration: Integration, instance: Instance, flow: Flow, api_key: str | None) -> None:
    if integration.security not in {Security.CUSTOMER_OPTIONAL, Security.CUSTOMER_REQUIRED}:
        return
    digests = instance.key_digests.get(flow.name, ())
    if not digests and integration.security is Security.CUSTOMER_OPTIONAL:
        return
    given = token_digest((api_key or "")[:_MOST_KEY_CHARACTERS])
    # Every digest is compared, so the time tells nothing of which one it was.
    if not sum([hmac.compare_digest(given, digest) for digest in digests]):
        raise _unauthorized()


def _unauthorized() -> UnauthorizedError:
    """The one answer to a missing and to a wrong credential."""
    return UnauthorizedError("A valid credential is required.")


def _worded(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}" if failure.type else failure.message


def with_members(text: bytes, members: Mapping[str, Any]) -> bytes:
    """Return a JSON object with these members added or replaced; the others keep their bytes."""
    return msgspec.json.encode({**msgspec.json.decode(text, type=dict[str, msgspec.Raw]), **members})
