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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack

import msgspec

from hookline.core.routing import parse_field
from hookline.errors import SettingError
from hookline.model.executions import QueueRule, RetryRule
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
    from collections.abc import Callable

    from hookline.options import Options
    from hookline.sdk import App

Function = TypeVar("Function", bound="Callable[..., Any]")

VARIABLE_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "json": (object,),
}
"""Word to what a value of it is in Python."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)


class ConfigVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A value that each instance has of its own, read as ``ctx.config["name"]``. Raises SettingError.

    type: ``string``, ``number``, ``boolean`` or ``json``.  default: of its type, None for none.
    required: an instance without a value is refused.  secret: encrypted at rest, never shown.
    """

    type: Literal["string", "number", "boolean", "json"] = "string"
    default: Any = None
    required: bool = False
    secret: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if self.type not in VARIABLE_TYPES:
            raise SettingError(
                f"a config variable's type must be one of {', '.join(VARIABLE_TYPES)}; got {self.type!r}"
            )
        if self.default is not None and not is_of(self.type, self.default):
            raise SettingError(
                f"a config variable's default must be a {self.type}; got {self.default!r}: change its type or default"
            )
        if self.default is not None and self.secret:
            raise SettingError(
                "a secret config variable has no default: code is no place for it; leave it out"
            )


def is_of(type_: str, value: object) -> bool:
    """Say whether a value is of a config variable's type."""
    is_boolean_for_number = type_ == "number" and isinstance(value, bool)
    return isinstance(value, VARIABLE_TYPES[type_]) and not is_boolean_for_number


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often an execution that failed is run again (PR-18). Raises SettingError.

    max_attempts: 0 to 10 retries.  delay_minutes: 0 to 60, before each.  exponential: each wait is twice the last.
    unique_request_id_field: where a request says what it is about; a newer one of the same id ends older retries.
    """

    max_attempts: int
    delay_minutes: float = 1
    exponential: bool = False
    unique_request_id_field: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or self.max_attempts not in range(11):
            raise SettingError(
                f"Retry: max_attempts must be a whole number, 0 to 10; got {self.max_attempts!r}"
            )
        if not is_of("number", self.delay_minutes) or not 0 <= self.delay_minutes <= 60:
            raise SettingError(f"Retry: delay_minutes must be a number, 0 to 60; got {self.delay_minutes!r}")
        _check_field("Retry: unique_request_id_field", self.unique_request_id_field)

    @property
    def rule(self) -> RetryRule | None:
        """What the engine acts on; None for no retries."""
        if self.max_attempts == 0:
            return None
        return RetryRule(
            max_retries=self.max_attempts,
            delay_ms=round(self.delay_minutes * 60_000),
            is_exponential=self.exponential,
            unique_id=self.unique_request_id_field,
        )


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions of one flow of one instance run at once (PR-19). Raises SettingError.

    type: ``parallel`` (as many as there are), ``throttled`` (``concurrency_limit``, 2 to 15) or ``sequential`` (one
    after the other, as they came).  dedupe_id_field: where a request names itself, so that a repeat runs nothing.
    """

    type: Literal["parallel", "throttled", "sequential"]
    concurrency_limit: int | None = None
    dedupe_id_field: str | None = None

    def __post_init__(self) -> None:
        if self.type not in {"parallel", "throttled", "sequential"}:
            raise SettingError(f"Queue: type must be parallel, throttled or sequential; got {self.type!r}")
        if self.type != "throttled" and self.concurrency_limit is not None:
            raise SettingError(
                f"Queue: only a throttled queue has a concurrency_limit; leave it out of {self.type}"
            )
        if self.type == "throttled" and self.concurrency_limit not in range(2, 16):
            raise SettingError(
                f"Queue: a throttled queue needs a concurrency_limit, 2 to 15; got {self.concurrency_limit!r}"
            )
        if self.type == "parallel" and self.dedupe_id_field is not None:
            raise SettingError(
                "Queue: parallel has no queue to look for repeats in; choose throttled or sequential"
            )
        _check_field("Queue: dedupe_id_field", self.dedupe_id_field)

    @property
    def rule(self) -> QueueRule | None:
        """What the engine acts on; None for no queue."""
        if self.type == "parallel":
            return None
        return QueueRule(limit=self.concurrency_limit or 1, dedupe_id=self.dedupe_id_field)


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """How requests to a flow are signed, by whoever the customer connected. Raises SettingError.

    preset: ``stripe``, ``github``, ``slack`` and so on; or scheme: the fields of an own one.
    secret: the config variable that holds the secret of each instance.  previous_secret: the one that holds the secret
    before, which counts while it has a value.  verify_token: the one with the word that Meta and WhatsApp show.
    """

    secret: str
    preset: str | None = None
    scheme: Mapping[str, Any] | None = None
    previous_secret: str | None = None
    verify_token: str | None = None

    def __post_init__(self) -> None:
        if (self.preset is None) == (self.scheme is None):
            raise SettingError("Signature: give a preset, or a scheme of your own")

    @property
    def declared(self) -> FlowSignature:
        """What the engine is told."""
        definition = {"preset": self.preset} if self.scheme is None else dict(self.scheme)
        secrets = (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)
        return FlowSignature(definition=definition, secrets=secrets, verify_token=self.verify_token)


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
        register = self._app.declare_flow(
            automation_id,
            name,
            options,
            retry=None if retry is None else retry.rule,
            queue=None if queue is None else queue.rule,
        )
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
    _check_field(f"{where}: flow_name_field", flow_name_field)
    _check_field(f"{where}: external_customer_id_field", external_customer_id_field)
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


def _check_field(what: str, field: object) -> None:
    if field is None:
        return
    try:
        parse_field(field if isinstance(field, str) else repr(field))
    except ValueError as exc:
        raise SettingError(f"{what} {exc}") from None


def _one_of(where: str, **functions: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return the one function that was given under any of its names."""
    given = {name: function for name, function in functions.items() if function is not None}
    if len(given) > 1:
        raise SettingError(f"{where}: {' and '.join(given)} are one setting: leave one of them out")
    for name, function in given.items():
        if not callable(function):
            raise SettingError(f"{where}: {name} must be a function; got {function!r}")
    return next(iter(given.values()), None)
