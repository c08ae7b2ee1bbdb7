"""Fill the blanks of a movie template: ``{{name}}`` in any of its texts (PF-10). Pure.

A text that is one blank takes the value with its type, so ``"duration": "{{seconds}}"`` becomes a number; inside a
longer text stand texts, numbers and truth values. What is filled in is not looked at for blanks again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import decode, type_name
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BLANK: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}", re.ASCII)


def blanks_of(script: bytes) -> list[str]:
    """Return the names of a template's blanks, each once, in their order. Raises InputError for what is no object."""
    return list(dict.fromkeys(_blanks(_read(script))))


def fill(script: bytes, variables: Mapping[str, Any], more: Mapping[str, Any]) -> bytes:
    """Return the movie's JSON text. more: members of the movie that stand in place of the template's.

    Raises InputError (``VALIDATION_ERROR``) with the path of a variable that is missing, unknown or does not fit.
    """
    movie = _read(script)
    names = set(_blanks(movie))
    for name in sorted(names - variables.keys()):
        raise _invalid(name, f"The template needs the variable '{name}'.")
    for name in sorted(variables.keys() - names):
        raise _invalid(name, f"The template has no blank '{name}'.")
    return msgspec.json.encode({**_filled(movie, variables), **more})


def _read(script: bytes) -> dict[str, Any]:
    found = decode(script, field="script")
    if not isinstance(found, dict):
        raise InputError(
            "Field 'script' must be of type object",
            code="SCHEMA_VALIDATION_ERROR",
            field="script",
            expected="object",
            received=type_name(found),
        )
    return found


def _blanks(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _BLANK.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _blanks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _blanks(inner)


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _filled_text(value, variables)
    if isinstance(value, dict):
        return {name: _filled(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    return value


def _filled_text(text: str, variables: Mapping[str, Any]) -> Any:
    whole = _BLANK.fullmatch(text)
    if whole is not None:
        return variables[whole[1]]
    return _BLANK.sub(lambda match: _as_text(match[1], variables[match[1]]), text)


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        raise _invalid(
            name, f"The variable '{name}' stands inside a text: a text, a number, true or false fits there."
        )
    return msgspec.json.encode(value).decode()


def _invalid(name: str, message: str) -> InputError:
    return InputError(message, code="VALIDATION_ERROR", field=f"variables.{name}")
