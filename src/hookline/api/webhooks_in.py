"""``POST /webhooks/agents/{agent_id}`` and ``/webhooks/workflows/{workflow_id}`` (SEEDS AF-1 to AF-5).

The credential alone selects the trigger, and with it the organization: none or a wrong one is 401 whether the id
exists or not, and 404 is never said. Then, in this order: rate (429), size (413), content type (415), JSON and its
fields (400), and 202 once request and execution are on disk. An automation that its trigger outlived is 503: the
node with the right code may come back, and the caller's retry then finds it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.api.beside import beside
from hookline.api.call import Call, check_address, trigger_json
from hookline.api.credentials import find_trigger, is_live
from hookline.api.errors import Answer, UnavailableError, missing_field
from hookline.api.identity import unauthorized
from hookline.api.inbound import query_parameters
from hookline.api.once import once_of, queue_name
from hookline.api.publish import repeated
from hookline.api.records import keep_refused, record_of
from hookline.api.shape import Field, check_field, check_no_nul, not_an_object
from hookline.api.spool import Spooled
from hookline.core.bodies import Body, carried
from hookline.core.canonical import decode
from hookline.core.times import rfc3339
from hookline.core.turns import place_of, turn_of
from hookline.engine.manage.callbacks import callback_of
from hookline.engine.receive import ExecutionStart
from hookline.engine.vault import ANSWER
from hookline.errors import HooklineError
from hookline.model.ids import public
from hookline.model.states import Kind
from hookline.ports import Repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.api.call import Gatekeeper
    from hookline.api.inbound import Inbound
    from hookline.api.services import Site
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.executions import Execution

ROUTES: Final = {"/webhooks/agents/": Kind.AGENT, "/webhooks/workflows/": Kind.WORKFLOW}
"""Path prefix to the kind of automation behind it."""

WORDS: Final = {Kind.AGENT: "agents", Kind.WORKFLOW: "workflows"}
"""Kind to its word in the path."""

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


async def receive(site: Site, gatekeeper: Gatekeeper, request: Inbound, prefix: str) -> Answer:
    """The hot route. prefix: the key of ROUTES under which it was found."""
    call = Call(site, request)
    try:
        return await _accept(site, gatekeeper, call, ROUTES[prefix], request.path[len(prefix) :])
    except HooklineError as error:
        await keep_refused(site, gatekeeper, call, error)
        raise


async def _accept(site: Site, gatekeeper: Gatekeeper, call: Call, kind: Kind, target: str) -> Answer:
    request, services = call.request, site.services
    request.check_declared_size(site.settings.max_body_bytes)
    trigger = await _authenticate(site, call, kind, target)
    gatekeeper.check_rate(trigger, services.clock.elapsed())
    body = await request.body(site.settings.max_body_bytes)
    call.took_in(Spooled(body))
    request.check_json()
    seen = await beside(len(body), _read, kind, body)
    automation = services.automation(kind, target)
    if automation is None:
        raise UnavailableError(
            "The automation behind this URL is not available now.", code="AUTOMATION_UNAVAILABLE"
        )
    callback_id, callback_url = callback_of(
        trigger.document, request.headers.get(b"hookline-callback"), seen.data, site.addresses
    ) or (None, None)
    expected_at = rfc3339(await services.estimated_completion(kind, target))
    payload, place = partial(call.payload, seen), place_of(trigger.id, automation)
    default = queue_name(automation, place, payload)
    once = once_of(trigger, call, seen.data, services.clock.now(), default=default)
    start = ExecutionStart(
        organization_id=trigger.organization_id,
        kind=kind,
        automation_id=target,
        input=seen.input,
        source="trigger",
        trigger=trigger_json(site, call, seen),
        trigger_id=trigger.id,
        request=record_of(call, trigger.organization_id, status=202),
        once=once,
        callback_id=callback_id,
        callback_url=callback_url,
        turn=turn_of(place, trigger.document.settings, automation, payload),
    )
    return await _start(site, start, lambda execution: _accepted(execution, expected_at))


async def _authenticate(site: Site, call: Call, kind: Kind, target: str) -> Stored[Trigger]:
    request = call.request
    call.parameters = query_parameters(request.scope.get("query_string", b""))
    if len(target) > _MOST_ID_CHARACTERS:
        raise unauthorized()
    place = f"{WORDS[kind]}/{target}"
    found = await find_trigger(site.services, place, request.headers, call.parameters)
    if found is None:
        raise unauthorized()
    trigger = found.document
    if trigger.profile != "agenticflow" or (trigger.automation_kind, trigger.automation_id) != (kind, target):
        raise unauthorized()
    call.trigger = found
    if not trigger.is_enabled or not is_live(site.services, trigger, request.headers, call.parameters):
        raise unauthorized()
    check_address(trigger, call.remote_address)
    return found


def _read(kind: Kind, body: bytes) -> Body:
    """Return the body, with the execution's input: all of it for an agent. Raises InputError in AF-5's words."""
    value = _validate(kind, body)
    input_ = body if kind is Kind.AGENT else bytes(_read_workflow(body).input_data) or None
    return Body(value, carried(body, value), input=input_)


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
    if kind is Kind.AGENT:
        check_no_nul(value.get("user_id"), "user_id")
    return value


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
