"""Say which actions a recording may hold, and which arguments each takes.

Most are methods of Playwright's Page, listed here one by one: what is not listed cannot be called. Methods that run
code in the page or here, open files, or change what the network guard sees are left out on purpose; ``script`` above
all, which in Maxun evaluates Node code inside the server (MX-16).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from hookline.core.addresses import parse_target
from hookline.core.canonical import type_name
from hookline.errors import InputError

_MOST_CHARACTERS: Final = 10_000
"""Of a text or selector."""

_LONGEST_WAIT_MS: Final = 120_000
"""Of one wait; a run has a limit of its own besides."""

_MOST_PAGES: Final = 100
"""Screens that one ``scroll`` goes down."""


class Spec(msgspec.Struct, frozen=True):
    """Of one action. checks: one for each positional argument.  required: how many of them must be there.

    options: names that an object behind them may have, None for no such object.
    is_decisive: the run depends on it. When another action fails, that is logged and the robot goes on (MX-15).
    """

    checks: tuple[Callable[[Any, str], None], ...] = ()
    required: int = 0
    options: frozenset[str] | None = None
    is_decisive: bool = False


def bad(message: str, field: str, expected: str, received: Any) -> InputError:
    """An error that says where in the recording something is wrong."""
    return InputError(message, field=field, expected=expected, received=type_name(received))


def text(value: Any, field: str) -> None:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        raise bad(f"A text of at most {_MOST_CHARACTERS} characters is needed.", field, "string", value)


def selector(value: Any, field: str) -> None:
    text(value, field)
    if not value.strip():
        raise bad("A selector cannot be empty.", field, "selector", value)


def url(value: Any, field: str) -> None:
    """Where a name leads is judged when it is dialled."""
    if value != "about:blank":
        parse_target(value, field=field)


def wait(value: Any, field: str) -> None:
    if type(value) not in (int, float) or not 0 <= value <= _LONGEST_WAIT_MS:
        raise bad(f"A wait is 0 to {_LONGEST_WAIT_MS} milliseconds.", field, "number", value)


def pages(value: Any, field: str) -> None:
    if type(value) is not int or not 1 <= value <= _MOST_PAGES:
        raise bad(f"A scroll goes down 1 to {_MOST_PAGES} screens.", field, "integer", value)


def number(value: Any, field: str) -> None:
    if type(value) not in (int, float) or not -100_000 <= value <= 100_000:
        raise bad("A number of pixels is needed.", field, "number", value)


def choice(value: Any, field: str) -> None:
    if isinstance(value, list) and len(value) <= 100:
        for place, each in enumerate(value):
            text(each, f"{field}.{place}")
    else:
        text(value, field)


def viewport(value: Any, field: str) -> None:
    is_size = isinstance(value, dict) and set(value) == {"width", "height"}
    if not is_size or not all(type(side) is int and 100 <= side <= 4096 for side in value.values()):
        raise bad("A window has a width and a height of 100 to 4096 pixels.", field, "object", value)


def load_state(value: Any, field: str) -> None:
    if value not in ("load", "domcontentloaded", "networkidle"):
        raise bad("A page is loaded, or its DOM is, or its network is idle.", field, "load state", value)


_MOUSE: Final = frozenset({"button", "clickCount", "delay", "force", "modifiers", "position", "timeout"})
_TIMED: Final = frozenset({"timeout"})
_LOADS: Final = frozenset({"timeout", "waitUntil"})
_OPEN: Final = frozenset({"timeout", "force"})

PAGE_METHODS: Final[dict[str, Spec]] = {
    "goto": Spec((url,), 1, _LOADS, is_decisive=True),
    "goBack": Spec((), 0, _LOADS),
    "goForward": Spec((), 0, _LOADS),
    "reload": Spec((), 0, _LOADS),
    "click": Spec((selector,), 1, _MOUSE),
    "dblclick": Spec((selector,), 1, _MOUSE),
    "hover": Spec((selector,), 1, _MOUSE - {"button", "clickCount", "delay"}),
    "focus": Spec((selector,), 1, _TIMED),
    "check": Spec((selector,), 1, _OPEN),
    "uncheck": Spec((selector,), 1, _OPEN),
    "fill": Spec((selector, text), 2, _OPEN),
    "type": Spec((selector, text), 2, _TIMED | {"delay"}),
    "press": Spec((selector, text), 2, _TIMED | {"delay"}),
    "selectOption": Spec((selector, choice), 2, _OPEN),
    "dragAndDrop": Spec((selector, selector), 2, _OPEN),
    "setViewportSize": Spec((viewport,), 1),
    "waitForTimeout": Spec((wait,), 1),
    "waitForSelector": Spec((selector,), 1, _TIMED | {"state"}, is_decisive=True),
    "waitForLoadState": Spec((load_state,), 0, _TIMED),
    "waitForURL": Spec((text,), 1, _LOADS, is_decisive=True),
    "keyboard.press": Spec((text,), 1, frozenset({"delay"})),
    "keyboard.type": Spec((text,), 1, frozenset({"delay"})),
    "keyboard.insertText": Spec((text,), 1),
    "keyboard.down": Spec((text,), 1),
    "keyboard.up": Spec((text,), 1),
    "mouse.click": Spec((number, number), 2, frozenset({"button", "clickCount", "delay"})),
    "mouse.dblclick": Spec((number, number), 2, frozenset({"button", "delay"})),
    "mouse.move": Spec((number, number), 2, frozenset({"steps"})),
    "mouse.wheel": Spec((number, number), 2),
    "mouse.down": Spec((), 0, frozenset({"button"})),
    "mouse.up": Spec((), 0, frozenset({"button"})),
}
"""Named as in Playwright for JavaScript, which is what recordings hold."""

OWN: Final[dict[str, Spec]] = {
    "scroll": Spec((pages,), 0),
    "wait": Spec((wait,), 1),
    "flag": Spec((text,), 0),
    "screenshot": Spec(
        (),
        0,
        frozenset({"animations", "caret", "fullPage", "quality", "scale", "timeout", "type"}),
        is_decisive=True,
    ),
}
"""Maxun's own, beside ``scrapeSchema`` and ``scrapeList`` (extraction.py); ``wait`` is ``waitForTimeout``."""

