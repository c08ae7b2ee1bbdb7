"""What users write of an integration: its config variables, its flows and their handlers.

    acme = app.integration("acme", config={"token": ConfigVariable(required=True, secret=True)})

    async def register(ctx):
        url = ctx.webhook_urls[ctx.flow.name]
        return {"webhook_id": await create_webhook(url, ctx.config["token"])}

    async def unregister(ctx):
        await delete_webhook(ctx.instance_state["webhook_id"], ctx.config["token"])

    @acme.flow("orders", on_deploy=register, on_remove=unregister)
    async def orders(ctx):
        return {"order": ctx.trigger.body.data["id"]}

A flow is a workflow whose id is ``integration.flow``, here ``acme.orders``; its ``ctx`` is a workflow's. Handlers are
async or plain functions. They are called in child processes that serve one call at a time and live on, so keep no
state in globals; one that takes longer than 30 seconds is ended with its process.

    on_trigger(ctx, payload)  before each execution that a request starts: may change the payload, answer the caller
    on_deploy(ctx)            when an instance is created, enabled or changed; what it returns is kept
    on_remove(ctx)            when an instance is disabled or deleted: undo what on_deploy did
    route(payload)            says which flow, and on shared endpoints whose, a request is for

This module only declares, and is loaded into every child process: it imports nothing heavy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

import msgspec

from hookline.errors import SettingError
from hookline.flow_settings import ConfigVariable, Queue, Retry, Signature, check_field
from hookline.model.integrations import (
    Endpoint,
    Flow,
    FlowSignature,
    Handler,
    Integration,
    Security,
    Variable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.options import Options
    from hookline.sdk import App

Function = TypeVar("Function", bound="Callable[..., Any]")

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)


class AppIntegration:
    """An integration of an app; made by ``App.integration``."""

    def __init__(
        self,
        app: App,
        declared: Integration,
        route: Callable[..., Any] | None,
        functions: dict[tuple[str, str | None, Handler], Callable[..., Any]],
    ) -> None:
        self._app = app
        self._declared = declared
        self._functions = functions
        if route is not None:
            self._functions[declared.id, None, Handler.ROUTE] = route

    def __repr__(self) -> str:
        return f"<integration {self._declared.id}: {len(self._declared.flows)} flows>"

    @property
    def declared(self) -> Integration:
        """What the engine is told of it."""
        return self._declared

    def flow(
        self,
        name: str,
        *,
        synchronous: bool = False,
        deploy_trigger: bool = False,
        on_trigger: Callable[..., Any] | None = None,
        on_deploy: Callable[..., Any] | None = None,
        on_remove: Callable[..., Any] | None = None,
        on_instance_deploy: Callable[..., Any] | None = None,
        on_instance_remove: Callable[..., Any] | None = None,
        on_instance_delete: Callable[..., Any] | None = None,
        retry: Retry | None = None,
        queue: Queue | None = None,
        signature: Signature | None = None,
        **options: Unpack[Options],
    ) -> Callable[[Function], Function]:
        """Declare a flow; it returns anything that JSON can hold. Raises SettingError.

        synchronous: callers wait for the result.  deploy_trigger: every deployment runs it once, too.
        on_instance_deploy: another name of on_deploy; on_instance_remove, on_instance_delete: of on_remove (PR-X7).
        signature: how its requests are signed; others are refused.
        options: as of a workflow.
        """
        where = f"flow {name!r} of integration {self._declared.id!r}"
        self._check_flow(where, name, retry=retry, queue=queue, is_synchronous=synchronous)
        signed = None if signature is None else self._signed(where, signature)
        handlers = {
            Handler.ON_TRIGGER: _one_of(where, on_trigger=on_trigger),
            Handler.ON_DEPLOY: _one_of(where, on_deploy=on_deploy, on_instance_deploy=on_instance_deploy),
            Handler.ON_REMOVE: _one_of(
                where,
                on_remove=on_remove,
                on_instance_remove=on_instance_remove,
                on_instance_delete=on_instance_delete,
            ),
        }
        automation_id = f"{self._declared.id}.{name}"
        retried = None if retry is None else retry.rule
        queued = None if queue is None else queue.rule
        register = self._app.declare_flow(automation_id, name, options, retry=retried, queue=queued)
        flow = Flow(
            name=name,
            automation_id=automation_id,
            is_synchronous=synchronous,
            runs_on_deploy=deploy_trigger,
            handlers=tuple(handler for handler, function in handlers.items() if function is not None),
            signature=signed,
        )

        def declare(function: Function) -> Function:
            registered: Function = register(function)
            self._declared = msgspec.structs.replace(self._declared, flows=(*self._declared.flows, flow))
            for handler, called in handlers.items():
                if called is not None:
                    self._functions[self._declared.id, name, handler] = called
            return registered

        return declare

    def _signed(self, where: str, signature: object) -> FlowSignature:
        if not isinstance(signature, Signature):
            raise SettingError(f"{where}: signature must be a Signature(…); got {type(signature).__name__}")
        declared = signature.declared
        secret = {one.name for one in self._declared.variables if one.is_secret and one.type == "string"}
        for name in declared.variables:
            if name not in secret:
                raise SettingError(
                    f"{where}: its signature needs {name!r}, which is no config variable of the integration with "
                    "secret=True and type 'string': declare it in config="
                )
        return declared

    def _check_flow(
        self, where: str, name: object, *, retry: object, queue: object, is_synchronous: bool
    ) -> None:
        if (
            not isinstance(name, str)
            or not 1 <= len(name) <= 60
            or not name.isprintable()
            or name != name.strip()
        ):
            raise SettingError(f"a flow's name must be a printable text of 1 to 60 characters; got {name!r}")
        if self._declared.flow(name) is not None:
            raise SettingError(f"{where} is declared twice: give one of them another name")
        if retry is not None and not isinstance(retry, Retry):
            raise SettingError(f"{where}: retry must be a Retry(…); got {type(retry).__name__}")
        if queue is not None and not isinstance(queue, Queue):
            raise SettingError(f"{where}: queue must be a Queue(…); got {type(queue).__name__}")
        if is_synchronous and retry is not None:
            raise SettingError(
                f"{where} is synchronous: its caller waits and cannot wait for retries; leave retry out"
            )
        if is_synchronous and isinstance(queue, Queue) and queue.type == "sequential":
            raise SettingError(
                f"{where} is synchronous: its caller cannot wait for those before it; leave queue out"
            )


def declare_integration(
    id: object,
    *,
    name: str | None,
    endpoint: str,
    security: str,
    config: Mapping[str, ConfigVariable] | None,
    flow_name_field: str | None,
    external_customer_id_field: str | None,
    route: Callable[..., Any] | None,
    description: str,
) -> Integration:
    """Return what ``App.integration`` was told, checked. Raises SettingError."""
    if not isinstance(id, str) or _ID.fullmatch(id) is None:
        raise SettingError(
            f"an integration's id must have 1 to 63 letters, digits, - or _ and begin with no sign; got {id!r}"
        )
    where = f"integration {id!r}"
    kind = _choice(where, "endpoint", Endpoint, endpoint)
    check_field(f"{where}: flow_name_field", flow_name_field)
    check_field(f"{where}: external_customer_id_field", external_customer_id_field)
    if route is not None and not callable(route):
        raise SettingError(f"{where}: route must be a function; got {route!r}")
    _check_routing(where, kind, flow_name_field, external_customer_id_field, has_route=route is not None)
    return Integration(
        id=id,
        name=name or id,
        endpoint=kind,
        security=_choice(where, "security", Security, security),
        variables=tuple(_variable(where, name, each) for name, each in (config or {}).items()),
        flow_name_field=flow_name_field,
        customer_id_field=external_customer_id_field,
        has_route=route is not None,
        description=description,
    )


def _check_routing(
    where: str, endpoint: Endpoint, flow_field: str | None, customer_field: str | None, *, has_route: bool
) -> None:
    """See that a request can be routed, by fields or by a function, never by both (PR-16)."""
    if endpoint is Endpoint.FLOW:
        if has_route or flow_field or customer_field:
            raise SettingError(
                f"{where}: every flow has a URL of its own, so there is nothing to route: leave out route, "
                "flow_name_field and external_customer_id_field, or say endpoint='instance' or 'shared'"
            )
        return
    if has_route and (flow_field or customer_field):
        raise SettingError(f"{where} routes by its fields or by its route function: leave one of them out")
    if not has_route and flow_field is None:
        raise SettingError(f"{where}: endpoint={endpoint.value!r} needs flow_name_field, or a route function")
    if endpoint is Endpoint.SHARED and not has_route and customer_field is None:
        raise SettingError(
            f"{where}: endpoint='shared' needs external_customer_id_field, or a route function"
        )
    if endpoint is Endpoint.INSTANCE and customer_field is not None:
        raise SettingError(
            f"{where}: each instance has a URL of its own: leave out external_customer_id_field"
        )


def _variable(where: str, name: object, variable: object) -> Variable:
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise SettingError(f"{where}: a config variable's name must be a printable text; got {name!r}")
    if not isinstance(variable, ConfigVariable):
        raise SettingError(
            f"{where}: config[{name!r}] must be a ConfigVariable(…); got {type(variable).__name__}"
        )
    return Variable(
        name=name,
        type=variable.type,
        default=variable.default,
        is_required=variable.required,
        is_secret=variable.secret,
        description=variable.description,
    )


Word = TypeVar("Word", Endpoint, Security)


def _choice(where: str, setting: str, words: type[Word], value: str) -> Word:
    try:
        return words(value)
    except ValueError:
        expected = ", ".join(words)
        raise SettingError(f"{where}: {setting} must be one of {expected}; got {value!r}") from None


def _one_of(where: str, **functions: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return the one function that was given under any of its names."""
    given = {name: function for name, function in functions.items() if function is not None}
    if len(given) > 1:
        raise SettingError(f"{where}: {' and '.join(given)} are one setting: leave one of them out")
    for name, function in given.items():
        if not callable(function):
            raise SettingError(f"{where}: {name} must be a function; got {function!r}")
    return next(iter(given.values()), None)
