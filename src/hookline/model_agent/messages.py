"""What a model is shown: its system prompt, what was said before, and the message to answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_BEFORE: Final = 100_000
"""Characters of earlier turns, the latest ones: a window that most models have, with room for the answer."""


def opening(
    system: str, history: Sequence[dict[str, Any]], message: str, *, turns: int
) -> list[dict[str, Any]]:
    """Return the messages of a turn's first request.

    history: ``{"message", "reply"}``, oldest first; the latest ``turns`` of them are shown. A message that was never
    answered stands before the next one, in one message with it: many models refuse two of one role in a row.
    """
    shown = _within(history[-turns:] if turns else [])
    said: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    unanswered: list[str] = []
    for one in shown:
        unanswered.append(_text(one["message"]))
        if one["reply"] is not None:
            said.append({"role": "user", "content": "\n\n".join(unanswered)})
            said.append({"role": "assistant", "content": _text(one["reply"])})
            unanswered = []
    said.append({"role": "user", "content": "\n\n".join([*unanswered, message])})
    return said


def with_calls(text: str, calls: Iterable[dict[str, str]]) -> dict[str, Any]:
    """The model's own message that asks for tools, as it is shown to it again."""
    asked = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in calls
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": asked}


def _within(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The latest turns that fit."""
    left = _MOST_BEFORE
    kept: list[dict[str, Any]] = []
    for one in reversed(history):
        left -= len(_text(one["message"])) + len(_text(one["reply"]))
        if left < 0:
            break
        kept.append(one)
    return kept[::-1]


def _text(said: Any) -> str:
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()
