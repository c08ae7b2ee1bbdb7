"""What a model said, put together from the pieces of its stream. Pure, strict and bounded."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

_MOST_TEXT: Final = 256 * 1024
"""Characters of one answer: a book's chapter."""

_MOST_ARGUMENTS: Final = 128 * 1024
"""Characters of the arguments of all calls of one answer."""

_MOST_CALLS: Final = 16

_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
"""Of tokens: credits are reckoned from what an endpoint says."""


class BadAnswerError(Exception):
    """The words complete "the model …". is_final: asking again would bring the same."""

    def __init__(self, words: str, *, is_final: bool = False) -> None:
        super().__init__(words)
        self.is_final = is_final


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None


class Chunk(msgspec.Struct):
    """The fields of OpenAI's ``chat.completion.chunk`` that count here; others are not looked at."""

    choices: list[_Choice]
    usage: _Usage | None = None


class ToolCall(msgspec.Struct):
    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, kw_only=True):
    """text: may be empty where tools are called.  input_tokens, output_tokens: None where the endpoint told none."""

    text: str
    calls: list[ToolCall] = []
    finish_reason: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class Collecting:
    """One answer as it comes."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[tuple[int | None, ToolCall]] = []
        self._letters = self._argument_letters = 0
        self._finish_reason: str | None = None
        self._usage = _Usage()

    def __repr__(self) -> str:
        return f"Collecting({self._letters} letters, {len(self._calls)} calls)"

    def add(self, given: Any) -> str:
        """Take one chunk, as plain data; return the text that it brings, for people. Raises BadAnswerError."""
        try:
            chunk = msgspec.convert(given, Chunk)
        except msgspec.ValidationError as exc:
            raise BadAnswerError(f"sent what is no part of an answer ({exc})") from None
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta or _Delta()
        for call in delta.tool_calls or ():
            self._add_call(call)
        text = (delta.content or "") + (delta.refusal or "")
        self._letters += len(text)
        if self._letters > _MOST_TEXT:
            raise BadAnswerError(f"sent more than {_MOST_TEXT} characters", is_final=True)
        self._texts.append(text)
        return text.encode("utf-8", "replace").decode()

    def add_whole(self, given: Any) -> str:
        """Take an answer that came in one piece. Raises BadAnswerError."""
        choices = given.get("choices") if isinstance(given, dict) else None
        if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
            raise BadAnswerError("sent what is no answer")
        return self.add({**given, "choices": [{**one, "delta": one.get("message")} for one in choices]})

    def _add_call(self, piece: _Call) -> None:
        function = piece.function or _Function()
        places = range(len(self._calls))
        at = next((place for place in reversed(places) if self._calls[place][0] == piece.index), None)
        # Some endpoints give every call the same index: another id is another call.
        if at is None or (piece.id and self._calls[at][1].id and piece.id != self._calls[at][1].id):
            if len(self._calls) == _MOST_CALLS:
                raise BadAnswerError(f"asked for more than {_MOST_CALLS} tools at once", is_final=True)
            self._calls.append((piece.index, ToolCall(id="", name="", arguments="")))
            at = len(self._calls) - 1
        call = self._calls[at][1]
        call.id = call.id or piece.id or ""
        call.name = (call.name + (function.name or ""))[:200]
        call.arguments += function.arguments or ""
        self._argument_letters += len(function.arguments or "")
        if self._argument_letters > _MOST_ARGUMENTS:
            raise BadAnswerError(f"sent more than {_MOST_ARGUMENTS} characters of arguments", is_final=True)

    def done(self) -> Answer:
        """Return the whole answer. Raises BadAnswerError when it is not whole."""
        if self._finish_reason is None:
            raise BadAnswerError("ended its answer before it was complete")
        text = _whole("".join(self._texts))
        if self._finish_reason == "content_filter":
            raise BadAnswerError("withheld its answer (content_filter)", is_final=True)
        if not text and not self._calls:
            raise BadAnswerError("gave an empty answer")
        for number, (_, call) in enumerate(self._calls):
            call.id = _whole(call.id) or f"call_{number}"
            call.name, call.arguments = _whole(call.name), _whole(call.arguments)
        return Answer(
            text=text,
            calls=[call for _, call in self._calls],
            finish_reason=self._finish_reason,
            input_tokens=self._usage.prompt_tokens,
            output_tokens=self._usage.completion_tokens,
        )


def _whole(text: str) -> str:
    """Text that can be kept: a character whose halves came in two pieces is put together, half of one is replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
