"""The whole HTTP API as one ASGI application: hot routes, then the gate, then the framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hookline.api import (
    alerts,
    artifacts,
    automations,
    conversations,
    deliveries,
    events,
    executions,
    explaining,
    following,
    instances,
    integrations,
    job_secret,
    jobs,
    keys,
    mail,
    members,
    movie_templates,
    organizations,
    overview,
    payloads,
    replays,
    requests,
    retention,
    robots,
    scripts,
    sign_in,
    system,
    triggers,
    webhooks,
)
from hookline.api.description import describe, operation_id
from hookline.api.errors import MethodError, answer_of, internal
from hookline.api.front import Front
from hookline.api.gate import Gate
from hookline.api.hot import hot_routes
from hookline.api.inbound import Budget
from hookline.api.services import Site
from hookline.api.validation import explain
from hookline.errors import HooklineError, InputError, MissingError

if TYPE_CHECKING:
    from starlette.requests import Request

    from hookline.api.inbound import AsgiApp
    from hookline.api.services import Addresses, ApiSettings, Services

ROUTERS = (
    organizations.router,
    members.router,
    keys.router,
    automations.router,
    conversations.router,
    triggers.router,
    requests.router,
    integrations.router,
    instances.router,
    executions.router,
    movie_templates.router,
    job_secret.router,
    jobs.router,
    following.router,
    artifacts.router,
    payloads.router,
    webhooks.router,
    explaining.router,
    deliveries.router,
    replays.router,
    alerts.router,
    mail.router,
    retention.router,
    robots.router,
    scripts.router,
    events.router,
    events.catalogue,
    overview.router,
    sign_in.router,
    system.router,
)


def build_application(services: Services, settings: ApiSettings, addresses: Addresses) -> Front:
    """Return the application of one node."""
    site = Site(services=services, settings=settings, addresses=addresses)
    routes = hot_routes(site)
    app = management_app(site)
    app.state.openapi = describe(app, routes, settings.version)
    app.state.hot_methods = {route.path: route.method for route in routes if route.prefix is None}
    # Starlette types ASGI by MutableMapping where ours says dict: the same objects at run time.
    # Each has a budget of its own: open streams of the management API must not keep events out.
    return Front(
        Gate(cast("AsgiApp", app), site, Budget()), routes, Budget(), services.meter, services.tracing
    )


def management_app(site: Site) -> FastAPI:
    """Return the framework's part, without the gate that it relies on."""
    app = FastAPI(
        title="Hookline",
        version=site.settings.version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        # Without this every route would document a 422, which no route answers.
        responses={"4XX": {"description": "Refused"}},
        telemetry={"tracing": False, "metrics": False},
    )
    app.state.site = site
    app.state.hot_methods = {}
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HooklineError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_defect)
    return app


async def _on_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HooklineError)
    return _worded(request, exc)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    return _worded(request, explain(exc, request.scope.get("route")))


async def _on_http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 404:
        return _worded(request, MissingError("There is no such route."))
    if exc.status_code == 405:
        return _worded(
            request,
            MethodError("This URL takes no such method.", allow=_methods_at(request)),
        )
    return _worded(request, InputError("The request cannot be read."))


def _methods_at(request: Request) -> str:
    """All methods of a path, as RFC 9110 section 15.5.6 asks; the framework tells those of one route alone."""
    path = request.scope["path"]
    found = {
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    hot = request.app.state.hot_methods.get(path)
    return ", ".join(sorted(found if hot is None else {*found, hot}))


async def _on_defect(request: Request, _: Exception) -> Response:
    # It is raised on all the same, and the gate logs it.
    answer = internal(request.scope["path"])
    return Response(answer.body, answer.status, media_type="application/json")


def _worded(request: Request, error: HooklineError) -> Response:
    answer = answer_of(error, request.scope["path"])
    headers: dict[str, Any] = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, "application/json")
