"""Say what is wrong with a JSON object in AF-5's words: which field, what was expected, what stood there.

The hot routes decode straight into structs; only what those refuse is looked at here, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hookline.api.errors import missing_field, unknown_field, wrong_type
from hookline.core.canonical import type_name
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Field(msgspec.Struct, frozen=True):
    """What a field may hold. expected: JSON word of its type, ``any`` for every type but absence."""

    expected: str
    is_required: bool = False
    is_nullable: bool = False


def check_object(value: Any, fields: Mapping[str, Field], *, at: str = "", is_closed: bool = True) -> None:
    """Raise InputError for the first thing that does not fit.

    at: path of the object in the caller's input, empty for the whole body.  is_closed: no other fields are allowed.
    """
    if not isinstance(value, dict):
        raise not_an_object(value, at)
    for name, field in fields.items():
        check_field(value, name, field, at=at)
    if is_closed:
        for name in value:
            if name not in fields:
                raise unknown_field(path(at, name[:100]))


def check_field(value: dict[str, Any], name: str, field: Field, *, at: str = "") -> None:
    """Raise InputError when a field is missing where it is required, or of another type."""
    found = value.get(name)
    where = path(at, name)
    if found is None:
        is_there = name in value
        if field.is_required and not (is_there and (field.is_nullable or field.expected == "any")):
            raise missing_field(where, field.expected)
        if is_there and not field.is_required and not field.is_nullable:
            raise wrong_type(where, field.expected, "null")
    elif field.expected not in ("any", type_name(found)):
        raise wrong_type(where, field.expected, type_name(found))


def check_no_nul(text: str | None, field: str) -> None:
    """Raise InputError for an id with a NUL (CONTRACT section 2): not every store's text can hold one."""
    if "\0" in (text or ""):
        raise InputError(
            f"Field '{field}' cannot hold a NUL character",
            field=field,
            expected="string without NUL",
            received="string",
        )


def path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def not_an_object(value: Any, at: str = "") -> InputError:
    what = f"Field '{at}'" if at else "The request body"
    return InputError(
        f"{what} must be a JSON object", field=at or None, expected="object", received=type_name(value)
    )