NOT_HERE: Final = frozenset({"scrape", "scrapeListAuto", "enqueueLinks", "crawl", "search"})
"""Maxun's own that Hookline does not have."""

_NUMBERS: Final = {"timeout": 120_000, "delay": 5_000, "clickCount": 3, "steps": 100, "quality": 100}
_FLAGS: Final = frozenset({"force", "fullPage"})
_WORDS: Final = {
    "button": ("left", "right", "middle"),
    "waitUntil": ("load", "domcontentloaded", "networkidle", "commit"),
    "state": ("attached", "detached", "visible", "hidden"),
    "type": ("png",),
    "scale": ("css", "device"),
    "caret": ("hide", "initial"),
    "animations": ("allow", "disabled"),
}


def check_arguments(name: str, spec: Spec, arguments: list[Any], field: str) -> None:
    """Raise InputError with the path of the first argument that the action cannot take."""
    if name == "screenshot" and arguments and isinstance(arguments[-1], str):
        arguments = arguments[:-1]  # its name, which Maxun writes behind its options (MX-16)
    positional = arguments
    if arguments and isinstance(arguments[-1], dict) and len(arguments) > spec.required:
        positional = arguments[:-1]
        _check_options(name, spec, arguments[-1], f"{field}.{len(arguments) - 1}")
    if not spec.required <= len(positional) <= len(spec.checks):
        expected = str(spec.required) if spec.required else f"at most {len(spec.checks)}"
        raise InputError(
            f"{name} takes {expected} arguments.",
            field=field,
            expected=f"{expected} arguments",
            received=str(len(positional)),
        )
    for place, (check, value) in enumerate(zip(spec.checks, positional, strict=False)):
        if not is_parameter(value):
            check(value, f"{field}.{place}")


def _check_options(name: str, spec: Spec, options: dict[str, Any], field: str) -> None:
    for key, value in options.items():
        place = f"{field}.{key}"
        if spec.options is None or key not in spec.options:
            known = ", ".join(sorted(spec.options or ())) or "no options"
            raise InputError(f"{name} has no option {key!r} here.", field=place, expected=known, received=key)
        if is_parameter(value):
            continue
        if key in _NUMBERS and not (type(value) in (int, float) and 0 <= value <= _NUMBERS[key]):
            raise bad(f"It must be 0 to {_NUMBERS[key]}.", place, "number", value)
        if key in _FLAGS and type(value) is not bool:
            raise bad("It must be true or false.", place, "boolean", value)
        if key in _WORDS and value not in _WORDS[key]:
            raise bad(f"It must be one of {', '.join(_WORDS[key])}.", place, "string", value)
        if key == "modifiers":
            _check_modifiers(value, place)
        if key == "position":
            _check_position(value, place)


def _check_modifiers(value: Any, field: str) -> None:
    known = {"Alt", "Control", "ControlOrMeta", "Meta", "Shift"}
    if not isinstance(value, list) or not all(isinstance(each, str) and each in known for each in value):
        raise bad(f"It must be a list of {', '.join(sorted(known))}.", field, "array", value)


def _check_position(value: Any, field: str) -> None:
    if not isinstance(value, dict) or set(value) != {"x", "y"}:
        raise bad("A position has an x and a y.", field, "object", value)
    for name, each in value.items():
        number(each, f"{field}.{name}")


def is_parameter(value: Any) -> bool:
    """Say whether a value stands for one that the run's input gives: ``{"$param": name}`` (MX-14)."""
    return isinstance(value, dict) and set(value) == {"$param"}
