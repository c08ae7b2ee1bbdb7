"""From a request that was let in to what is stored for it: its body, its flow, and what that flow asks for.

The hot route comes here with a request that has just come in, a later check of a refused one with what was kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hookline.api import trigger_answers
from hookline.api.beside import beside
from hookline.api.errors import UnavailableError
from hookline.api.flows_in import before_start, flow_of, signing_of_flow, trigger_and_input
from hookline.api.once import once_of, queue_name
from hookline.api.records import record_of
from hookline.api.trigger_auth import answer_handshake, must_be_signed, verify_signature
from hookline.core.bodies import read_body
from hookline.core.turns import place_of, turn_of
from hookline.engine.manage.callbacks import callback_of
from hookline.engine.receive import ExecutionStart

if TYPE_CHECKING:
    from hookline.api.call import Call
    from hookline.api.flows_in import Flow
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.api.spool import Spooled
    from hookline.core.bodies import Body
    from hookline.engine.routing import Chosen
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.executions import Automation


async def prepared(
    site: Site,
    call: Call,
    found: Stored[Trigger],
    spooled: Spooled,
    *,
    dedupe_id: str | None = None,
    chosen: Chosen | None = None,
) -> tuple[ExecutionStart | None, Flow]:
    """Return what is stored for a request, None when its ``on_trigger`` answers it without an execution.

    dedupe_id: as the signature's scheme has it.  chosen: who routes it, in place of what it says.
    Raises InputError, UnavailableError, VerificationError, and as the router does.
    """
    body = await read(spooled, call.request)
    flow, dedupe_id = await routed(site, call, found, body, dedupe_id=dedupe_id, chosen=chosen)
    if flow.before.runs:
        flow = await before_start(site, call, flow, body)
    if not flow.before.runs:
        return None, flow
    automation = await site.services.find_automation(found.organization_id, flow.kind, flow.id)
    return _start_of(site, call, found, flow, automation, body, dedupe_id), flow


async def routed(
    site: Site,
    call: Call,
    found: Stored[Trigger],
    body: Body,
    *,
    dedupe_id: str | None = None,
    chosen: Chosen | None = None,
) -> tuple[Flow, str | None]:
    """Return the flow that a request is for, which does not run for a sender that asks whether the URL is ours, and
    the id that its signature's scheme dedupes by. Raises VerificationError, and as the router does.
    """
    flow = await flow_of(site, call, found, body, chosen)
    signed = None if call.signing is not None else signing_of_flow(site, flow)
    if signed is None:
        return flow, dedupe_id
    must_be_signed(call, signed)  # only the request itself told which flow it is for
    told = answer_handshake(site, call)
    return (flow, verify_signature(site, call)) if told is None else (flow.answered(told), None)


def content_type_of(request: Inbound) -> str:
    return request.headers.get(b"content-type", b"").decode("latin-1")


async def read(spooled: Spooled, request: Inbound) -> Body:
    """Return a body that was taken in as code sees it. Raises as ``read_body`` does."""
    if spooled.body is not None:
        return spooled.body
    return await beside(len(spooled.held), read_body, spooled.held, content_type_of(request))


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
        request=record_of(call, found.organization_id, status=status),
        once=once,
        callback_id=callback_id,
        callback_url=callback_url,
        turn=turn_of(place, trigger.settings, automation, payload),
    )
