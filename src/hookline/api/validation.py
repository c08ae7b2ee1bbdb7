"""Word the framework's validation errors as AF-5 does: one field, what was expected, what stood there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.api.errors import missing_field, unknown_field
from hookline.core.canonical import type_name
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi.exceptions import RequestValidationError
    from pydantic import BaseModel

_EXPECTED: Final = {
    "string_type": "string",
    "int_type": "whole number",
    "int_from_float": "whole number",
    "int_parsing": "whole number",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "dict_attributes_type": "object",
}
_JSON_WORDS: Final = {
    "string": "string",
    "integer": "whole number",
    "number": "number",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
}


def explain(error: RequestValidationError, route: Any = None) -> InputError:
    """Return the first thing that is wrong. Values are never repeated, only their types."""
    problem = _worst(error.errors(), getattr(error, "body", None))
    place, kind = problem["loc"], str(problem["type"])
    field = ".".join(_path(problem, getattr(error, "body", None))) or None
    if kind == "missing" and field is not None:
        return missing_field(field, _expected_of(route, place))
    if kind == "missing":
        return InputError("The request body is missing", expected="object", received="null")
    if kind == "extra_forbidden" and field is not None:
        return unknown_field(field, type_name(problem.get("input")))
    value = problem.get("input")
    received = type_name(value) if place[0] == "body" else "string"
    expected = _EXPECTED.get(kind) or _limits(kind, problem.get("ctx") or {}, problem["msg"])
    what = f"Field '{field}'" if field is not None else "The request body"
    return InputError(
        f"{what} must be {_with_article(expected)}", field=field, expected=expected, received=received
    )


def _worst(problems: Sequence[Any], body: Any) -> Any:
    """The first problem; of a value that may be of several types, what is wrong within the one that it is of."""
    first = problems[0]
    path = _path(first, body)
    if len(path) == len(first["loc"]) - 1:
        return first
    inner = [one for one in problems if (found := _path(one, body))[: len(path)] == path != found]
    return inner[0] if inner else first


def _path(problem: Any, body: Any) -> list[str]:
    """Keys into the caller's body, or the parameter's name. What is no place in a value names one of the types that
    it might have had.
    """
    place = problem["loc"]
    value = body if place[0] == "body" else None
    found: list[str] = []
    for part in place[1:]:
        if isinstance(value, list):
            is_place = isinstance(part, int)
        elif isinstance(value, dict):
            is_place = part in value or problem["type"] == "missing"
        else:
            is_place = not found
        if is_place:
            found.append(str(part))
            value = _member(value, part)
    return found


def _member(value: Any, part: str | int) -> Any:
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    return value.get(part) if isinstance(value, dict) else None


_LIMITS: Final = {
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "string_too_short": "at least {min_length} long",
    "too_short": "at least {min_length} long",
    "string_too_long": "at most {max_length} long",
    "too_long": "at most {max_length} long",
    "finite_number": "a finite number",
}
"""What a value must keep to, in few words, filled from the model's own limits."""


def _limits(kind: str, context: dict[str, Any], message: str) -> str:
    known = _LIMITS.get(kind)
    return known.format_map(context) if known is not None else message[:1].lower() + message[1:]


def _with_article(expected: str) -> str:
    if expected in _JSON_WORDS.values():
        return f"{'an' if expected[0] in 'ao' else 'a'} {expected}"
    return expected


def _expected_of(route: Any, place: tuple[Any, ...]) -> str:
    """Return the JSON word for the type of a missing field, read from the route's own model."""
    if place[0] != "body" or getattr(route, "body_field", None) is None:
        return "string"
    model: type[BaseModel] = route.body_field.field_info.annotation
    schema = model.model_json_schema()
    found: dict[str, Any] = schema
    for part in place[1:]:
        found = _resolved(found, schema)
        found = found.get("items", {}) if isinstance(part, int) else found.get("properties", {}).get(part, {})
    return _JSON_WORDS.get(str(_resolved(found, schema).get("type")), "any")


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if options:
        schema = options[0]
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    found: dict[str, Any] = root.get("$defs", {}).get(name, schema)
    return found
