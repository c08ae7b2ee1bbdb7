"""What users write: an ``App`` with its workflows and agents. The ``ctx`` they are given stands in context.py.

    from hookline import App

    app = App()

    @app.workflow("orders")
    async def orders(ctx):
        charge = await ctx.step("charge", charge_card, ctx.input["order"])
        ctx.log("charged", amount=charge["amount"])
        return {"paid": True}

A function may run more than once for one execution: after ``ctx.sleep`` or ``ctx.wait_for_event`` let its
process go, or when its process died and the workflow is resumable. Every ``ctx`` call is then recognized by
its kind, its name and how often that name came before, and is not done again: a finished step returns its
recorded result without calling the function, and what was logged, emitted or charged stays as it is. So keep
calls of one name in a stable order, and put what must not happen twice into a step.

This module only declares; a session made by the process that runs the code does the work. It is loaded into
every child process, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from hookline.context import is_async
from hookline.errors import SettingError
from hookline.flows import AppIntegration, declare_integration
from hookline.model.executions import Automation
from hookline.model.states import Kind
from hookline.options import AgentOptions, ModelOptions, Options, check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.flow_settings import ConfigVariable
    from hookline.model.executions import QueueRule, RetryRule
    from hookline.model.integrations import Handler, Integration

Function = TypeVar("Function", bound="Callable[..., Any]")


class App:
    """A user's automations. Make one per file and name it ``app``."""

    def __init__(self) -> None:
        self._functions: dict[tuple[Kind, str], Callable[..., Any]] = {}
        self._automations: dict[tuple[Kind, str], Automation] = {}
        self._flows: set[str] = set()
        self._integrations: dict[str, AppIntegration] = {}
        self._handlers: dict[tuple[str, str | None, Handler], Callable[..., Any]] = {}

    def workflow(
        self,
        id: str,
        name: str | None = None,
        **options: Unpack[Options],
    ) -> Callable[[Function], Function]:
        """Declare a workflow; it returns anything that JSON can hold. Raises SettingError."""
        return self._declare(Kind.WORKFLOW, id, name, options)

    def agent(
        self,
        id: str,
        name: str | None = None,
        **options: Unpack[AgentOptions],
    ) -> Callable[[Function], Function]:
        """Declare an agent; it returns its reply, a text or a JSON object. Raises SettingError."""
        return self._declare(Kind.AGENT, id, name, options)

    def openai_agent(self, id: str, name: str | None = None, **options: Unpack[ModelOptions]) -> None:
        """Declare an agent whose turns a model behind an OpenAI-compatible endpoint answers. Raises SettingError.

        Needs ``pip install 'hookline[agent]'`` where it runs.
        """
        from hookline.model_agent.declare import declare

        agent, others = declare(id, options)
        self._declare(Kind.AGENT, id, name, others, uses_model=True)(agent)

    def integration(
        self,
        id: str,
        name: str | None = None,
        *,
        endpoint: str = "flow",
        security: str = "customer_optional",
        config: Mapping[str, ConfigVariable] | None = None,
        flow_name_field: str | None = None,
        external_customer_id_field: str | None = None,
        route: Callable[..., Any] | None = None,
        description: str = "",
    ) -> AppIntegration:
        """Declare an integration, whose flows are declared with ``flow`` of what this returns. Raises SettingError.

        endpoint: ``flow`` (each flow of each instance has a URL), ``instance`` (each instance has one) or ``shared``
        (one for all of an organization's).  security: ``unsecured``, ``customer_optional``, ``customer_required`` or
        ``organization``.  config: variables by name.
        flow_name_field, external_customer_id_field: where a request says which flow, and whose, it is for, such as
        ``headers.x-flow`` or ``body.data.tenant``.  route: a function that says it instead.
        """
        declared = declare_integration(
            id,
            name=name,
            endpoint=endpoint,
            security=security,
            config=config,
            flow_name_field=flow_name_field,
            external_customer_id_field=external_customer_id_field,
            route=route,
            description=description,
        )
        if id in self._integrations:
            raise SettingError(f"integration {id!r} is declared twice: give one of them another id")
        made = self._integrations[id] = AppIntegration(self, declared, route, self._handlers)
        return made

    @property
    def integrations(self) -> tuple[Integration, ...]:
        """What was declared with ``integration``, sorted by id."""
        return tuple(self._integrations[id].declared for id in sorted(self._integrations))

    def handler(self, integration_id: str, flow: str | None, handler: Handler) -> Callable[..., Any] | None:
        """Return a handler of a flow, or of the integration itself (flow None); None when there is none."""
        return self._handlers.get((integration_id, flow, handler))

    @property
    def automations(self) -> tuple[Automation, ...]:
        """What was declared, sorted by kind and id."""
        return tuple(self._automations[key] for key in sorted(self._automations))

    @property
    def workflows(self) -> frozenset[str]:
        """Ids of what was declared with ``workflow``: a flow runs in an instance, so no other run can run it."""
        ids = {id for kind, id in self._automations if kind is Kind.WORKFLOW}
        return frozenset(ids - self._flows)

    def function(self, kind: Kind, automation_id: str) -> Callable[..., Any] | None:
        """Return the function behind an automation, None when there is none."""
        return self._functions.get((kind, automation_id))

    def declare_flow(
        self,
        automation_id: str,
        name: str,
        options: Options,
        *,
        retry: RetryRule | None,
        queue: QueueRule | None,
    ) -> Callable[[Function], Function]:
        """Declare the workflow behind a flow; users call ``flow`` of the integration."""
        self._flows.add(automation_id)
        return self._declare(Kind.WORKFLOW, automation_id, name, options, retry=retry, queue=queue)

    def _declare(
        self,
        kind: Kind,
        automation_id: str,
        name: str | None,
        options: Options | AgentOptions,
        *,
        retry: RetryRule | None = None,
        queue: QueueRule | None = None,
        uses_model: bool = False,
    ) -> Callable[[Function], Function]:
        where = f"{kind} {automation_id!r}"
        known = AgentOptions.__optional_keys__ if kind is Kind.AGENT else Options.__optional_keys__
        check_options(where, automation_id, options, known)
        idle_seconds = cast("AgentOptions", options).get("idle_seconds")
        if (kind, automation_id) in self._automations:
            raise SettingError(f"{where} is declared twice: give one of them another id")

        def register(function: Function) -> Function:
            if options.get("shared") and not is_async(function):
                raise SettingError(
                    f"{where} is shared, so it must be an async function; got the plain function "
                    f"{getattr(function, '__name__', function)!r}: write 'async def', or leave shared out"
                )
            self._functions[kind, automation_id] = function
            self._automations[kind, automation_id] = Automation(
                kind=kind,
                id=automation_id,
                name=name or automation_id,
                timeout_ms=max(1, round(options.get("timeout_seconds", 900) * 1000)),
                concurrency=options.get("concurrency"),
                is_shared=options.get("shared", False),
                is_resumable=options.get("resumable", False),
                max_attempts=options.get("max_attempts") or 10,
                retry=retry,
                queue=queue,
                uses_model=uses_model,
                idle_ms=None if idle_seconds is None else max(1, round(idle_seconds * 1000)),
                description=options.get("description") or (function.__doc__ or "").strip().partition("\n")[0],
            )
            return function

        return register
