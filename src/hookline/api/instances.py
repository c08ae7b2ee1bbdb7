"""``/api/v1/instances``: customers' uses of an integration, deployed and removed with their handlers.

A call that deploys or removes answers when that is done, or after WAIT_SECONDS with the state it has then reached;
the rest goes on, and ``GET`` shows it. Secrets of the config are taken and never shown.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from hookline.api.documents import Documents
from hookline.api.identity import Caller
from hookline.api.reply import (
    AtPage,
    AtSite,
    Body,
    Reader,
    Writer,
    found_or_missing,
    key_in_path,
    no_content,
    reply,
    when,
)
from hookline.api.services import Site
from hookline.engine.contexts import customer_id
from hookline.engine.manage import instances as manage
from hookline.engine.manage.organizations import check_name
from hookline.engine.vault import INSTANCE_CONFIG
from hookline.errors import ConflictError, InputError
from hookline.model.configuration import Stored
from hookline.model.ids import Key, new_key, public
from hookline.model.integrations import Endpoint, Instance, InstanceStatus, Integration
from hookline.model.states import Scope

router = APIRouter(prefix="/api/v1/instances", tags=["integrations"])

_INSTANCES: Final = Documents(Instance, "instance", "instances")

WAIT_SECONDS: Final = 25.0
"""Longer than most handlers take, and shorter than most clients wait for an answer."""


class CustomerBody(Body):
    external_id: str
    name: str | None = None


class NewInstanceBody(Body):
    integration: str
    customer: CustomerBody
    name: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class InstanceChange(Body):
    """config: merged into the present one; null unsets a value."""

    name: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class FlowName(Body):
    flow: str


class KeyRevocation(FlowName):
    keep: Annotated[int, Field(ge=0, le=manage.MOST_KEYS)] = 1


# --- making, reading ----------------------------------------------------------------------------------------


@router.post("", status_code=201, summary="Create an instance and deploy it; its API keys are in this answer")
async def create(site: AtSite, caller: Writer, body: NewInstanceBody) -> Response:
    integration = site.services.contexts.integration(body.integration)
    if integration is None:
        raise InputError(
            "There is no integration of this id here.",
            code="INTEGRATION_UNKNOWN",
            field="integration",
            expected="id of an integration",
            received="string",
        )
    new = manage.NewInstance(
        name=body.name,
        customer_id=body.customer.external_id,
        customer_name=body.customer.name,
        config=body.config,
    )
    instance = manage.new_instance(new, integration, site.services.contexts)
    id = new_key()

    async def write() -> Stored[Instance]:
        try:
            return await site.services.store.add(
                Instance,
                id=id,
                organization_id=caller.organization_id,
                document=instance,
                names=manage.names_of(instance, caller.organization_id, integration),
                at=site.services.clock.now(),
            )
        except ConflictError as exc:
            raise ConflictError(
                "This customer has an instance of this integration.", code="INSTANCE_EXISTS", field="customer"
            ) from exc

    stored = await _carried_out(site, caller, id, write, is_creation=True)
    found = found_or_missing(stored, "instance")
    return reply(view(site, caller, found) | {"api_keys": site.services.contexts.keys(instance)}, 201)


@router.get("", summary="List instances")
async def list_all(site: AtSite, caller: Reader, page: AtPage) -> Response:
    return await _INSTANCES.list(
        site, caller.organization_id, page, lambda stored: view(site, caller, stored)
    )


@router.get("/{instance_id}", summary="Show an instance")
async def show(site: AtSite, caller: Reader, instance_id: str) -> Response:
    return reply(view(site, caller, await _found(site, caller, instance_id)))


# --- changing -----------------------------------------------------------------------------------------------


@router.patch(
    "/{instance_id}", summary="Configure an instance; it is deployed once more unless it is disabled"
)
async def configure(site: AtSite, caller: Writer, instance_id: str, body: InstanceChange) -> Response:
    stored = await _found(site, caller, instance_id)
    integration = _declared(site, stored.document)
    name = None if body.name is None else check_name(body.name)

    def change(instance: Instance) -> Instance:
        changed = manage.with_config(instance, body.config, integration, site.services.contexts)
        return manage.renamed(changed, name)

    if stored.document.status is InstanceStatus.DISABLED or not body.config:
        changed = await _changed(site, caller, stored.id, change)
        await site.services.directory.refresh()
        return reply(view(site, caller, changed))
    return await _deployed(site, caller, stored.id, lambda instance: manage.deploying(change(instance)))


@router.post("/{instance_id}/deploy", summary="Deploy an instance once more, such as one that failed")
async def deploy(site: AtSite, caller: Writer, instance_id: str) -> Response:
    stored = await _found(site, caller, instance_id)
    if stored.document.status is InstanceStatus.DISABLED:
        raise ConflictError("The instance is disabled; enable it.", code="INSTANCE_DISABLED")
    return await _deployed(site, caller, stored.id, manage.deploying)


@router.post("/{instance_id}/enable", summary="Enable an instance, which deploys it")
async def enable(site: AtSite, caller: Writer, instance_id: str) -> Response:
    stored = await _found(site, caller, instance_id)
    if stored.document.status is InstanceStatus.ACTIVE:
        return reply(view(site, caller, stored))
    return await _deployed(site, caller, stored.id, manage.deploying)


@router.post(
    "/{instance_id}/disable", summary="Disable an instance: its URLs answer 404, on_remove is called"
)
async def disable(site: AtSite, caller: Writer, instance_id: str) -> Response:
    stored = await _found(site, caller, instance_id)
    if stored.document.status is InstanceStatus.DISABLED:
        return reply(view(site, caller, stored))
    return await _deployed(site, caller, stored.id, manage.disabling)


Force = Annotated[bool, Query(description="Remove it without calling on_remove.")]


@router.delete("/{instance_id}", status_code=204, summary="Delete an instance after its on_remove handlers")
async def delete(site: AtSite, caller: Writer, instance_id: str, *, force: Force = False) -> Response:
    stored = await _found(site, caller, instance_id)
    left = await _carried_out(
        site,
        caller,
        stored.id,
        lambda: _changed(site, caller, stored.id, manage.removing),
        skips_handlers=force,
    )
    if left is None:
        return no_content()
    if left.document.status is InstanceStatus.FAILED:
        raise ConflictError(
            f"The instance was not removed: {left.document.status_reason}. Try again, or with ?force=true.",
            code="REMOVAL_FAILED",
        )
    return reply(view(site, caller, left), 202)


# --- keys ---------------------------------------------------------------------------------------------------


@router.post(
    "/{instance_id}/keys", status_code=201, summary="Make an API key for a flow; it is in this answer"
)
async def add_key(site: AtSite, caller: Writer, instance_id: str, body: FlowName) -> Response:
    _, text = await manage.add_key(
        site.services.store,
        site.services.contexts,
        caller.organization_id,
        key_in_path("instance", instance_id),
        body.flow,
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply({"flow": body.flow, "api_key": text}, 201)


@router.post("/{instance_id}/keys/revoke", summary="Refuse all API keys of a flow but the newest ones")
async def revoke_keys(site: AtSite, caller: Writer, instance_id: str, body: KeyRevocation) -> Response:
    stored = await manage.revoke_keys(
        site.services.store,
        site.services.contexts,
        caller.organization_id,
        key_in_path("instance", instance_id),
        body.flow,
        keep=body.keep,
        now=site.services.clock.now(),
    )
    await site.services.directory.refresh()
    return reply(view(site, caller, stored))


# --- small steps --------------------------------------------------------------------------------------------


async def _found(site: Site, caller: Caller, instance_id: str) -> Stored[Instance]:
    return await _INSTANCES.find(site, caller.organization_id, instance_id)


def _declared(site: Site, instance: Instance) -> Integration:
    integration = site.services.contexts.integration(instance.integration_id)
    if integration is None:
        raise ConflictError(
            "The app no longer declares this instance's integration.", code="INTEGRATION_UNKNOWN"
        )
    return integration


async def _changed(
    site: Site, caller: Caller, id: Key, change: Callable[[Instance], Instance]
) -> Stored[Instance]:
    services = site.services
    return await manage.change_instance(
        services.store, caller.organization_id, id, change, now=services.clock.now()
    )


async def _deployed(site: Site, caller: Caller, id: Key, change: Callable[[Instance], Instance]) -> Response:
    stored = await _carried_out(site, caller, id, lambda: _changed(site, caller, id, change))
    return reply(view(site, caller, found_or_missing(stored, "instance")))


async def _carried_out(
    site: Site, caller: Caller, id: Key, write: manage.Write, **kind: bool
) -> Stored[Instance] | None:
    """Begin a change of status and wait for its end. Returns the instance as it is then, None when it is gone.

    kind: as of ``Deployer.begin``.
    """
    await site.services.deployer.begin(caller.organization_id, id, write, **kind)
    await site.services.deployer.wait(id, WAIT_SECONDS)
    return await site.services.store.get(Instance, id, organization_id=caller.organization_id)


def view(site: Site, caller: Caller, stored: Stored[Instance]) -> dict[str, Any]:
    instance, contexts = stored.document, site.services.contexts
    integration = contexts.integration(instance.integration_id)
    # A URL lets whoever has it start executions: readers do not see it.
    urls = contexts.urls(instance, integration) if integration is not None else {}
    may_see_urls = Scope.WRITE in caller.scopes
    is_shared = integration is not None and integration.endpoint is Endpoint.SHARED
    return {
        "id": public("instance", stored.id),
        "name": instance.name,
        "integration": {"id": instance.integration_id, "name": integration.name if integration else None},
        "customer": {
            "id": customer_id(stored.organization_id, instance.customer.external_id),
            "external_id": instance.customer.external_id,
            "name": instance.customer.name,
        },
        "status": instance.status,
        "status_reason": instance.status_reason,
        "config": instance.config,
        "config_secrets": sorted(contexts.unsealed(instance.sealed_config, INSTANCE_CONFIG)),
        "webhook_urls": urls if may_see_urls else None,
        "invoke_url": next(iter(urls.values()), None) if may_see_urls and is_shared else None,
        "api_key_counts": {flow: len(digests) for flow, digests in instance.key_digests.items()},
        "deployed_at": when(instance.deployed_at),
        "created_at": when(stored.created_at),
        "updated_at": when(stored.updated_at),
    }
