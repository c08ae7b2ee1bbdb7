"""The ``ctx`` that workflows and agents are given: what a running function may ask for.

This module only declares; a session made by the process that runs the code does the work. It is loaded into
every child process, so it imports nothing heavy.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from hookline.core.calling import DEFAULT_SECONDS, FLOW, WORKFLOW
from hookline.model.states import Kind
from hookline.steps import step_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookline.steps import RetryPolicy, StepRule
    from hookline.triggered import Trigger

LEVELS: Final = ("debug", "info", "warning", "error")
"""What ``ctx.log`` accepts as level."""


class Cancelled(BaseException):
    """Raised inside a plain function whose execution is cancelled; an async one gets ``CancelledError``.

    Clean up in ``finally`` and let it through: five seconds later the process is killed.
    """


class Session(Protocol):
    """The running process's side of a ``ctx``: it remembers, reports and suspends.

    ``step``, ``sleep`` and ``wait`` return an awaitable for async code and the value itself for plain code.
    """

    execution_id: str
    attempt: int
    input: Any
    trigger: Trigger
    config: dict[str, Any]
    instance_state: Any
    history: list[dict[str, Any]]
    trace_headers: dict[str, str]
    resolution: dict[str, Any] | None
    model: dict[str, Any] | None

    def log(self, text: str, level: str, fields: dict[str, Any]) -> None: ...
    def tell(self, stream: str, level: str, text: str, fields: dict[str, Any]) -> None: ...
    def add_credits(self, amount: float) -> None: ...
    def emit(self, type_: str, data: Any) -> None: ...
    def step(self, name: str, fn: Callable[[], Any], rule: StepRule | None) -> Any: ...
    def sleep(self, seconds: float) -> Any: ...
    def wait(self, name: str, timeout_seconds: float | None) -> Any: ...
    def call(
        self, op: str, name: str, data: Any, *, is_awaited: bool, timeout_seconds: float | None = None
    ) -> Any: ...


class BaseContext:
    """What every ``ctx`` has.

    input: what the execution was started with, parsed; None when there was nothing.
    attempt: which process of this execution runs now, 1 for the first.
    config: the instance's values of the config variables by name, None for one without a value; empty outside of
    flows.  instance_state: what the flow's ``on_deploy`` returned, else None.
    trace_headers: ``traceparent``, and ``tracestate`` if there is one: send them along with a request, and the trace
    that led here goes on there.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.input: Any = session.input
        self.trigger: Trigger = session.trigger
        self.config: dict[str, Any] = session.config
        self.instance_state: Any = session.instance_state
        self.execution_id: str = session.execution_id
        self.attempt: int = session.attempt
        self.trace_headers: dict[str, str] = session.trace_headers

    def log(self, text: object, level: str = "info", **fields: Any) -> None:
        """Write a line to the execution's log. level: debug, info, warning or error; else ValueError."""
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        self._session.log(str(text), level, fields)

    def progress(self, **fields: Any) -> None:
        """Show how far it is to whoever follows the execution's log: ``percent=40``, ``label="…"``, ``delta="…"`` for
        the next words of an answer. Not recorded: code that runs again shows it again.
        """
        self._session.tell("progress", "info", "", fields)

    def add_credits(self, amount: float) -> None:
        """Add to what the execution has used. amount: finite, 0 or more; else ValueError."""
        self._session.add_credits(amount)

    def emit(self, type: str, data: Any = None) -> None:  # noqa: A002 -- the word users know
        """Emit an event of the execution. data: what JSON can hold; else TypeError or ValueError."""
        self._session.emit(type, data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.execution_id} attempt {self.attempt}>"


