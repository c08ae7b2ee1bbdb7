"""Templates of bodies: a small part of Jinja's language that no template can misuse (issue of the outgoing webhooks).

Jinja parses and renders. What a template may say is a list, and everything else is refused when it is saved: values by
name and dot, ``if``, ``for`` over arrays, comparisons of texts and numbers, and the filters below. No calls, no
assignments, no arithmetic, no macros, includes or attributes of Python objects, so what a template can cost is bounded
by what it reads: every turn of a loop is charged with the size of its body and every text with its length, and a
rendering that would exceed its budget fails.

Pure: no clock, no I/O. Names: ``event``, ``data``, ``webhook``, and in loops ``loop``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2 import nodes, pass_context
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hookline.core import canonical
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2.runtime import Context

MOST_CHARACTERS: Final = 16_384
_MOST_NODES: Final = 2_000
_MOST_LOOPS: Final = 3
"""Loops within each other."""
_MOST_STEPS: Final = 20_000
"""Turns of loops times the size of their bodies, and texts by 16 characters: some 5 ms of a common machine at most,
which is what all other deliveries may wait for one."""
MOST_OUTPUT: Final = 262_144
"""Characters of a body: what an event may hold, and more than any chat takes."""
_CHARACTERS_OF_A_STEP: Final = 16
_SHORT_INTEGER: Final = 1 << 53
"""Below this an integer has the same digits in every language."""

_BUDGET: Final = " budget"
"""Where a rendering keeps its budget: no name of the language holds a blank."""
_NAMES: Final = frozenset({"event", "data", "webhook"})
_LOOP_ATTRIBUTES: Final = frozenset({"index", "index0", "first", "last", "length"})

_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.Tuple,
)  # fmt: skip
_COMPARISONS: Final = frozenset({"eq", "ne", "lt", "lteq", "gt", "gteq"})
_TESTS: Final = frozenset({"defined", "undefined", "none", "string", "number", "mapping", "boolean"})
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")


class TemplateFailedError(Exception):
    """A template could not be rendered with this event. The message is for people; it holds no value of the event."""


class _Budget:
    """What a rendering may still do."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST_STEPS

    def take(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TemplateFailedError("The template does too much with this event: its loops turn too often.")


def _charge(context: Context, text: str) -> str:
    context[_BUDGET].take(1 + len(text) // _CHARACTERS_OF_A_STEP)
    return text


# --- values as text -----------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """What ``{{ value }}`` prints: nothing for what is missing or null, JSON for objects, arrays and numbers."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is int and -_SHORT_INTEGER < value < _SHORT_INTEGER:
        return str(value)
    if value is None or isinstance(value, jinja2.Undefined):
        return ""
    return _json(value)


def _json(value: Any) -> str:
    if isinstance(value, jinja2.Undefined):
        return "null"
    if isinstance(value, LoopContext):
        raise TemplateFailedError("'loop' itself has no text.")
    return canonical.write(list(value) if isinstance(value, tuple) else value).decode()


@pass_context
def _finalized(context: Context, value: Any) -> str:
    return _charge(context, _text(value))


# --- filters ------------------------------------------------------------------------------------------------


def _filter(make: Callable[[str], str]) -> Callable[[Context, Any], str]:
    """A filter from text to text."""

    @pass_context
    def run(context: Context, value: Any) -> str:
        return _charge(context, make(_charge(context, _text(value))))

    return run


@pass_context
def _to_json(context: Context, value: Any) -> str:
    """JSON text: what a value needs inside a JSON body, a text with its quotes."""
    return _charge(context, _json(value))


@pass_context
def _truncate(context: Context, value: Any, length: Any = 200) -> str:
    """At most so many characters, the last an ellipsis when something was left out."""
    most = _number(length, "truncate")
    text = _charge(context, _text(value))
    return text if len(text) <= most else text[: max(0, most - 1)] + "\N{HORIZONTAL ELLIPSIS}"


@pass_context
def _join(context: Context, value: Any, between: Any = "") -> str:
    if not isinstance(value, list):
        return _charge(context, _text(value))
    joint = _text(between)
    # Paid for before it is made: a long text between many items would fill the memory.
    budget = context[_BUDGET]
    budget.take(len(value) * (2 + len(joint) // _CHARACTERS_OF_A_STEP))
    texts = [_text(item) for item in value]
    budget.take(sum(map(len, texts)) // _CHARACTERS_OF_A_STEP)
    return joint.join(texts)


@pass_context
def _items(context: Context, value: Any) -> list[list[Any]]:
    """The members of an object as pairs of name and value; none of anything else."""
    if not isinstance(value, dict):
        return []
    context[_BUDGET].take(len(value))
    return [[name, item] for name, item in value.items()]


def _take(value: Any, count: Any = 10) -> Any:
    """The first so many of an array."""
    return value[: _number(count, "take")] if isinstance(value, list) else value


def _default(value: Any, other: Any = "") -> Any:
    """The other value for what is missing, null or an empty text."""
    return other if value is None or value == "" or isinstance(value, jinja2.Undefined) else value


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | dict) else 0


def _escape_slack(text: str) -> str:
    """Slack's three control characters, so that no text becomes a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _number(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise TemplateFailedError(f"The filter '{name}' needs a whole number.")
    return value


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "default": _default,
    "escaped": _filter(lambda text: _json(text)[1:-1]),
    "items": _items,
    "join": _join,
    "json": _to_json,
    "length": _length,
    "lower": _filter(str.lower),
    "slack": _filter(_escape_slack),
    "take": _take,
    "tojson": _to_json,
    "trim": _filter(str.strip),
    "truncate": _truncate,
    "upper": _filter(str.upper),
}


@pass_context
def _each(context: Context, value: Any, weight: int) -> list[Any]:
    """What a loop goes through, paid for in advance. weight: nodes of the loop's body."""
    if value is None or isinstance(value, jinja2.Undefined):
        return []
    found = list(value) if isinstance(value, dict) else value
    if not isinstance(found, list):
        raise TemplateFailedError("A loop goes through an array or an object.")
    context[_BUDGET].take(len(found) * weight)
    return found


def _plain(value: Any) -> Any:
    """What may be compared: two large objects would take long, and nobody means it."""
    if isinstance(value, list | dict | tuple | LoopContext):
        raise TemplateFailedError("Only texts, numbers, true, false and null can be compared.")
    return None if isinstance(value, jinja2.Undefined) else value


# --- the language -------------------------------------------------------------------------------------------


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without anything of Python's: names and dots lead through the event's data alone."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, list) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=str(argument))


def _environment() -> _Environment:
    # Bodies are JSON or plain text, never HTML; what a text needs to stand in one is the filter json's work.
    environment = _Environment(
        autoescape=False,
        undefined=jinja2.ChainableUndefined,
        finalize=_finalized,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters = {**FILTERS, " each": _each, " plain": _plain}
    environment.globals = {}
    return environment


_ENVIRONMENT: Final = _environment()


class Template:
    """A template that was found to be one. text: as it was saved. Raises InputError."""

    __slots__ = ("_compiled",)

    def __init__(self, text: str, *, field: str = "template") -> None:
        if len(text) > MOST_CHARACTERS:
            raise _refused(f"A template has at most {MOST_CHARACTERS} characters.", field)
        try:
            tree = _ENVIRONMENT.parse(text)
            _check(tree, field)
            _guard(tree)
            code = _ENVIRONMENT.compile(tree)
            self._compiled = jinja2.Template.from_code(_ENVIRONMENT, code, {})
        except jinja2.TemplateSyntaxError as exc:
            raise _refused(f"Line {exc.lineno}: {exc.message}", field) from exc
        except (RecursionError, SyntaxError, MemoryError, ValueError) as exc:
            raise _refused("The template nests too deep, or holds a number that is too long.", field) from exc

    def __repr__(self) -> str:
        return "Template(…)"

    def render(self, *, event: Mapping[str, Any], data: Any, webhook: Mapping[str, Any]) -> str:
        """Return the text for an event. data: what ``canonical.parse_numbers`` returns. Raises TemplateFailedError."""
        values = {"event": event, "data": data, "webhook": webhook, _BUDGET: _Budget()}
        try:
            return _gathered(self._compiled.generate(values))
        except TemplateFailedError:
            raise
        except Exception as exc:
            # The library's own words may hold values of the event.
            raise TemplateFailedError(f"The template cannot word this event ({type(exc).__name__}).") from exc


def _gathered(parts: Iterator[str]) -> str:
    found, size = [], 0
    for part in parts:
        found.append(part)
        size += len(part)
        if size > MOST_OUTPUT:
            raise TemplateFailedError(f"The body has more than {MOST_OUTPUT} characters.")
    return "".join(found)


def _check(tree: nodes.Template, field: str) -> None:
    """Raise InputError for what is not of the language."""
    for count, node in enumerate(_all(tree)):
        if count >= _MOST_NODES:
            raise _refused("The template is too large.", field)
        problem = _problem(node)
        if problem is not None:
            raise _refused(f"Line {node.lineno or 1}: {problem}", field)
    if _depth(tree) > _MOST_LOOPS:
        raise _refused(f"More than {_MOST_LOOPS} loops stand within each other.", field)
    _check_names(tree, _NAMES, field)


def _problem(node: nodes.Node) -> str | None:
    """What is wrong with a part of a template by itself, None when it is of the language."""
    problem = None
    match node:
        case nodes.Filter(name=str(name)) if name not in FILTERS:
            problem = f"there is no filter '{name[:40]}'; there are {' '.join(FILTERS)}."
        case nodes.Test(name=str(name)) if name not in _TESTS:
            problem = f"there is no test '{name[:40]}'; there are {' '.join(sorted(_TESTS))}."
        case nodes.Operand(op=str(op)) if op not in _COMPARISONS:
            problem = "'in' is not part of these templates."
        case nodes.For(recursive=True):
            problem = "a loop cannot be recursive."
        case _ if not isinstance(node, _ALLOWED):
            word = _WORD.sub(" ", type(node).__name__).lower()
            problem = f"'{word}' is not part of these templates."
    return problem


def _check_names(node: nodes.Node, known: frozenset[str], field: str) -> None:
    """Names are those of the event and of loops around them."""
    if isinstance(node, nodes.For):
        _check_names(node.iter, known, field)
        targets = {name.name for name in _all(node.target) if isinstance(name, nodes.Name)}
        inner = known | targets | {"loop"}
        for part in (*node.body, *node.else_, *([node.test] if node.test is not None else [])):
            _check_names(part, inner, field)
        return
    if isinstance(node, nodes.Name) and node.name not in known:
        names = " ".join(sorted(known))
        raise _refused(f"Line {node.lineno}: there is no '{node.name[:40]}' here; there are {names}.", field)
    for child in node.iter_child_nodes():
        _check_names(child, known, field)


def _guard(tree: nodes.Template) -> None:
    """Let every loop pay for its turns, and every comparison look at what it compares."""
    for loop in tree.find_all(nodes.For):
        parts = loop.body if loop.test is None else [loop.test, *loop.body]
        weight = 1 + sum(1 for part in parts for _ in _all(part))
        loop.iter = _filtered(loop.iter, " each", nodes.Const(weight))
    for compared in list(tree.find_all(nodes.Compare)):
        compared.expr = _filtered(compared.expr, " plain")
        for operand in compared.ops:
            operand.expr = _filtered(operand.expr, " plain")


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    assert isinstance(node, nodes.Expr)
    found = nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
    return found.set_environment(_ENVIRONMENT)  # type: ignore[return-value]  # it returns itself


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _all(child)


def _depth(node: nodes.Node) -> int:
    inner = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return inner + isinstance(node, nodes.For)


def _refused(message: str, field: str) -> InputError:
    return InputError(message, code="TEMPLATE_INVALID", field=field, expected="template", received="string")
