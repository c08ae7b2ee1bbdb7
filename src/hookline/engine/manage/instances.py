"""Instances: what a customer's use of an integration is made of, checked; nothing here deploys anything.

An instance is found by id, and on shared endpoints by its customer, who therefore has one of each integration there.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.inbound import check_secret, scheme_from
from hookline.engine.contexts import WHOLE
from hookline.engine.manage.contention import TRIES
from hookline.engine.manage.organizations import check_name
from hookline.engine.manage.triggers import PATHS, new_path_id
from hookline.engine.vault import INSTANCE_CONFIG, INSTANCE_KEYS, token_digest
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Trigger, TriggerAuth, TriggerEndpoint
from hookline.model.ids import new_key
from hookline.model.integrations import (
    Customer,
    Endpoint,
    Instance,
    InstanceStatus,
    Place,
    Security,
)
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hookline.engine.contexts import Contexts
    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.model.integrations import Flow, Integration, Variable
    from hookline.ports import Registry

Write = Callable[[], Awaitable["Stored[Instance]"]]
"""Stores an instance and returns it as it is stored."""

CUSTOMERS: Final = "customer"
"""Name space of instances on shared endpoints: organization, integration and customer."""
SHARED: Final = "shared"
"""Name space of shared endpoints' triggers: organization and integration."""

MOST_KEYS: Final = 10
"""API keys of one flow: two while one is replaced, and some to spare."""

_WITH_KEYS: Final = frozenset({Security.CUSTOMER_OPTIONAL, Security.CUSTOMER_REQUIRED})
_KEY_PREFIX: Final = "hwk_"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "json": (object,),
}
_WORDS: Final = {"string": "string", "number": "number", "boolean": "boolean", "json": "any"}


