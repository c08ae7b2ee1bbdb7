"""``/api/v1/integrations``: what the app declares. It is code, so it is only read here."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from hookline.api.reply import AtSite, Reader, missing, reply
from hookline.api.services import Site
from hookline.model.integrations import Flow, Integration
from hookline.model.states import Kind

router = APIRouter(prefix="/api/v1/integrations", tags=["integrations"])


@router.get("", summary="List integrations")
async def list_all(site: AtSite, _: Reader) -> Response:
    return reply({"integrations": [view(site, one) for one in site.services.contexts.integrations]})


@router.get("/{integration_id}", summary="Show an integration")
async def show(site: AtSite, _: Reader, integration_id: str) -> Response:
    found = site.services.contexts.integration(integration_id)
    if found is None:
        raise missing("integration")
    return reply(view(site, found))


def view(site: Site, integration: Integration) -> dict[str, Any]:
    return {
        "id": integration.id,
        "name": integration.name,
        "description": integration.description,
        "endpoint": integration.endpoint,
        "security": integration.security,
        "flow_name_field": integration.flow_name_field,
        "external_customer_id_field": integration.customer_id_field,
        "has_route": integration.has_route,
        "config": [
            {
                "name": variable.name,
                "type": variable.type,
                "default": variable.default,
                "required": variable.is_required,
                "secret": variable.is_secret,
                "description": variable.description,
            }
            for variable in integration.variables
        ],
        "flows": [_flow(site, flow) for flow in integration.flows],
    }


def _flow(site: Site, flow: Flow) -> dict[str, Any]:
    automation = site.services.automation(Kind.WORKFLOW, flow.automation_id)
    retry, queue = (None, None) if automation is None else (automation.retry, automation.queue)
    return {
        "name": flow.name,
        "automation": {"kind": Kind.WORKFLOW, "id": flow.automation_id},
        "synchronous": flow.is_synchronous,
        "deploy_trigger": flow.runs_on_deploy,
        "handlers": flow.handlers,
        "signature": None
        if flow.signature is None
        else {"scheme": flow.signature.definition, "secrets": flow.signature.secrets},
        "retry": None
        if retry is None
        else {
            "max_attempts": retry.max_retries,
            "delay_minutes": retry.delay_ms / 60_000,
            "exponential": retry.is_exponential,
            "unique_request_id_field": retry.unique_id,
        },
        "queue": None
        if queue is None
        else {"concurrency_limit": queue.limit, "dedupe_id_field": queue.dedupe_id},
    }
