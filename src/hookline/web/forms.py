"""Texts that people type into forms: JSON, numbers, and the place in a text at which something is wrong."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from hookline.web.desk import Refusal

_SPACE: Final = " \t\n\r"
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ATOM: Final = re.compile(r"[^\s,\]}]+")
_AROUND: Final = 3
"""Lines shown before and after a wrong one."""


def read_json(field: str, text: str) -> msgspec.Raw | None:
    """JSON as it was typed, byte for byte; None for nothing. Raises Refusal, as the API would word it."""
    if not text.strip():
        return None
    try:
        json.loads(text)
    except ValueError as exc:
        raise _no_json(field, exc) from exc
    return msgspec.Raw(text.encode("utf-8", "surrogatepass"))


def _no_json(field: str, fault: ValueError) -> Refusal:
    where = f" in line {fault.lineno}: {fault.msg}" if isinstance(fault, json.JSONDecodeError) else ""
    details = {"field": field, "expected": "JSON", "line": getattr(fault, "lineno", None)}
    return Refusal(400, {"code": "INVALID_JSON", "message": f"This is no JSON{where}.", "details": details})


def number_of(text: str) -> int | float | str | None:
    """A number; None for nothing; what is none goes on as text, and the API words the fault."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


# --- what was refused ---------------------------------------------------------------------------------------


def is_at(refusal: Refusal | None, name: str) -> bool:
    """Whether what the API refused stands in this field of a form, or anywhere below it."""
    field = "" if refusal is None else refusal.details.get("field") or ""
    return bool(field == name or field.startswith(f"{name}."))


def wrong_place(refusal: Refusal | None, text: str, *, below: str = "") -> dict[str, Any] | None:
    """The line of a JSON text at which the API refused something, with those around it; None without such a place.

    below: the field that the text is the value of; the text is the whole body when it is empty.
    """
    field = None if refusal is None else refusal.details.get("field")
    if refusal is None or not field or (below and field != below and not field.startswith(f"{below}.")):
        return None
    path = field[len(below) :].lstrip(".")
    line = refusal.details.get("line") or line_of(text, path)
    return None if line is None else {"line": line, "path": path, "lines": excerpt(text, line)}


# --- where something stands ---------------------------------------------------------------------------------


def line_of(text: str, path: str) -> int | None:
    """The line, from 1, on which a dotted path of a JSON text stands; the nearest that is there; None for no JSON.

    path: names and numbers, as an error's ``field`` has them: ``scenes.0.elements.1.text``.
    """
    try:
        position = _Finder(text).find(path.split(".") if path else [])
    except (ValueError, IndexError):
        return None
    return text.count("\n", 0, position) + 1


def excerpt(text: str, line: int) -> list[dict[str, Any]]:
    """The lines around a wrong one: ``number``, ``text`` and ``is_wrong``."""
    lines = text.split("\n")
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    return [
        {"number": number, "text": lines[number - 1][:200], "is_wrong": number == line}
        for number in range(first, last + 1)
    ]


class _Finder:
    """Walks a JSON text that is known to be sound, remembering where things begin."""

    def __init__(self, text: str) -> None:
        self._text = text

    def find(self, names: list[str]) -> int:
        """Where the value begins that the names lead to, or the last of those on the way that are there."""
        position = self._skip(0)
        for name in names:
            try:
                inner = self._inside(position, name)
            except ValueError:
                break  # the text of a list, which has nothing inside
            if inner is None:
                break
            position = inner
        return position

    def _inside(self, position: int, name: str) -> int | None:
        """Where a member or an item begins, its key where it has one; None when it is not there."""
        if self._text[position] == '"':
            # A key, of which the value is meant; a text has nothing inside.
            _, position = self._key(position)
        opening = self._text[position]
        if opening not in "{[":
            return None
        closing, index = {"{": "}", "[": "]"}[opening], 0
        position = self._skip(position + 1)
        while self._text[position] != closing:
            begin, key = position, str(index)
            if opening == "{":
                key, position = self._key(position)
            if key == name:
                return begin
            position = self._skip(self._past(position))
            if self._text[position] == ",":
                position = self._skip(position + 1)
            index += 1
        return None

    def _key(self, position: int) -> tuple[str, int]:
        """A key, and where its value begins. Raises ValueError where there is none."""
        found = _STRING.match(self._text, position)
        if found is None:
            raise ValueError(position)
        colon = self._skip(found.end())
        if self._text[colon : colon + 1] != ":":
            raise ValueError(position)
        return json.loads(found[0], strict=False), self._skip(colon + 1)

    def _past(self, position: int) -> int:
        """The end of the value that begins here."""
        depth = 0
        while True:
            sign = self._text[position]
            if sign in "{[":
                depth, position = depth + 1, position + 1
            elif sign in "}]":
                depth, position = depth - 1, position + 1
            elif found := (_STRING if sign == '"' else _ATOM).match(self._text, position):
                position = found.end()
            else:
                position += 1
            if depth == 0:
                return position

    def _skip(self, position: int) -> int:
        while position < len(self._text) and self._text[position] in _SPACE:
            position += 1
        return position
