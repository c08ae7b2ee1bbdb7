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
from hookline.api.call import Call, check_address
from hookline.api.errors import Answer, MethodError
from hookline.api.flows_in import check_in_service
from hookline.api.inbound import query_parameters
from hookline.api.records import keep_refused, keep_unroutable
from hookline.api.spool import take_in
from hookline.api.starting import content_type_of, prepared
from hookline.api.trigger_auth import (
    answer_handshake,
    authenticate,
    explain,
    may_be_signed,
    must_be_signed,
    signing_of,
    verify_signature,
)
from hookline.engine.manage.trigger_settings import METHODS, MOST_SIGNED_BYTES
from hookline.engine.manage.triggers import PATHS
from hookline.errors import HooklineError, MissingError, UnroutableError, VerificationError
from hookline.model.configuration import Trigger

if TYPE_CHECKING:
    from hookline.api.call import Gatekeeper
    from hookline.api.flows_in import Flow
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.api.spool import Spooled
    from hookline.engine.receive import ExecutionStart
    from hookline.model.configuration import Stored

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
    allowed = methods_of(trigger)
    if request.method == "OPTIONS":
        return trigger_answers.options(trigger, allowed)
    must_be_signed(call, await signing_of(site, trigger))
    # Some senders ask with GET whether the URL is ours, whatever a trigger's methods are.
    if call.signing is None or call.signing.scheme.handshake is None:
        check_method(trigger, request.method)
    cap = int(trigger.settings.get("max_body_bytes", DEFAULT_BODY_BYTES))
    request.check_declared_size(cap)
    gatekeeper.check_rate(found, services.clock.elapsed())
    check_address(trigger, call.remote_address)
    call.parameters = query_parameters(request.scope.get("query_string", b""))
    authenticate(site, call, trigger)
    request.check_encoding()
    blobs = services.blobs
    if may_be_signed(site, trigger):
        cap, blobs = min(cap, MOST_SIGNED_BYTES), None  # a signature is over all bytes, so they are held
    spooled = await take_in(request, cap, blobs, content_type_of(request))
    call.took_in(spooled)
    kept_blob = None
    try:
        try:
            ready = await _ready(site, call, found, spooled)
        except UnroutableError as error:
            kept_blob = await keep_unroutable(site, call, found, error)
            raise
    except BaseException:
        await spooled.forget(services.blobs, but=kept_blob)
        raise
    if isinstance(ready, Answer):
        await spooled.forget(services.blobs)
        return ready
    # From here on an execution may be stored that refers to what was written.
    return await trigger_answers.answer(site, call, trigger, *ready)


async def _ready(
    site: Site, call: Call, found: Stored[Trigger], spooled: Spooled
) -> Answer | tuple[ExecutionStart, Flow]:
    """Return what is stored for a request whose body is here, or the answer to one that starts nothing."""
    request, trigger, dedupe_id = call.request, found.document, None
    if call.signing is not None:
        told = answer_handshake(site, call)
        if told is not None:
            return Answer(told.status, told.body, content_type=told.content_type.encode())
        check_method(trigger, request.method)
        dedupe_id = verify_signature(site, call)
    if request.method == "HEAD":
        return Answer(200, b"")
    start, flow = await prepared(site, call, found, spooled, dedupe_id=dedupe_id)
    return trigger_answers.instead_of_running(trigger, flow) if start is None else (start, flow)


def methods_of(trigger: Trigger) -> tuple[str, ...]:
    """Return the methods that a trigger with a path of its own takes."""
    return tuple(trigger.settings.get("methods") or DEFAULT_METHODS[trigger.profile])


def check_method(trigger: Trigger, method: str) -> None:
    """Raise MethodError for one that the trigger does not take."""
    allowed = methods_of(trigger)
    if method not in allowed:
        raise MethodError("This trigger takes no such method.", allow=", ".join(allowed))
