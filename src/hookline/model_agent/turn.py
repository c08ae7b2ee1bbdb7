"""One turn of a conversation: ask the model, call the tools that it asks for, until it has an answer.

Each round and each tool call is a step. A turn whose process died takes up what was recorded, so its calls come in
the same order with the same arguments, and only what was not finished is done again.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import closing, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.errors import ModelFailedError
from hookline.model_agent.answer import Answer
from hookline.model_agent.definition import endpoint_of
from hookline.model_agent.live import Live
from hookline.model_agent.messages import opening, with_calls
from hookline.model_agent.tools import ArgumentsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.context import AgentContext, Session
    from hookline.model_agent.definition import Endpoint, Model
    from hookline.model_agent.tools import Tool

MISSING: Final = "Agents that a model answers for need the OpenAI client: pip install 'hookline[agent]'"

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
"""Seconds between two tries: doubling from the first to the longest, half of each by chance."""

_MOST_ASKED_WAIT: Final = 60.0
"""Seconds of an endpoint's Retry-After that are waited: longer, and the turn's user is gone."""

_MOST_ERROR: Final = 2000
"""Characters of a tool's error that the model is told."""


class ModelAgent:
    """What ``app.openai_agent`` declares: called with ``ctx`` like any agent's function."""

    def __init__(
        self, model: Model, *, system: str | Callable[[Any], str | Awaitable[str]], tools: tuple[Tool, ...]
    ) -> None:
        self.model = model
        self._system = system
        self._tools = {tool.name: tool for tool in tools}

    def __repr__(self) -> str:
        return f"<ModelAgent of {self.model!r}, {len(self._tools)} tools>"

    async def __call__(self, ctx: AgentContext) -> str:
        if not ctx.message:
            raise ValueError("the turn has no message to answer")
        session: Session = ctx._session  # noqa: SLF001 -- lines from inside steps are no calls of the user's
        endpoint = endpoint_of(self.model, session.model)
        system = self._system if isinstance(self._system, str) else self._system(ctx)
        if isawaitable(system):
            system = await system
        messages = opening(system, ctx.history, ctx.message, turns=self.model.history_turns)
        for number in range(1, self.model.max_rounds + 1):
            asking = _Asking(self.model, endpoint, session, number)
            recorded = await ctx.step("model", asking.answer, self._request(messages))
            answer = msgspec.convert(recorded, Answer)
            self._charge(ctx, answer)
            if not answer.calls:
                return answer.text
            messages.append(with_calls(answer.text, recorded["calls"]))
            for call in answer.calls:
                content = await self._use(ctx, session, call.name, call.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        raise ModelFailedError(
            f"The model still asked for tools after {self.model.max_rounds} rounds: allow more with max_rounds."
        )

    def _request(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        model = self.model
        request: dict[str, Any] = {"messages": messages}
        if self._tools:
            request["tools"] = [tool.described for tool in self._tools.values()]
        if model.temperature is not None:
            request["temperature"] = model.temperature
        if model.max_tokens is not None:
            request["max_tokens"] = model.max_tokens
        extra = dict(model.parameters)
        request["stream_options"] = extra.pop("stream_options", {"include_usage": True})
        request["extra_body"] = extra
        return request

    def _charge(self, ctx: AgentContext, answer: Answer) -> None:
        model = self.model
        spent = (answer.input_tokens or 0) * model.input_credits
        spent += (answer.output_tokens or 0) * model.output_credits
        if spent:
            ctx.add_credits(spent / 1000)

    async def _use(self, ctx: AgentContext, session: Session, name: str, arguments: str) -> str:
        """Call a tool and return what the model is told. What it did wrong, it is told, too."""
        tool = self._tools.get(name)
        if tool is None:
            return f"Error: there is no tool {name!r}."
        try:
            given = tool.read(arguments)
        except ArgumentsError as exc:
            return f"Error: {str(exc)[:_MOST_ERROR]}"
        # A resolution that a tool gives belongs to what is recorded of its call.
        seconds = self.model.tool_seconds
        recorded = await ctx.step(f"tool {name}", _call, tool, ctx, session, given, seconds)
        session.resolution = recorded["resolution"] or session.resolution
        content: str = recorded["content"]
        return content


async def _call(
    tool: Tool, ctx: AgentContext, session: Session, given: dict[str, Any], seconds: float
) -> dict[str, Any]:
    before, session.resolution = session.resolution, None
    try:
        session.tell("log", "info", f"The model uses {tool.name}.", {})
        content = await tool.call(ctx, given, seconds=seconds)
    except Exception as exc:  # noqa: BLE001 -- whatever a tool raises, the model may find another way
        words = f"{type(exc).__name__}: {exc}"[:_MOST_ERROR]
        session.tell("log", "warning", f"The tool {tool.name} failed: {words}", {})
        content = f"Error: {words}"
    recorded = {"content": content, "resolution": session.resolution}
    session.resolution = before
    return recorded


def preload() -> None:
    """Load the client ahead of need: it takes long, and others share the process by then. Without it, turns say so."""
    with suppress(ImportError):
        import hookline.model_agent.client  # noqa: F401


class _Asking:
    """One round: the same request until it is answered, or there is no sense in asking on."""

    def __init__(self, model: Model, endpoint: Endpoint, session: Session, number: int) -> None:
        self._model, self._endpoint, self._session, self._number = model, endpoint, session, number

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as it is recorded. Raises ModelFailedError."""
        try:
            from hookline.model_agent.client import AskError, ask
        except ImportError as exc:
            raise ModelFailedError(MISSING, code="RUNNER_UNAVAILABLE") from exc
        tries = 0
        while True:
            tries += 1
            live = Live(self._show, round=self._number, attempt=tries)
            try:
                with closing(live):
                    answer = await ask(
                        self._endpoint, request, seconds=self._model.answer_seconds, heard=live.add
                    )
            except AskError as exc:
                if exc.is_final or tries > self._model.max_retries:
                    raise ModelFailedError(_failed(self._endpoint, str(exc), tries)) from None
                wait = max(_wait(tries), min(exc.retry_after.total_seconds(), _MOST_ASKED_WAIT))
                self._session.tell(
                    "log", "warning", f"The model {exc}. Retry {tries} in {wait:.1f} seconds.", {}
                )
                await asyncio.sleep(wait)
            else:
                return self._told(answer)

    def _told(self, answer: Answer) -> dict[str, Any]:
        level = "info"
        fields = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
        words = f"The model {self._endpoint.model} answered."
        if answer.finish_reason == "length":
            level, words = "warning", f"The model {self._endpoint.model} answered up to its limit of tokens."
        self._session.tell("log", level, words, fields)
        recorded: dict[str, Any] = msgspec.to_builtins(answer)
        return recorded

    def _show(self, fields: dict[str, Any]) -> None:
        self._session.tell("progress", "info", "", fields)


def _wait(tries: int) -> float:
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (tries - 1))
    return longest * (0.5 + 0.5 * random.random())  # noqa: S311 -- to spread retries, not to keep a secret


def _failed(endpoint: Endpoint, words: str, tries: int) -> str:
    retried = {1: "it was not tried again", 2: "1 retry"}.get(tries, f"{tries - 1} retries")
    return f"The model {endpoint.model!r} at {endpoint.host} {words} ({retried})."


def resolve_conversation(
    ctx: Any,
    type: str = "solved",  # noqa: A002 -- the seed's word
    category: str | None = None,
    tags: list[str] = [],  # noqa: B006 -- read, never changed
    satisfaction_score: float | None = None,
) -> str:
    """Say that the user's matter is settled, which ends the conversation after this answer. type: solved or unsolved.
    satisfaction_score: how content the user seems, 1 to 5.
    """
    ctx.resolve(type=type, category=category, tags=tags, satisfaction_score=satisfaction_score)
    return "The conversation ends after your answer."
