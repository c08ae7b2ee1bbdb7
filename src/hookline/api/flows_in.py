"""Which automation a request to a trigger starts, and what the flow's ``on_trigger`` makes of the request before.

A trigger of an integration leads to a flow of an instance (engine/routing.py decides); any other to its own automation.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.api.call import trigger_json
from hookline.api.decided import decided
from hookline.core.octets import BYTES
from hookline.core.turns import digest
from hookline.engine.routing import Answered, Before, Destination, Request, with_members
from hookline.engine.signing import of_flow
from hookline.errors import MissingError
from hookline.model.ids import public
from hookline.model.integrations import Instance
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.api.call import Call
    from hookline.api.services import Site
    from hookline.core.bodies import Body
    from hookline.core.inbound import HandshakeAnswer
    from hookline.engine.routing import Chosen
    from hookline.engine.signing import Signing
    from hookline.model.configuration import Stored, Trigger


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What a request starts.

    place: where its turns count; None for the trigger and the automation.  shown: what ``ctx.trigger`` shows of it
    beside the request.  destination: None when it is no flow of an integration.  before: what its ``on_trigger``
    decided.
    """

    kind: Kind
    id: str
    place: bytes | None = None
    shown: dict[str, Any] = {}
    destination: Destination | None = None
    before: Before = Before()

    @property
    def is_synchronous(self) -> bool:
        """Whether every caller waits for the result."""
        return self.destination is not None and self.destination.flow.is_synchronous

    @property
    def answer(self) -> Answered | None:
        """What ``on_trigger`` wants the caller to be told, None for the answer that names the execution."""
        return self.before.answer

    def answered(self, told: HandshakeAnswer) -> Flow:
        """Return it as one that does not run: the sender asked whether the URL is ours."""
        answer = Answered(status=told.status, content_type=told.content_type, headers={}, body=told.body)
        return msgspec.structs.replace(self, before=Before(runs=False, answer=answer))

    def payload(self, call: Call, body: Body) -> dict[str, Any]:
        """Return what the fields of its queue and retries lead into: the request as ``on_trigger`` left it."""
        replaced = {name: msgspec.json.decode(text) for name, text in self.before.replaced.items()}
        return call.payload(body) | replaced


async def check_in_service(site: Site, trigger: Trigger) -> None:
    """Raise MissingError when a trigger's instance takes no requests, in the words for a trigger that is not there."""
    if trigger.endpoint is None or trigger.endpoint.instance_id is None:
        return
    stored = await site.services.directory.get(Instance, trigger.endpoint.instance_id)
    if stored is None or not stored.document.takes_requests:
        raise MissingError("There is no such trigger.")


async def flow_of(
    site: Site, call: Call, found: Stored[Trigger], body: Body, chosen: Chosen | None = None
) -> Flow:
    """Return what the request starts. chosen: who routes it, in place of what it says. Raises as ``Router.destination``
    does.
    """
    trigger = found.document
    if trigger.endpoint is None:
        return await _own_automation(site, found)
    key = call.request.headers.get(b"api-key")
    request = Request(
        payload=call.payload(body),
        text=partial(trigger_json, site, call, body),
        api_key=None if key is None else key.decode("latin-1"),
        url=site.services.contexts.url(trigger.path_id or ""),
    )
    destination = await site.services.router.destination(found, request, chosen)
    return Flow(
        kind=Kind.WORKFLOW,
        id=destination.flow.automation_id,
        place=digest(destination.instance.id, destination.flow.name),
        shown=destination.shown,
        destination=destination,
    )


async def _own_automation(site: Site, found: Stored[Trigger]) -> Flow:
    """Return the automation of a trigger that belongs to no integration; it is a flow of one URL (PR-11)."""
    trigger = found.document
    kind, id_ = trigger.automation_kind, trigger.automation_id
    automation = await site.services.find_automation(found.organization_id, kind, id_)
    name = id_ if automation is None else automation.name
    url = site.services.contexts.url(trigger.path_id or "")
    shown = {"flow": {"id": id_, "name": name}, "webhook_urls": {name: url}, "invoke_url": url}
    return Flow(kind=kind, id=id_, shown=shown)


def signing_of_flow(site: Site, flow: Flow) -> Signing | None:
    """Return how requests to a flow of an instance must be signed, None when they need not be."""
    if flow.destination is None:
        return None
    return of_flow(site.services.contexts, flow.destination.instance.document, flow.destination.flow)


async def before_start(site: Site, call: Call, flow: Flow, body: Body) -> Flow:
    """Return the flow with what its ``on_trigger`` decided. Raises HandlerFailedError."""
    if flow.destination is None or flow.place is None or not flow.destination.asks_first:
        return flow
    text = trigger_json(site, call, body, request_id=public("request", call.request_id), **flow.shown)
    ask = partial(site.services.router.before_start, flow.destination, text)
    if call.is_again:
        before = await decided(site.services, call.request_id, flow.place, ask)
    else:
        before = await ask()
    return msgspec.structs.replace(flow, before=before)


def trigger_and_input(site: Site, call: Call, flow: Flow, body: Body) -> tuple[bytes, bytes | None]:
    """Return what ``ctx.trigger`` shows and the execution's input, both as JSON text."""
    text = trigger_json(site, call, body, input="body", **flow.shown)
    input_, replaced = body.input, flow.before.replaced
    if not replaced:
        return text, input_
    if "body" in replaced:
        data = msgspec.json.decode(replaced["body"], type=dict[str, msgspec.Raw]).get("data")
        # Bytes are shown by the trigger alone, as those of a request are.
        input_ = None if data is None or BYTES.encode() in bytes(data)[:16] else bytes(data)
    return with_members(text, replaced), input_