class NewInstance(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants. config: values by variable."""

    name: str | None
    customer_id: str
    customer_name: str | None
    config: dict[str, Any]


# --- making one ---------------------------------------------------------------------------------------------


def new_instance(new: NewInstance, integration: Integration, contexts: Contexts) -> Instance:
    """Return the document of a new instance, with its keys. Raises InputError."""
    _check_customer(new.customer_id)
    customer = Customer(
        external_id=new.customer_id,
        name=None if new.customer_name is None else check_name(new.customer_name, "customer.name"),
    )
    instance = Instance(
        integration_id=integration.id,
        name=f"{integration.name} for {new.customer_name or new.customer_id}"[:200]
        if new.name is None
        else check_name(new.name),
        customer=customer,
        places=new_places({}, integration),
    )
    instance = with_config(instance, new.config, integration, contexts)
    if integration.security is Security.CUSTOMER_REQUIRED:
        return with_keys(instance, {flow.name: [new_flow_key()] for flow in integration.flows}, contexts)
    return instance


def _check_customer(external_id: str) -> None:
    if not 0 < len(external_id) <= 256 or not external_id.isprintable():
        raise InputError(
            "A customer's external id has 1 to 256 printable characters.",
            field="customer.external_id",
            expected="1 to 256 printable characters",
            received="string",
        )


def new_places(present: Mapping[str, Place], integration: Integration) -> dict[str, Place]:
    """Return the places of an instance, with one for every flow that needs one and has none."""
    wanted = {
        Endpoint.FLOW: [flow.name for flow in integration.flows],
        Endpoint.INSTANCE: [WHOLE],
        Endpoint.SHARED: [],
    }[integration.endpoint]
    fresh = {name: new_place() for name in wanted if name not in present}
    return {**present, **fresh}


def new_place() -> Place:
    return Place(new_key(), new_path_id(secrets.token_bytes(16)))


def names_of(instance: Instance, organization_id: Key, integration: Integration) -> list[tuple[str, str]]:
    """Return the unique names of an instance."""
    if integration.endpoint is not Endpoint.SHARED:
        return []
    return [(CUSTOMERS, customer_name(organization_id, integration.id, instance.customer.external_id))]


def customer_name(organization_id: Key, integration_id: str, external_id: str) -> str:
    """Return the name under which a shared endpoint finds a customer's instance."""
    return f"{organization_id.hex()}:{integration_id}:{external_id}"


# --- status -------------------------------------------------------------------------------------------------


def deploying(instance: Instance) -> Instance:
    """Return the instance as it is while it is deployed once more."""
    return _at(instance, InstanceStatus.DEPLOYING, deployment=instance.deployment + 1, deployed_flows=())


def disabling(instance: Instance) -> Instance:
    return _at(instance, InstanceStatus.DISABLING)


def removing(instance: Instance) -> Instance:
    return _at(instance, InstanceStatus.REMOVING)


def renamed(instance: Instance, name: str | None) -> Instance:
    """Return the instance under another name, None to leave it."""
    return instance if name is None else msgspec.structs.replace(instance, name=name)


def _at(instance: Instance, status: InstanceStatus, **changes: Any) -> Instance:
    return msgspec.structs.replace(instance, status=status, status_reason=None, **changes)


# --- config -------------------------------------------------------------------------------------------------


def with_config(
    instance: Instance, given: Mapping[str, Any], integration: Integration, contexts: Contexts
) -> Instance:
    """Return the instance with these values merged in; None unsets one. Raises InputError."""
    variables = {variable.name: variable for variable in integration.variables}
    for name, value in given.items():
        _check_value(name, value, variables.get(name))
    values = {**instance.config, **contexts.unsealed(instance.sealed_config, INSTANCE_CONFIG), **given}
    # What the app no longer declares is dropped: nobody could see or change it.
    kept = {name: value for name, value in values.items() if value is not None and name in variables}
    for variable in integration.variables:
        if variable.is_required and variable.default is None and variable.name not in kept:
            raise InputError(
                f"Required field 'config.{variable.name}' is missing",
                field=f"config.{variable.name}",
                expected=_WORDS[variable.type],
                received="null",
            )
    _check_signing_secrets(kept, integration)
    secret = {name: value for name, value in kept.items() if variables[name].is_secret}
    return msgspec.structs.replace(
        instance,
        config={name: value for name, value in kept.items() if name not in secret},
        sealed_config=contexts.sealed(secret, INSTANCE_CONFIG),
    )


def _check_signing_secrets(config: Mapping[str, Any], integration: Integration) -> None:
    """Raise InputError for a secret that its flow's scheme cannot check with: every request would be refused."""
    for flow in integration.flows:
        if flow.signature is not None:
            scheme = scheme_from(flow.signature.definition)
            for name in flow.signature.secrets:
                if name in config:
                    check_secret(scheme, config[name], field=f"config.{name}")


def _check_value(name: str, value: Any, variable: Variable | None) -> None:
    field = f"config.{name[:100]}"
    if variable is None:
        raise InputError(
            f"There is no field '{field}' here",
            code="UNKNOWN_FIELD",
            field=field,
            expected="left out",
            received=type_name(value),
        )
    is_flag = isinstance(value, bool) and variable.type == "number"
    if value is not None and (is_flag or not isinstance(value, _TYPES[variable.type])):
        raise InputError(
            f"Field '{field}' must be a {variable.type}",
            field=field,
            expected=_WORDS[variable.type],
            received=type_name(value),
        )


# --- keys ---------------------------------------------------------------------------------------------------


def new_flow_key() -> str:
    return _KEY_PREFIX + urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def with_keys(instance: Instance, keys: dict[str, list[str]], contexts: Contexts) -> Instance:
    """Return the instance with these API keys, by flow name, instead of its own."""
    kept = {flow: texts for flow, texts in keys.items() if texts}
    digests = {flow: tuple(token_digest(text) for text in texts) for flow, texts in kept.items()}
    return msgspec.structs.replace(
        instance, sealed_keys=contexts.sealed(kept, INSTANCE_KEYS), key_digests=digests
    )


async def add_key(
    registry: Registry, contexts: Contexts, organization_id: Key, id: Key, flow: str, *, now: datetime
) -> tuple[Stored[Instance], str]:
    """Give a flow one more API key, which is used first from now on. Returns it, shown once.

    Raises MissingError, InputError or ConflictError.
    """
    text = new_flow_key()

    def change(instance: Instance) -> Instance:
        declared = contexts.integration(instance.integration_id)
        if declared is not None and declared.security not in _WITH_KEYS:
            raise ConflictError(
                f"With security '{declared.security}' no flow has keys of its own.", code="KEYS_NOT_USED"
            )
        if declared is None or declared.flow(flow) is None:
            raise InputError(
                "There is no such flow.", field="flow", expected="name of a flow", received="string"
            )
        keys = contexts.keys(instance)
        if len(keys.get(flow, ())) >= MOST_KEYS:
            raise ConflictError(f"A flow has at most {MOST_KEYS} keys: revoke one.", code="TOO_MANY_KEYS")
        return with_keys(instance, keys | {flow: [text, *keys.get(flow, ())]}, contexts)

    return await change_instance(registry, organization_id, id, change, now=now), text


async def revoke_keys(
    registry: Registry,
    contexts: Contexts,
    organization_id: Key,
    id: Key,
    flow: str,
    *,
    keep: int,
    now: datetime,
) -> Stored[Instance]:
    """Refuse all API keys of a flow from now on but the newest ``keep``. Raises MissingError or ConflictError."""

    def change(instance: Instance) -> Instance:
        keys = contexts.keys(instance)
        return with_keys(instance, keys | {flow: keys.get(flow, [])[:keep]}, contexts)

    return await change_instance(registry, organization_id, id, change, now=now)


async def change_instance(
    registry: Registry,
    organization_id: Key,
    id: Key,
    change: Callable[[Instance], Instance],
    *,
    now: datetime,
    names: Sequence[tuple[str, str]] | None = None,
) -> Stored[Instance]:
    """Read, change, write; again when somebody else wrote in between. Raises MissingError or ConflictError."""
    for _ in range(TRIES):
        stored = await registry.get(Instance, id, organization_id=organization_id)
        if stored is None:
            raise MissingError("There is no such instance.")
        changed = msgspec.structs.replace(stored, document=change(stored.document))
        try:
            return await registry.put(changed, names=names, at=now)
        except ConflictError:
            if names is not None and await _is_unchanged(registry, stored):
                raise  # not a race: another instance has the name
    raise ConflictError("Others keep changing this instance; try again.")


async def _is_unchanged(registry: Registry, stored: Stored[Instance]) -> bool:
    found = await registry.get(Instance, stored.id, organization_id=stored.organization_id)
    return found is not None and found.revision == stored.revision


# --- triggers -----------------------------------------------------------------------------------------------


async def add_triggers(
    registry: Registry, stored: Stored[Instance], integration: Integration, *, now: datetime
) -> None:
    """Store the triggers of an instance's own places; one that is there stays as it is."""
    instance = stored.document
    if integration.endpoint is Endpoint.SHARED:
        return
    for name, place in instance.places.items():
        if await registry.get(Trigger, place.trigger_id, organization_id=stored.organization_id) is not None:
            continue
        flow = integration.flow(name)
        if name != WHOLE and flow is None:
            continue
        endpoint = TriggerEndpoint(
            integration_id=integration.id, instance_id=stored.id, flow=None if flow is None else flow.name
        )
        trigger = _trigger(instance.name, integration, endpoint, flow, place.path_id)
        await registry.add(
            Trigger,
            id=place.trigger_id,
            organization_id=stored.organization_id,
            document=trigger,
            names=[(PATHS, place.path_id)],
            at=now,
        )


async def shared_place(
    registry: Registry, organization_id: Key, integration: Integration, *, now: datetime
) -> Place:
    """Return the place of an organization's shared endpoint; it is made when there is none, and stays for good, since
    others have been told its URL.
    """
    name = f"{organization_id.hex()}:{integration.id}"
    for _ in range(TRIES):
        found = await registry.find(Trigger, SHARED, name)
        if found is not None and found.document.path_id is not None:
            return Place(found.id, found.document.path_id)
        place = new_place()
        endpoint = TriggerEndpoint(integration_id=integration.id)
        try:
            await registry.add(
                Trigger,
                id=place.trigger_id,
                organization_id=organization_id,
                document=_trigger(f"{integration.name} (shared)", integration, endpoint, None, place.path_id),
                names=[(PATHS, place.path_id), (SHARED, name)],
                at=now,
            )
        except ConflictError:
            continue  # another node was faster
        return place
    raise ConflictError("Others keep changing this endpoint; try again.")


def _trigger(
    name: str, integration: Integration, endpoint: TriggerEndpoint, flow: Flow | None, path_id: str
) -> Trigger:
    return Trigger(
        name=(name if flow is None else f"{name}: {flow.name}")[:200],
        automation_kind=Kind.WORKFLOW,
        automation_id=integration.id if flow is None else flow.automation_id,
        profile="prismatic",
        auth=TriggerAuth(type="integration"),
        path_id=path_id,
        endpoint=endpoint,
    )


async def remove_triggers(registry: Registry, stored: Stored[Instance], *, now: datetime) -> None:
    """Delete the triggers of an instance, never a shared one."""
    for place in stored.document.places.values():
        found = await registry.get(Trigger, place.trigger_id, organization_id=stored.organization_id)
        if (
            found is None
            or found.document.endpoint is None
            or found.document.endpoint.instance_id != stored.id
        ):
            continue
        await registry.delete(Trigger, place.trigger_id, organization_id=stored.organization_id, at=now)
