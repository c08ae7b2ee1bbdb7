"""Compile a webhook's conditions (SEEDS AF-17, CONTRACT section 5) into one function of an event's data.

``{"satisfaction_score": {"lt": 3}, "message_count": {"gt": 10}}``: for each dotted path of the data one or more
operators, and all must hold. A value that is missing, null or of the wrong type makes its operator false, except
``exists: false``, ``ne`` and ``nin``, which it makes true. Numbers compare as numbers (``1`` equals ``1.0``), text as
text, in the order of code points; a boolean is never a number. Paths lead through objects, not into arrays.
Nothing of a user's text is ever evaluated.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    _Test = Callable[[Any], bool]

# Every event pays for them, so they stay few; nobody has shown a rule that needs more.
MOST_PATHS: Final = 64
MOST_CHOICES: Final = 1000
_LONGEST_PATH: Final = 512

_ORDER: Final = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
OPERATORS: Final = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "nin", "contains", "exists")


def compile_conditions(spec: Any, field: str = "conditions") -> Callable[[dict[str, Any]], bool]:
    """Return a function that says whether an event's data satisfies all conditions.

    spec: path to operators, as the caller sent it.  Raises InputError pointing below ``field``. No conditions at
    all always hold.
    """
    if not isinstance(spec, dict):
        raise _bad("Conditions must be an object.", field, "object", type_name(spec))
    if len(spec) > MOST_PATHS:
        raise _bad("There are too many conditions.", field, f"at most {MOST_PATHS} paths", str(len(spec)))
    checks = []
    for path, operators in spec.items():
        where = f"{field}.{path}"
        keys = split_path(path, where)
        if not isinstance(operators, dict) or not operators:
            received = "an empty object" if operators == {} else type_name(operators)
            raise _bad("A condition must name operators.", where, 'object such as {"lt": 3}', received)
        tests = tuple(_compile(name, operand, f"{where}.{name}") for name, operand in operators.items())
        checks.append(_check(keys, tests))
    return _all(tuple(checks))


def split_path(path: Any, field: str) -> tuple[str, ...]:
    """Return the keys of a dotted path; InputError for anything else."""
    if not isinstance(path, str):
        raise _bad("A path must be a string.", field, "dotted path", type_name(path))
    keys = tuple(path.split("."))
    if not all(keys) or len(path) > _LONGEST_PATH:
        raise _bad("A path is keys with dots between them.", field, "dotted path", "string")
    return keys


def _all(checks: tuple[Callable[[dict[str, Any]], bool], ...]) -> Callable[[dict[str, Any]], bool]:
    if len(checks) == 1:
        return checks[0]

    def holds(data: dict[str, Any]) -> bool:
        for check in checks:  # noqa: SIM110 -- a loop takes half the time of all() over a generator
            if not check(data):
                return False
        return True

    return holds


def _check(keys: tuple[str, ...], tests: tuple[_Test, ...]) -> Callable[[dict[str, Any]], bool]:
    last = keys[-1]
    parents = keys[:-1]
    only = tests[0] if len(tests) == 1 else None

    def check(data: dict[str, Any]) -> bool:
        value: Any = data
        for key in parents:
            value = value.get(key)
            if type(value) is not dict:
                value = _NOWHERE
                break
        value = value.get(last)
        if only is not None:
            return only(value)
        for test in tests:  # noqa: SIM110 -- as above
            if not test(value):
                return False
        return True

    return check


_NOWHERE: Final[dict[str, Any]] = {}


def _compile(name: str, operand: Any, field: str) -> _Test:
    """Return the test of one operator on a value; None stands for missing and null alike."""
    if name in _ORDER:
        return _ordered(name, operand, field)
    match name:
        case "eq" | "ne":
            equals = _equals(_scalar(operand, field))
            return equals if name == "eq" else lambda value: not equals(value)
        case "in" | "nin":
            is_one_of = _one_of(operand, field)
            return is_one_of if name == "in" else lambda value: not is_one_of(value)
        case "contains":
            return _contains(_scalar(operand, field))
        case "exists":
            if not isinstance(operand, bool):
                raise _bad("exists takes true or false.", field, "boolean", type_name(operand))
            return (lambda value: value is not None) if operand else (lambda value: value is None)
        case _:
            raise _bad(
                f"There is no operator {name[:40]!r}.", field, "one of " + " ".join(OPERATORS), name[:40]
            )


def _scalar(operand: Any, field: str) -> str | float | bool:
    if operand is None:
        raise _bad(
            "A condition cannot compare with null; use exists.", field, "string, number or boolean", "null"
        )
    if not isinstance(operand, str | int | float):
        raise _bad(
            "A condition compares single values.", field, "string, number or boolean", type_name(operand)
        )
    return operand


def _equals(operand: str | float | bool) -> _Test:  # noqa: FBT001 -- a JSON value, not a flag
    if isinstance(operand, bool):
        return lambda value: value is operand
    if isinstance(operand, str):
        return lambda value: value == operand
    return lambda value: value == operand and type(value) is not bool


def _ordered(name: str, operand: Any, field: str) -> _Test:
    compare = _ORDER[name]
    if isinstance(operand, str):
        return lambda value: type(value) is str and compare(value, operand)
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise _bad(f"{name} takes a number or a string.", field, "number or string", type_name(operand))
    return lambda value: (type(value) is int or type(value) is float) and compare(value, operand)


def _one_of(operand: Any, field: str) -> _Test:
    if not isinstance(operand, list):
        raise _bad("in and nin take a list of values.", field, "array", type_name(operand))
    if len(operand) > MOST_CHOICES:
        raise _bad("The list is too long.", field, f"at most {MOST_CHOICES} values", str(len(operand)))
    choices = [_scalar(item, f"{field}.{index}") for index, item in enumerate(operand)]
    # Python takes True for 1; JSON does not. The tag keeps them apart in one hash lookup.
    known = frozenset((isinstance(choice, bool), choice) for choice in choices)

    def is_one_of(value: Any) -> bool:
        kind = type(value)
        return (kind is str or kind is int or kind is float or kind is bool) and (
            kind is bool,
            value,
        ) in known

    return is_one_of


def _contains(operand: str | float | bool) -> _Test:  # noqa: FBT001 -- a JSON value, not a flag
    equals = _equals(operand)
    text = operand if isinstance(operand, str) else None

    def contains(value: Any) -> bool:
        if type(value) is list:
            return any(equals(item) for item in value)
        return text is not None and type(value) is str and text in value

    return contains


def _bad(message: str, field: str, expected: str, received: str) -> InputError:
    return InputError(message, field=field, expected=expected, received=received)