class Context(BaseContext):
    """The ``ctx`` of an async function: ``step``, ``sleep`` and ``wait_for_event`` are awaited.

    A sleep or wait lets the process go once nothing else is under way: at once when the function itself
    waits, else 0.2 s after a task of it last ended a step. A step is never cut off; other work is, and starts
    over when the run resumes: limit a wait by ``timeout_seconds``, not by ``asyncio.timeout``.
    """

    async def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        retries: int | RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call ``fn(*args, **kwargs)`` once per execution and return its result as JSON gives it back.

        fn: sync or async; its result must be what JSON can hold, else TypeError or ValueError.
        retries: how often it is tried again when it raises: a number, 0 to 100, with waits of 1, 2, 4 … seconds, an
        hour at most; or a RetryPolicy. Waits of more than 2 s hold no process.
        timeout_seconds: longest time of one try, above 0; a try that takes longer has failed.
        With either, a step that has failed for good raises StepError, and so does every later run. Without, what fn
        raises is passed on, and a later run calls it again.
        """
        rule = step_rule(retries, timeout_seconds)
        return await self._session.step(name, lambda: fn(*args, **kwargs), rule)

    async def sleep(self, seconds: float) -> None:
        """Pause; longer than 0.1 s holds no process."""
        await self._session.sleep(seconds)

    async def wait_for_event(self, name: str, timeout_seconds: float | None = None) -> Any:
        """Return the data that ``POST …/resume`` gives for this name; None when the time is up first.

        Holds no process. An answer that comes before the call is kept for it.
        """
        return await self._session.wait(name, timeout_seconds)

    async def call_flow(
        self,
        name: str,
        data: Any = None,
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
    ) -> Any:
        """Run another flow of this instance with ``data`` as its input, and return what it returned.

        Holds no process. A call is made once, whatever process dies: a resumed run takes up the same one. Raises
        FlowCallError when the flow failed, took longer (it goes on) or is part of a circle, LookupError for an unknown
        name, TypeError or ValueError for data that is not JSON.
        """
        return await self._session.call(FLOW, name, data, is_awaited=True, timeout_seconds=timeout_seconds)

    async def start_flow(self, name: str, data: Any = None) -> None:
        """Start another flow of this instance and go on; it is stored when this returns. Raises as ``call_flow``."""
        await self._session.call(FLOW, name, data, is_awaited=False)

    async def run_workflow(self, id: str, input: Any = None, *, timeout_seconds: float | None = None) -> Any:  # noqa: A002
        """Run another workflow of the app with this ``input``, and return what it returned.

        Holds no process. It is started once, whatever process dies: a resumed run takes up the same one. It never
        outlives this run: when this one ends, is cancelled or times out, it is cancelled.
        timeout_seconds: longest wait for it, None for as long as it takes.
        Raises WorkflowError when it failed, was cancelled, took longer or is part of a circle, LookupError for an
        unknown id, TypeError or ValueError for an input that is not JSON.
        """
        return await self._session.call(WORKFLOW, id, input, is_awaited=True, timeout_seconds=timeout_seconds)

    async def start_workflow(self, id: str, input: Any = None) -> None:  # noqa: A002 -- the word users know
        """Start another workflow of the app and go on: it is stored when this returns, and on its own from then on.
        Raises as ``run_workflow``.
        """
        await self._session.call(WORKFLOW, id, input, is_awaited=False)


class PlainContext(BaseContext):
    """The ``ctx`` of a plain function: nothing is awaited. Threads of the function may share it."""

    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        retries: int | RetryPolicy | None = None,
        timeout_seconds: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call ``fn(*args, **kwargs)`` once per execution; as ``Context.step``, for plain functions only.

        timeout_seconds: RuntimeError in a thread that the function started, where nothing can cut a call short.
        """
        return self._session.step(name, lambda: fn(*args, **kwargs), step_rule(retries, timeout_seconds))

    def sleep(self, seconds: float) -> None:
        """Pause; longer than 0.1 s holds no process."""
        self._session.sleep(seconds)

    def wait_for_event(self, name: str, timeout_seconds: float | None = None) -> Any:
        """Return the data that a resume gives for this name; as ``Context.wait_for_event``."""
        return self._session.wait(name, timeout_seconds)

    def call_flow(self, name: str, data: Any = None, *, timeout_seconds: float = DEFAULT_SECONDS) -> Any:
        """Run another flow of this instance and return what it returned; as ``Context.call_flow``."""
        return self._session.call(FLOW, name, data, is_awaited=True, timeout_seconds=timeout_seconds)

    def start_flow(self, name: str, data: Any = None) -> None:
        """Start another flow of this instance; as ``Context.start_flow``."""
        self._session.call(FLOW, name, data, is_awaited=False)

    def run_workflow(self, id: str, input: Any = None, *, timeout_seconds: float | None = None) -> Any:  # noqa: A002
        """Run another workflow of the app and return what it returned; as ``Context.run_workflow``."""
        return self._session.call(WORKFLOW, id, input, is_awaited=True, timeout_seconds=timeout_seconds)

    def start_workflow(self, id: str, input: Any = None) -> None:  # noqa: A002 -- the word users know
        """Start another workflow of the app; as ``Context.start_workflow``."""
        self._session.call(WORKFLOW, id, input, is_awaited=False)


class _Conversation:
    """What the ``ctx`` of an agent has besides, taken from its input."""

    _session: Session
    input: Any

    def _given(self, name: str) -> Any:
        return self.input.get(name) if isinstance(self.input, dict) else None

    @property
    def message(self) -> str:
        """The user's words."""
        return self._given("message") or ""

    @property
    def user_id(self) -> str | None:
        user_id: str | None = self._given("user_id")
        return user_id

    @property
    def metadata(self) -> dict[str, Any]:
        return self._given("metadata") or {}

    @property
    def context(self) -> dict[str, Any]:
        return self._given("context") or {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was said before in this conversation: ``{"message", "reply"}`` of its latest 100 turns, oldest first.

        reply: what the agent returned, None when that turn did not succeed. Empty in a conversation that a trigger's
        request opened: it has one turn.
        """
        return self._session.history

    def resolve(
        self,
        type: str | None = None,  # noqa: A002 -- the seed's word
        category: str | None = None,
        tags: Iterable[str] = (),
        satisfaction_score: float | None = None,
    ) -> None:
        """Say that the conversation is settled when this turn succeeds. The last call counts.

        satisfaction_score: a finite number. Raises TypeError for what is no text or no number, ValueError.
        """
        words = list(tags)
        for text in (type, category, *words):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"type, category and each tag are texts; got {text!r}")
        score: object = satisfaction_score
        if isinstance(score, bool) or not isinstance(score, int | float | None):
            raise TypeError(f"satisfaction_score is a number; got {score!r}")
        if score is not None and not math.isfinite(score):
            raise ValueError(f"satisfaction_score must be finite; got {score!r}")
        self._session.resolution = {
            "type": type,
            "category": category,
            "tags": words,
            "satisfaction_score": score,
        }


class AgentContext(_Conversation, Context):
    """The ``ctx`` of an async agent."""


class PlainAgentContext(_Conversation, PlainContext):
    """The ``ctx`` of a plain agent."""


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether calling it gives a coroutine, also for an object with an async ``__call__``."""
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def context_for(session: Session, kind: Kind, *, asynchronous: bool) -> BaseContext:
    """Return the ``ctx`` that a function of this kind expects."""
    if kind is Kind.AGENT:
        return AgentContext(session) if asynchronous else PlainAgentContext(session)
    return Context(session) if asynchronous else PlainContext(session)
