"""Functions that a model may call: their JSON schema from their type hints, and the call itself."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import threading
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec

from hookline.context import is_async
from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_CONTEXT: Final = "ctx"
"""A first parameter of this name gets the turn's ``ctx``; the model is not told of it."""

_MOST_RESULT: Final = 64 * 1024
"""Characters of a result that the model gets."""

_MOST_TOOLS: Final = 64


class ArgumentsError(Exception):
    """What the model gave is not what the function takes; the words are for the model."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One function. schema: JSON schema of the object that it is called with."""

    name: str
    description: str
    schema: dict[str, Any]
    function: Any
    arguments: Any
    takes_context: bool

    @property
    def described(self) -> dict[str, Any]:
        """What the model is told."""
        told = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {"type": "function", "function": told}

    def read(self, text: str) -> dict[str, Any]:
        """Return the arguments in a model's JSON text, by name. Raises ArgumentsError."""
        try:
            given = msgspec.json.decode(text.strip() or "{}", type=self.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise ArgumentsError(f"The arguments do not fit: {exc}") from exc
        return {name: getattr(given, name) for name in self.arguments.__struct_fields__}

    async def call(self, ctx: Any, arguments: dict[str, Any], *, seconds: float) -> str:
        """Call it and return what the model is told of the result; whatever it raises is passed on.

        seconds: the longest that is waited, then TimeoutError. Async code is cancelled. A plain function runs in a
        thread, since other turns may share the process; a thread cannot be cut short, so it goes on unheard.
        """
        first = (ctx,) if self.takes_context else ()
        called = partial(self.function, *first, **arguments)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                result = await (called() if is_async(self.function) else _in_own_thread(called))
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(f"it took longer than {seconds:g} s") from None
            raise
        return _as_text(result)


def read_tools(where: str, functions: Iterable[Callable[..., Any]]) -> tuple[Tool, ...]:
    """Return the functions as tools. where: names their agent in errors.  Raises SettingError."""
    tools = tuple(tool_of(where, function) for function in functions)
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise SettingError(f"{where}: two tools have one name: {', '.join(sorted(names))}")
    if len(tools) > _MOST_TOOLS:
        raise SettingError(f"{where}: at most {_MOST_TOOLS} tools; got {len(tools)}")
    return tools


def tool_of(where: str, function: Callable[..., Any]) -> Tool:
    """Return one function as a tool. Raises SettingError when its signature says too little."""
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"{where}: a tool is a function with a name of letters and digits; got {function!r}"
        )
    what = f"{where}: tool {name!r}"
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise SettingError(f"{what}: a type hint cannot be read: {exc}") from exc
    parameters = list(inspect.signature(function).parameters.values())
    takes_context = bool(parameters) and parameters[0].name == _CONTEXT
    fields = [_field(what, one, hints) for one in parameters[takes_context:]]
    try:
        arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        (_,), parts = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except (TypeError, ValueError) as exc:
        raise SettingError(f"{what}: a parameter is not of a type that JSON has: {exc}") from exc
    schema = parts.pop(name)
    schema.pop("title", None)
    if parts:
        schema["$defs"] = parts
    return Tool(
        name=name,
        description=inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0],
        schema=schema,
        function=function,
        arguments=arguments,
        takes_context=takes_context,
    )


def _field(what: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    if parameter.kind not in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
        raise SettingError(f"{what}: parameter {parameter.name!r} must be one that can be given by name")
    if parameter.name not in hints:
        raise SettingError(
            f"{what}: parameter {parameter.name!r} needs a type hint, for the model to know it"
        )
    hint, default = hints[parameter.name], parameter.default
    if default is inspect.Parameter.empty:
        return parameter.name, hint
    if isinstance(default, list | dict | set):
        return parameter.name, hint, msgspec.field(default_factory=default.copy)
    return parameter.name, hint, default


async def _in_own_thread(called: Callable[[], Any]) -> Any:
    """Return what a plain function returns. No thread of a pool: one that hangs would keep a place that others need."""
    loop, context = asyncio.get_running_loop(), copy_context()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if not ended.done():  # nobody may wait any more
            ended.set_result((result, error))

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(called)
        except BaseException as exc:  # noqa: BLE001 -- it is raised where the result is awaited
            error = exc
        with suppress(RuntimeError):  # the process ends, and its loop has
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=work, name="hookline-tool", daemon=True).start()
    result, error = await ended
    if error is not None:
        raise error
    return result


def _as_text(result: Any) -> str:
    """A text as it is, all else as JSON; what JSON has no word for as Python shows it."""
    if isinstance(result, str):
        text = result
    else:
        try:
            text = msgspec.json.encode(result, enc_hook=str).decode()
        except (TypeError, ValueError, RecursionError):
            text = json.dumps(str(result))
    text = text.encode("utf-8", "replace").decode()
    if len(text) > _MOST_RESULT:
        return f"{text[:_MOST_RESULT]}\n(cut: {len(text)} characters)"
    return text
