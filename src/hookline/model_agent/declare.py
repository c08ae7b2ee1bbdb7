"""Make a model agent of what ``app.openai_agent`` is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from hookline.errors import SettingError
from hookline.model_agent.definition import read_model
from hookline.model_agent.tools import read_tools
from hookline.model_agent.turn import ModelAgent, resolve_conversation
from hookline.options import AgentOptions

if TYPE_CHECKING:
    from hookline.options import ModelOptions

_KNOWN = AgentOptions.__optional_keys__


def declare(id_: str, options: ModelOptions) -> tuple[ModelAgent, AgentOptions]:
    """Return the agent, and the options that every agent has. Raises SettingError."""
    where = f"agent {id_!r}"
    others: dict[str, Any] = {"shared": True, "resumable": True}
    others |= {option: value for option, value in options.items() if option in _KNOWN}
    given: dict[str, Any] = {option: value for option, value in options.items() if option not in _KNOWN}
    system, tools = given.pop("system", ""), given.pop("tools", ())
    if not isinstance(system, str) and not callable(system):
        raise SettingError(
            f"{where}: system must be a text or a function of ctx; got {type(system).__name__}"
        )
    model = read_model(where, given)
    others.setdefault("description", f"Answered by {model.model or 'a model'}.")
    functions = [*tools, resolve_conversation] if model.can_resolve else tools
    agent = ModelAgent(model, system=system, tools=read_tools(where, functions))
    return agent, cast("AgentOptions", others)
