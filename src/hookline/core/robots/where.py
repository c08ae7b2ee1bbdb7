"""Say whether a pair of a recording is for the page as it is now (MX-14).

Maxun records ``where`` and does not look at it: pairs run from the last to the first (MX-15). A robot may ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.robots.actions import bad, is_parameter, selector, text
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_DEEP: Final = 8
_LONGEST_PATTERN: Final = 1000
_LISTS: Final = ("$and", "$or")
_KEYS: Final = ("url", "selectors", "cookies", "$before", "$after", *_LISTS, "$not")


class PageState(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition can ask. selectors: those that are on the page.  done: ids of the pairs that have run."""

    url: str
    selectors: frozenset[str] = frozenset()
    cookies: Mapping[str, str] = {}
    done: frozenset[str] = frozenset()


def check_where(value: Any, field: str, *, depth: int = 0) -> None:
    """Raise InputError with the path of what a condition cannot say."""
    if not isinstance(value, dict):
        raise bad("A condition is an object.", field, "object", value)
    if depth > _MOST_DEEP:
        raise InputError(
            "Conditions are nested too deep.", field=field, expected=f"at most {_MOST_DEEP} levels"
        )
    for key, part in value.items():
        place = f"{field}.{key}"
        if key not in _KEYS:
            raise InputError(
                f"There is no condition {key!r}.", field=place, expected=", ".join(_KEYS), received=key
            )
        _check_part(key, part, place, depth)


def _check_part(key: str, part: Any, place: str, depth: int) -> None:
    if key == "url":
        _check_pattern(part, place)
    elif key == "selectors":
        for number, each in enumerate(_list(part, place)):
            selector(each, f"{place}.{number}")
    elif key == "cookies":
        if not isinstance(part, dict):
            raise bad("Cookies are an object of names and values.", place, "object", part)
        for name, each in part.items():
            _check_pattern(each, f"{place}.{name}")
    elif key == "$not":
        check_where(part, place, depth=depth + 1)
    elif key in _LISTS:
        for number, each in enumerate(_list(part, place)):
            check_where(each, f"{place}.{number}", depth=depth + 1)
    else:
        text(part, place)


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad("A list is needed.", field, "array", value)
    return value


def _check_pattern(value: Any, field: str) -> None:
    if isinstance(value, dict) and set(value) == {"$regex"}:
        pattern = value["$regex"]
        if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
            raise bad(
                f"A pattern has at most {_LONGEST_PATTERN} characters.", f"{field}.$regex", "string", pattern
            )
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as exc:
            raise InputError(
                f"The pattern cannot be read: {exc}", field=f"{field}.$regex", expected="regular expression"
            ) from exc
    elif not is_parameter(value):
        text(value, field)


def selectors_of(where: Mapping[str, Any]) -> Iterator[str]:
    """Yield every selector that a condition asks for."""
    yield from where.get("selectors", ())
    for key in _LISTS:
        for part in where.get(key, ()):
            yield from selectors_of(part)
    if "$not" in where:
        yield from selectors_of(where["$not"])


def matches(where: Mapping[str, Any], state: PageState) -> bool:
    """Say whether all of a checked condition holds; an empty one always does.

    ``$before`` holds until the pair of that id has run, ``$after`` once it has.
    """
    return all(_holds(key, part, state) for key, part in where.items())


def _holds(key: str, part: Any, state: PageState) -> bool:
    match key:
        case "url":
            return _is_like(part, state.url, is_url=True)
        case "selectors":
            return state.selectors.issuperset(part)
        case "cookies":
            return all(
                name in state.cookies and _is_like(each, state.cookies[name], is_url=False)
                for name, each in part.items()
            )
        case "$before" | "$after":
            return (part in state.done) is (key == "$after")
        case _:
            return _holds_joined(key, part, state)


def _holds_joined(key: str, part: Any, state: PageState) -> bool:
    if key == "$not":
        return not matches(part, state)
    held = (matches(each, state) for each in part)
    return all(held) if key == "$and" else any(held)


def _is_like(wanted: Any, found: str, *, is_url: bool) -> bool:
    if isinstance(wanted, dict):
        return re.search(wanted["$regex"], found) is not None
    # A browser shows an origin with a slash behind it, however it was typed.
    return bool(wanted == found or (is_url and wanted.rstrip("/") == found.rstrip("/")))
