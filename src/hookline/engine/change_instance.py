"""Change an instance: its names and triggers, the handlers of its flows and what they returned, one by one.

Each step looks at what is stored and does what is missing, so doing it again changes nothing. Only a handler may be
called twice: when its process ended and what it returned was not stored yet. Which change is carried out when, and
by one node alone, is decided in ``deploy.py``.

    deploying   triggers, on_deploy of each flow in order, deploy-time flows   → active, or withdrawn → failed
    disabling   on_remove of each deployed flow, last one first                → disabled, or failed
    removing    on_remove as above, triggers, the instance itself              → gone, or failed
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.times import rfc3339
from hookline.engine.contexts import WHOLE
from hookline.engine.handlers import call_handler
from hookline.engine.manage import instances as manage
from hookline.engine.receive import ExecutionStart
from hookline.engine.vault import INSTANCE_STATES
from hookline.errors import ConflictError, StorageError
from hookline.model.ids import new_key, public
from hookline.model.integrations import Endpoint, Handler, Instance, InstanceStatus
from hookline.model.states import Kind
from hookline.ports import Once
from hookline.ports.runner import CallJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.contexts import Contexts
    from hookline.engine.directory import Directory
    from hookline.model.configuration import Stored
    from hookline.model.executions import Failure
    from hookline.model.integrations import Deployment, Flow, Integration
    from hookline.ports import Clock, Store
    from hookline.ports.runner import Runner

_MOST_STATE_BYTES: Final = 64 * 1024
"""JSON of what one ``on_deploy`` returns: it is read with every request and every start of the instance."""

_ONCE_TIME: Final = timedelta(days=30)


class _HandlerFailedError(Exception):
    """A handler did not do its work. The text says which one and why."""


class InstanceChanger:
    """One per node. start: stores an execution that will run."""

    def __init__(
        self,
        *,
        store: Store,
        runner: Runner,
        contexts: Contexts,
        directory: Directory,
        clock: Clock,
        start: Callable[[ExecutionStart], Awaitable[object]],
    ) -> None:
        self._store = store
        self._runner = runner
        self._contexts = contexts
        self._directory = directory
        self._clock = clock
        self._start_execution = start
        self._is_open = True

    def __repr__(self) -> str:
        return f"InstanceChanger(is_open={self._is_open})"

    def close(self) -> None:
        """The node stops: what a handler fails on from now on is no fault of its own."""
        self._is_open = False

    async def carry_out(self, note: Deployment) -> None:
        """Take an instance where its status says that it goes. One that is there already, or gone, stays as it is.

        Raises StorageError or MissingError, and ConflictError when another node has changed it.
        """
        stored = await self._store.get(Instance, note.instance_id, organization_id=None)
        if stored is None or not stored.document.status.is_under_way:
            return
        integration = self._contexts.integration(stored.document.integration_id)
        match stored.document.status:
            case InstanceStatus.DEPLOYING if integration is None:
                await self._fail(stored, "the app no longer declares this integration")
            case InstanceStatus.DEPLOYING:
                assert integration is not None
                await self._deploy(stored, integration)
            case InstanceStatus.DISABLING:
                await self._withdraw_or_fail(stored, integration, then=self._disabled)
            case _ if note.skips_handlers:
                await self._removed(stored)
            case _:
                await self._withdraw_or_fail(stored, integration, then=self._removed)

    async def _deploy(self, stored: Stored[Instance], integration: Integration) -> None:
        try:
            stored = await self._prepare(stored, integration)
        except ConflictError as exc:
            await self._fail(stored, exc.message)
            return
        await self._directory.refresh()
        try:
            for flow in integration.flows:
                stored = await self._deploy_flow(stored, integration, flow)
        except _HandlerFailedError as exc:
            left = await self._withdraw(stored, integration)
            await self._fail(stored, "; ".join([str(exc), *left]))
            return
        for flow in integration.flows:
            if flow.runs_on_deploy:
                await self._run_on_deploy(stored, integration, flow)
        await self._change(
            stored,
            lambda instance: msgspec.structs.replace(
                instance,
                status=InstanceStatus.ACTIVE,
                status_reason=None,
                deployed_at=self._clock.now(),
            ),
        )

    async def _prepare(self, stored: Stored[Instance], integration: Integration) -> Stored[Instance]:
        """Give the instance its names, places and triggers."""
        now = self._clock.now()
        places = manage.new_places(stored.document.places, integration)
        if integration.endpoint is Endpoint.SHARED:
            places[WHOLE] = await manage.shared_place(
                self._store, stored.organization_id, integration, now=now
            )
        stored = await manage.change_instance(
            self._store,
            stored.organization_id,
            stored.id,
            lambda instance: msgspec.structs.replace(instance, places=places),
            names=manage.names_of(stored.document, stored.organization_id, integration),
            now=now,
        )
        await manage.add_triggers(self._store, stored, integration, now=now)
        return stored

    async def _deploy_flow(
        self, stored: Stored[Instance], integration: Integration, flow: Flow
    ) -> Stored[Instance]:
        if not {Handler.ON_DEPLOY, Handler.ON_REMOVE} & set(flow.handlers):
            return stored
        if flow.name in stored.document.deployed_flows:
            return stored
        state = None
        if Handler.ON_DEPLOY in flow.handlers:
            state = msgspec.json.decode(await self._call(stored, integration, flow, Handler.ON_DEPLOY))
        return await self._set_state(stored, flow.name, state)

    async def _run_on_deploy(self, stored: Stored[Instance], integration: Integration, flow: Flow) -> None:
        """Start a deploy-time flow, once for each deployment (PR-20)."""
        now = self._clock.now()
        id = new_key()
        told: dict[str, Any] = self._contexts.shown(stored, integration, flow) | {
            "execution_id": public("execution", id),
            "started_at": rfc3339(now),
        }
        await self._start_execution(
            ExecutionStart(
                organization_id=stored.organization_id,
                kind=Kind.WORKFLOW,
                automation_id=flow.automation_id,
                source="deploy",
                trigger=msgspec.json.encode(told),
                id=id,
                once=Once(
                    scope=stored.id,
                    name=f"deploy:{stored.document.deployment}:{flow.name}",
                    digest=b"",
                    answer=b"",
                    expires_at=now + _ONCE_TIME,
                ),
            )
        )

    # --- withdrawing ---

    async def _withdraw_or_fail(
        self,
        stored: Stored[Instance],
        integration: Integration | None,
        *,
        then: Callable[[Stored[Instance]], Awaitable[None]],
    ) -> None:
        left = [] if integration is None else await self._withdraw(stored, integration)
        if left:
            await self._fail(stored, "; ".join(left))
        else:
            await then(stored)

    async def _withdraw(self, stored: Stored[Instance], integration: Integration) -> list[str]:
        """Call ``on_remove`` of every deployed flow, the last one first. Returns what failed; those stay deployed."""
        problems = []
        for flow in reversed(integration.flows):
            current = await self._store.get(Instance, stored.id, organization_id=stored.organization_id)
            if current is None or flow.name not in self._contexts.states(current.document):
                continue
            try:
                if Handler.ON_REMOVE in flow.handlers:
                    await self._call(current, integration, flow, Handler.ON_REMOVE)
                await self._forget_state(current, flow.name)
            except _HandlerFailedError as exc:
                problems.append(str(exc))
        return problems

    async def _disabled(self, stored: Stored[Instance]) -> None:
        await self._change(
            stored,
            lambda instance: msgspec.structs.replace(
                instance, status=InstanceStatus.DISABLED, status_reason=None, sealed_states=None
            ),
        )

    async def _removed(self, stored: Stored[Instance]) -> None:
        now = self._clock.now()
        await manage.remove_triggers(self._store, stored, now=now)
        await self._store.delete(Instance, stored.id, organization_id=stored.organization_id, at=now)

    # --- small steps ---

    async def _call(
        self, stored: Stored[Instance], integration: Integration, flow: Flow, handler: Handler
    ) -> bytes:
        """Call a handler and return what it returned, as JSON text. Raises _HandlerFailedError."""
        job = CallJob(
            integration_id=integration.id,
            flow=flow.name,
            handler=handler,
            context=self._contexts.for_handler(stored, integration, flow),
        )
        result = await call_handler(self._runner, job, instance=public("instance", stored.id))
        if result.failure is not None:
            if not self._is_open:
                raise StorageError("The node stops; another goes on.")
            raise _HandlerFailedError(_worded(handler, flow, result.failure))
        value = result.value or b"null"
        if len(value) > _MOST_STATE_BYTES:
            what = f"it returned {len(value)} bytes; at most {_MOST_STATE_BYTES} are kept"
            raise _HandlerFailedError(f"{handler} of flow '{flow.name}' failed: {what}")
        return value

    async def _set_state(self, stored: Stored[Instance], flow: str, state: Any) -> Stored[Instance]:
        def change(instance: Instance) -> Instance:
            states = self._contexts.states(instance) | {flow: state}
            return msgspec.structs.replace(
                instance,
                sealed_states=self._contexts.sealed(states, INSTANCE_STATES),
                deployed_flows=(*instance.deployed_flows, flow),
            )

        return await self._change(stored, change)

    async def _forget_state(self, stored: Stored[Instance], flow: str) -> None:
        def change(instance: Instance) -> Instance:
            states = self._contexts.states(instance)
            states.pop(flow, None)
            return msgspec.structs.replace(
                instance, sealed_states=self._contexts.sealed(states, INSTANCE_STATES)
            )

        await self._change(stored, change)

    async def _fail(self, stored: Stored[Instance], reason: str) -> None:
        await self._change(
            stored,
            lambda instance: msgspec.structs.replace(
                instance, status=InstanceStatus.FAILED, status_reason=reason[:2000]
            ),
        )

    async def _change(
        self, stored: Stored[Instance], change: Callable[[Instance], Instance]
    ) -> Stored[Instance]:
        """Change the instance unless it is no longer ours to change. Raises ConflictError."""

        def checked(instance: Instance) -> Instance:
            if (instance.deployment, instance.status) != (stored.document.deployment, stored.document.status):
                raise ConflictError("The instance was changed by another node.")
            return change(instance)

        return await manage.change_instance(
            self._store, stored.organization_id, stored.id, checked, now=self._clock.now()
        )


def _worded(handler: Handler, flow: Flow, failure: Failure) -> str:
    kind = f"{failure.type}: " if failure.type else ""
    return f"{handler} of flow '{flow.name}' failed: {kind}{failure.message}"
