"""What may be said of an automation where it is declared. Loaded into every child process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

_LONGEST_IDLE: Final = 31_536_000
"""Seconds: a year, as in the server's own setting."""


class Options(TypedDict, total=False):
    """How an automation runs.

    timeout_seconds: longest run of one process, above 0; 900.
    concurrency: most runs at once on one node, 1 or more; None for the node's own limit.
    shared: let async code share a child process with others: much cheaper to start, but they die together.
    resumable: start again when the process dies, skipping finished steps, instead of ending as lost.
    max_attempts: processes for one execution before it ends as lost, 1 or more; 10.
    description: one line for people; the first line of the function's docstring.
    """

    timeout_seconds: float
    concurrency: int | None
    shared: bool
    resumable: bool
    max_attempts: int
    description: str


class AgentOptions(Options, total=False):
    """idle_seconds: silence that completes a conversation with this agent, above 0 to a year; the server's
    ``conversation_idle_seconds`` when left out.
    """

    idle_seconds: float


class ModelOptions(AgentOptions, total=False):
    """An agent whose turns a model answers. It is ``shared`` and ``resumable`` unless you say otherwise.

    model, base_url, api_key: the endpoint, any that speaks OpenAI's chat completions; those left out are the server's
    ``openai_model``, ``openai_base_url`` and ``openai_api_key``, but that key goes to no other URL.
    system: what the model is told first, or a function of ``ctx``, plain or async, that returns it.
    tools: functions that the model may call, described by their names, docstrings and type hints; a first parameter
    ``ctx`` gets the turn's. One call is one step.
    temperature: 0 to 2.  max_tokens: of one answer, 1 or more.  parameters: more fields of the request, as they are.
    can_resolve: the model may say that the matter is settled, which ends the conversation.
    history_turns: earlier turns that it is shown, 0 to 100; 20.
    max_rounds: answers with tool calls in one turn, 1 to 100; 8.
    max_retries: of one request that failed in a way that may pass, 0 to 10; 3.
    answer_seconds: for one whole answer, up to a day; 120.
    tool_seconds: for one call of a tool, up to a day; 60. Then the model is told that it took too long.
    input_credits, output_credits: what 1,000 tokens of each sort add to the turn's credits; 0.
    """

    model: str | None
    base_url: str | None
    api_key: str | None
    system: str | Callable[[Any], str | Awaitable[str]]
    tools: Sequence[Callable[..., Any]]
    temperature: float | None
    max_tokens: int | None
    parameters: Mapping[str, Any]
    can_resolve: bool
    history_turns: int
    max_rounds: int
    max_retries: int
    answer_seconds: float
    tool_seconds: float
    input_credits: float
    output_credits: float


def check_options(
    where: str, automation_id: object, options: Options | AgentOptions, known: frozenset[str]
) -> None:
    """Raise SettingError for an id or an option that cannot be used. where: names the automation in the error."""
    if not isinstance(automation_id, str) or not 1 <= len(automation_id) <= 128:
        raise SettingError(f"an automation's id must be a text of 1 to 128 characters; got {automation_id!r}")
    unknown = options.keys() - known
    if unknown:
        raise SettingError(f"{where} has no option {', '.join(sorted(unknown))}")
    timeout: object = options.get("timeout_seconds", 900)
    if not isinstance(timeout, int | float) or not 0 < timeout < 10**9:
        raise SettingError(f"{where}: timeout_seconds must be a number above 0; got {timeout!r}")
    idle: object = options.get("idle_seconds", 1)
    if isinstance(idle, bool) or not isinstance(idle, int | float) or not 0 < idle <= _LONGEST_IDLE:
        raise SettingError(
            f"{where}: idle_seconds must be a number above 0, at most {_LONGEST_IDLE}; got {idle!r}"
        )
    for option in ("concurrency", "max_attempts"):
        value = options.get(option)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise SettingError(f"{where}: {option} must be a whole number, 1 or more; got {value!r}")
