"""What is told of an instance: to its handlers, to executions of its flows, to whoever asks for its URLs.

Open facts (customer, instance, flow, URLs) are written into what ``ctx.trigger`` shows and stored with each execution.
Secrets (config, keys, state) are unsealed for each start of a process and stored nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from hookline.core.octets import wrapped
from hookline.core.turns import digest
from hookline.engine.vault import INSTANCE_CONFIG, INSTANCE_KEYS, INSTANCE_STATES
from hookline.model.ids import parse, public
from hookline.model.integrations import Endpoint, Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookline.engine.directory import Directory
    from hookline.engine.vault import Vault
    from hookline.model.configuration import Stored
    from hookline.model.executions import Execution
    from hookline.model.integrations import Flow, Integration

WHOLE: Final = ""
"""Under this name stands the place of an instance whose flows share one URL."""


class _Named(msgspec.Struct):
    id: str


class _Shown(msgspec.Struct):
    """The part of a stored trigger that names its instance and flow."""

    instance: _Named | None = None


class Contexts:
    """One per node. integrations: what the app declares, known once the runner has started.

    public_url: where callers reach this installation, without a final slash.
    """

    def __init__(
        self,
        *,
        integrations: Callable[[], Sequence[Integration]],
        directory: Directory,
        vault: Vault,
        public_url: str,
    ) -> None:
        self._declared = integrations
        self._directory = directory
        self._vault = vault
        self._public_url = public_url

    def __repr__(self) -> str:
        return f"Contexts({self._public_url!r})"

    @property
    def integrations(self) -> Sequence[Integration]:
        return self._declared()

    def integration(self, id: str) -> Integration | None:
        return next((one for one in self._declared() if one.id == id), None)

    # --- URLs ---

    def url(self, path_id: str) -> str:
        # As the seed prints it: "=" needs no escape in a path (RFC 3986 section 3.3).
        return f"{self._public_url}/trigger/{quote(path_id, safe='=')}"

    def urls(self, instance: Instance, integration: Integration) -> dict[str, str]:
        """Return the URL of each flow (PR-11); flows that share one have the same."""
        found = {}
        for flow in integration.flows:
            name = flow.name if integration.endpoint is Endpoint.FLOW else WHOLE
            if name in instance.places:
                found[flow.name] = self.url(instance.places[name].path_id)
        return found

    # --- what may be stored ---

    def shown(
        self, stored: Stored[Instance], integration: Integration, flow: Flow, *, invoke_url: str | None = None
    ) -> dict[str, Any]:
        """Return what ``ctx.trigger`` shows of an instance. invoke_url: the URL that was called; None for the shared
        one, where there is one.
        """
        instance = stored.document
        customer = instance.customer
        if invoke_url is None and integration.endpoint is Endpoint.SHARED and WHOLE in instance.places:
            invoke_url = self.url(instance.places[WHOLE].path_id)
        return {
            "customer": {
                "id": customer_id(stored.organization_id, customer.external_id),
                "external_id": customer.external_id,
                "name": customer.name,
            },
            "instance": {"id": public("instance", stored.id), "name": instance.name},
            "integration": {"id": integration.id, "name": integration.name},
            "flow": {"id": flow.automation_id, "name": flow.name},
            "webhook_urls": self.urls(instance, integration),
            "invoke_url": invoke_url,
        }

    # --- what may not ---

    def config(self, instance: Instance) -> dict[str, Any]:
        """Return the value of every variable, secrets among them, None for those without one."""
        declared = self.integration(instance.integration_id)
        defaults = {} if declared is None else {one.name: one.default for one in declared.variables}
        return defaults | instance.config | self.unsealed(instance.sealed_config, INSTANCE_CONFIG)

    def keys(self, instance: Instance) -> dict[str, list[str]]:
        """Return the API keys by flow name, the first one first (PR-11)."""
        return self.unsealed(instance.sealed_keys, INSTANCE_KEYS)

    def states(self, instance: Instance) -> dict[str, Any]:
        """Return what ``on_deploy`` returned, by flow name; a flow without an entry is not deployed."""
        return self.unsealed(instance.sealed_states, INSTANCE_STATES)

    def unsealed(self, sealed: bytes | None, context: bytes) -> dict[str, Any]:
        """Return the object in a sealed value, an empty one for None."""
        if sealed is None:
            return {}
        return msgspec.json.decode(self._vault.open(sealed, context), type=dict[str, Any])

    def sealed(self, values: dict[str, Any], context: bytes) -> bytes | None:
        """Return an object as it may be stored, None for an empty one."""
        return self._vault.seal(msgspec.json.encode(values), context) if values else None

    def private(self, instance: Instance, flow: str) -> dict[str, Any]:
        """Return what only running code may see."""
        return {
            "config": self.config(instance),
            "instance_state": self.states(instance).get(flow),
            "webhook_api_keys": self.keys(instance),
        }

    def for_handler(self, stored: Stored[Instance], integration: Integration, flow: Flow) -> bytes:
        """Return the context of a handler, as JSON text (``core.octets``)."""
        told = self.shown(stored, integration, flow) | self.private(stored.document, flow.name)
        return msgspec.json.encode(wrapped(told))

    async def private_of(self, execution: Execution) -> bytes | None:
        """Return what an execution of a flow may see besides what is stored with it, as JSON text; None when it is
        of no instance, or of one that is gone.
        """
        flow = self._flow_of(execution.automation_id)
        if flow is None or execution.trigger is None:
            return None
        named = msgspec.json.decode(execution.trigger, type=_Shown).instance
        id = None if named is None else parse("instance", named.id)
        stored = None if id is None else await self._directory.get(Instance, id)
        if stored is None or stored.organization_id != execution.organization_id:
            return None
        return msgspec.json.encode(self.private(stored.document, flow))

    def _flow_of(self, automation_id: str) -> str | None:
        declared = self.integration(automation_id.partition(".")[0])
        flows = () if declared is None else declared.flows
        return next((flow.name for flow in flows if flow.automation_id == automation_id), None)


def customer_id(organization_id: bytes, external_id: str) -> str:
    """Return a stable id for a customer: one name of one organization has one, and only it."""
    return public("customer", digest("customer", organization_id, external_id))
