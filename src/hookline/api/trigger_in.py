"""``ANY /trigger/{path_id}[/path…]``: triggers with a URL of their own (SEEDS PR-1 to PR-21), and native ones.

The path alone selects the trigger: unknown and disabled ones are the same 404. Then, in this order: method, declared
size, rate, addresses, credential, body, signature, the flow of an integration and its ``on_trigger``; request and
execution are stored together, and only then there is an answer, in the words of the trigger's profile.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from hookline.api import trigger_answers
from hookline.api.beside import beside
from hookline.api.call import Call, check_address, keep_refused, keep_unroutable, record_of
from hookline.api.errors import Answer, MethodError, UnavailableError
from hookline.api.flows_in import before_start, check_in_service, flow_of, trigger_and_input
from hookline.api.inbound import query_parameters
from hookline.api.once import once_of, queue_name
from hookline.api.spool import take_in
from hookline.api.trigger_auth import (
    answer_handshake,
    authenticate,
    credentials_in_query,
    explain,
    scheme_with,
    verify_signature,
)
from hookline.core.bodies import read_body
from hookline.core.turns import place_of, turn_of
from hookline.engine.manage.callbacks import callback_of
from hookline.engine.manage.trigger_settings import METHODS, MOST_SIGNED_BYTES
from hookline.engine.manage.triggers import PATHS
from hookline.engine.receive import ExecutionStart
from hookline.errors import HooklineError, MissingError, UnroutableError, VerificationError
from hookline.model.configuration import Trigger

if TYPE_CHECKING:
    from hookline.api.call import Gatekeeper
    from hookline.api.flows_in import Flow
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.api.spool import Spooled
    from hookline.core.bodies import Body
    from hookline.model.configuration import Stored
    from hookline.model.executions import Automation

PREFIX: Final = "/trigger/"

OTHER_METHODS: Final = (*METHODS[1:], "HEAD", "OPTIONS")
"""What the route takes besides POST. Only METHODS start anything."""

DEFAULT_METHODS: Final = {"prismatic": METHODS, "native": METHODS[:-1]}
"""PR-X6: link previews and scanners GET URLs, so a native trigger takes GET only when it says so."""

DEFAULT_BODY_BYTES: Final = 6_000_000
"""Largest body unless the trigger says otherwise (PR-20)."""

_PATH_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}==", re.ASCII)
"""See ``new_path_id``: nothing else is looked up."""


async def receive(site: Site, gatekeeper: Gatekeeper, request: Inbound) -> Answer:
    """The hot route."""
    call = Call(site, request)
    try:
        found = await _find(site, call)
        return await _accept(site, gatekeeper, call, found)
    except VerificationError as error:
        await keep_refused(site, gatekeeper, call, error, partial(explain, site, call, error))
        return trigger_answers.refusal(error, call)
    except HooklineError as error:
        await keep_refused(site, gatekeeper, call, error)
        return trigger_answers.refusal(error, call)


async def _find(site: Site, call: Call) -> Stored[Trigger]:
    """Return the trigger that the path names. Raises MissingError, with the same words for any that takes nothing."""
    path_id, _, fragment = call.request.path[len(PREFIX) :].partition("/")
    call.path_fragment = fragment.strip("/")
    if _PATH_ID.fullmatch(path_id) is not None:
        found = await site.services.directory.find(Trigger, PATHS, path_id)
        if found is not None:
            call.trigger = found
            if found.document.is_enabled:
                await check_in_service(site, found.document)
                return found
    raise MissingError("There is no such trigger.")


async def _accept(site: Site, gatekeeper: Gatekeeper, call: Call, found: Stored[Trigger]) -> Answer:
    request, trigger, services = call.request, found.document, site.services
    allowed = tuple(trigger.settings.get("methods") or DEFAULT_METHODS[trigger.profile])
    if request.method == "OPTIONS":
        return trigger_answers.options(trigger, allowed)
    scheme = scheme_with(trigger)
    # Some senders ask with GET whether the URL is ours, whatever a trigger's methods are.
    if request.method not in allowed and (scheme is None or scheme.handshake is None):
        raise _other_method(allowed)
    cap = int(trigger.settings.get("max_body_bytes", DEFAULT_BODY_BYTES))
    request.check_declared_size(cap)
    gatekeeper.check_rate(found, services.clock.elapsed())
    check_address(trigger, call.remote_address)
    call.parameters = query_parameters(request.scope.get("query_string", b""))
    call.hidden = credentials_in_query(trigger, scheme)
    authenticate(site, call, trigger)
    request.check_encoding()
    if scheme is not None:
        cap = min(cap, MOST_SIGNED_BYTES)  # a signature is over all bytes, so they are held
    spooled = await take_in(
        request, cap, site.services.blobs if scheme is None else None, _content_type(request)
    )
    call.body, call.kept, call.body_digest = spooled.held, spooled.kept, spooled.digest
    try:
        ready = await _ready(site, call, found, spooled, allowed)
    except BaseException:
        await spooled.forget(services.blobs)
        raise
    if isinstance(ready, Answer):
        await spooled.forget(services.blobs)
        return ready
    # From here on an execution may be stored that refers to what was written.
    return await trigger_answers.answer(site, call, trigger, *ready)


async def _ready(
    site: Site, call: Call, found: Stored[Trigger], spooled: Spooled, allowed: tuple[str, ...]
) -> Answer | tuple[ExecutionStart, Flow]:
    """Return what is stored for a request whose body is here, or the answer to one that starts nothing."""
    request, trigger, scheme, dedupe_id = call.request, found.document, scheme_with(found.document), None
    if scheme is not None:
        told = answer_handshake(site, call, trigger, scheme)
        if told is not None:
            return told
        if request.method not in allowed:
            raise _other_method(allowed)
        dedupe_id = verify_signature(site, call, trigger, scheme).dedupe_id
    if request.method == "HEAD":
        return Answer(200, b"")
    body = spooled.body
    if body is None:
        body = await beside(len(spooled.held), read_body, spooled.held, _content_type(request))
    try:
        flow = await flow_of(site, call, found, body)
    except UnroutableError as error:
        await keep_unroutable(site, call, found, error)
        raise
    flow = await before_start(site, call, flow, body)
    if not flow.before.runs:
        return trigger_answers.instead_of_running(trigger, flow)
    automation = await site.services.find_automation(found.organization_id, flow.kind, flow.id)
    return _start_of(site, call, found, flow, automation, body, dedupe_id), flow


def _content_type(request: Inbound) -> str:
    return request.headers.get(b"content-type", b"").decode("latin-1")


def _other_method(allowed: tuple[str, ...]) -> MethodError:
    return MethodError("This trigger takes no such method.", allow=", ".join(allowed))


def _start_of(
    site: Site,
    call: Call,
    found: Stored[Trigger],
    flow: Flow,
    automation: Automation | None,
    body: Body,
    dedupe_id: str | None,
) -> ExecutionStart:
    """Return what is stored. dedupe_id: as the signature's scheme has it. Raises InputError or UnavailableError."""
    request, trigger = call.request, found.document
    if automation is None:
        raise UnavailableError(
            "The automation behind this URL is not available now.", code="AUTOMATION_UNAVAILABLE"
        )
    callback_id, callback_url = callback_of(
        trigger, request.headers.get(b"hookline-callback"), body.data, site.addresses
    ) or (None, None)
    shown, input_ = trigger_and_input(site, call, flow, body)
    status = trigger_answers.accepted_status(trigger, flow)
    payload, place = partial(flow.payload, call, body), flow.place or place_of(found.id, automation)
    default = dedupe_id or queue_name(automation, place, payload)
    once = once_of(found, call, body.data, site.services.clock.now(), place=flow.place, default=default)
    return ExecutionStart(
        organization_id=found.organization_id,
        kind=flow.kind,
        automation_id=flow.id,
        input=input_,
        source="trigger",
        trigger=shown,
        trigger_id=found.id,
        request=record_of(site, call, found.organization_id, status=status),
        once=once,
        callback_id=callback_id,
        callback_url=callback_url,
        turn=turn_of(place, trigger.settings, automation, payload),
    )
