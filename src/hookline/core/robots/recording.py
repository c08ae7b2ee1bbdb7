"""Read a recording in Maxun's format: ``{"meta"?, "workflow": [{"id"?, "where", "what": [{"action", "args"?, …}]}]}``.

``parse_recording`` accepts what a robot can do and nothing else; every refusal names its place, such as
``workflow.0.what.2.args.0``. Values that a run brings along (``{"$param": name}``) are put in by ``bind``, and what
comes of it is read again, so that no parameter can say what a recording may not.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hookline.core.robots import extraction
from hookline.core.robots.actions import (
    NOT_HERE,
    OWN,
    PAGE_METHODS,
    Spec,
    bad,
    check_arguments,
    is_parameter,
    text,
)
from hookline.core.robots.extraction import FieldRule, ListRule
from hookline.core.robots.where import check_where
from hookline.errors import InputError

_MOST_PAIRS: Final = 200
_MOST_ACTIONS: Final = 200
_EXTRACTIONS: Final = ("scrapeSchema", "scrapeList")


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """arguments: as recorded, checked.  label: what its captures are called, None for a name by number.

    schema: of ``scrapeSchema``.  list: of ``scrapeList``.
    """

    name: str
    place: str
    arguments: tuple[Any, ...] = ()
    label: str | None = None
    is_decisive: bool = False
    schema: dict[str, FieldRule] | None = None
    list: ListRule | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """When (``where``) and what to do then, in order. place: in the recording, such as ``workflow.3``."""

    id: str
    place: str
    where: dict[str, Any]
    what: tuple[Action, ...]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """pairs: as they stand; the last is the first to run (MX-15).  parameters: names that a run must bring."""

    pairs: tuple[Pair, ...]
    parameters: frozenset[str] = frozenset()


def parse_recording(value: Any, *, field: str = "") -> Recording:
    """Return what a decoded recording says. field: where it stands in the caller's input.

    Raises InputError with the path to the first fault.
    """
    at = f"{field}." if field else ""
    if not isinstance(value, dict):
        raise bad("A recording is an object.", field or "recording", "object", value)
    _only(value, {"meta", "workflow"}, at)
    workflow = value.get("workflow")
    if not isinstance(workflow, list) or not 1 <= len(workflow) <= _MOST_PAIRS:
        raise bad(f"A workflow is a list of 1 to {_MOST_PAIRS} pairs.", f"{at}workflow", "array", workflow)
    pairs = tuple(_pair(each, f"{at}workflow.{place}", place) for place, each in enumerate(workflow))
    return Recording(pairs=pairs, parameters=frozenset(_parameters(workflow, f"{at}workflow")))


def bind(value: Any, given: dict[str, Any]) -> Recording:
    """Read a recording with its parameters replaced. Raises InputError, also for a name too many or too few (MX-14)."""
    wanted = parse_recording(value).parameters
    for names, message in (
        (wanted - given.keys(), "is missing"),
        (given.keys() - wanted, "is not asked for"),
    ):
        if names:
            name = min(names)
            raise InputError(
                f"The parameter {name!r} {message}.", field=f"input.{name}", expected=_names(wanted)
            )
    for name, each in given.items():
        if _parameters(each, f"input.{name}"):
            raise bad("A parameter's value cannot be a parameter.", f"input.{name}", "plain value", each)
    return parse_recording(_replaced(value, given))


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no parameters"


def _pair(value: Any, field: str, place: int) -> Pair:
    if not isinstance(value, dict):
        raise bad("A pair is an object with where and what.", field, "object", value)
    _only(value, {"id", "where", "what"}, f"{field}.")
    where = value.get("where", {})
    check_where(where, f"{field}.where")
    what = value.get("what")
    if not isinstance(what, list) or not 1 <= len(what) <= _MOST_ACTIONS:
        raise bad(f"What to do is a list of 1 to {_MOST_ACTIONS} actions.", f"{field}.what", "array", what)
    id_ = value.get("id", str(place))
    text(id_, f"{field}.id")
    actions = tuple(_action(each, f"{field}.what.{number}") for number, each in enumerate(what))
    return Pair(id=id_, place=field, where=where, what=actions)


def _action(value: Any, field: str) -> Action:
    if not isinstance(value, dict):
        raise bad("An action is an object.", field, "object", value)
    _only(value, {"action", "args", "name", "actionId"}, f"{field}.")
    name = value.get("action")
    if not isinstance(name, str):
        raise bad("An action has a name.", f"{field}.action", "string", name)
    label = value.get("name")
    if label is not None:
        text(label, f"{field}.name")
    given = value.get("args")
    is_list = given is None or isinstance(given, list)
    arguments: list[Any] = (given or []) if is_list else [given]
    if name in _EXTRACTIONS:
        return _extraction(name, arguments, label, field, is_list=is_list)
    spec = _spec(name, field)
    check_arguments(name, spec, arguments, f"{field}.args")
    return Action(
        name=name, place=field, arguments=tuple(arguments), label=label or None, is_decisive=spec.is_decisive
    )


def _extraction(name: str, arguments: list[Any], label: str | None, field: str, *, is_list: bool) -> Action:
    # A recorder may put the name behind the description.
    if len(arguments) == 2 and isinstance(arguments[1], str):
        label, arguments = label or arguments[1], arguments[:1]
    if len(arguments) != 1:
        raise InputError(
            f"{name} takes one argument.",
            field=f"{field}.args",
            expected="1 argument",
            received=str(len(arguments)),
        )
    at = f"{field}.args.0" if is_list else f"{field}.args"
    action = Action(name=name, place=field, label=label or None, is_decisive=True)
    if name == "scrapeSchema":
        return msgspec.structs.replace(action, schema=extraction.parse_schema(arguments[0], at))
    return msgspec.structs.replace(action, list=extraction.parse_list(arguments[0], at))


def _spec(name: str, field: str) -> Spec:
    spec = PAGE_METHODS.get(name) or OWN.get(name)
    if spec is not None:
        return spec
    if name == "script":
        message = "script would run its code inside the robot's own process; it is never supported."
    elif name in NOT_HERE:
        message = f"{name} is an action of Maxun that Hookline does not have."
    else:
        message = f"{name!r} is no action, nor a method of a page that a robot may call."
    known = ", ".join(sorted([*PAGE_METHODS, *OWN, *_EXTRACTIONS]))
    raise InputError(
        message,
        code="ACTION_NOT_ALLOWED",
        field=f"{field}.action",
        expected=f"one of {known}",
        received=name[:100],
    )


def _only(value: dict[str, Any], known: set[str], at: str) -> None:
    for name in value:
        if name not in known:
            raise InputError(
                f"A recording has nothing called {name!r} there.",
                field=f"{at}{name}",
                expected=", ".join(sorted(known)),
                received=name,
            )


def _parameters(value: Any, field: str) -> set[str]:
    """Return the names of the values that a run brings along."""
    if is_parameter(value):
        name = value["$param"]
        if not isinstance(name, str) or not name or len(name) > 100:
            raise bad("A parameter has a name.", f"{field}.$param", "string", name)
        return {name}
    if isinstance(value, dict):
        return {name for key, each in value.items() for name in _parameters(each, f"{field}.{key}")}
    if isinstance(value, list):
        return {name for place, each in enumerate(value) for name in _parameters(each, f"{field}.{place}")}
    return set()


def _replaced(value: Any, given: dict[str, Any]) -> Any:
    if is_parameter(value):
        return given[value["$param"]]
    if isinstance(value, dict):
        return {key: _replaced(each, given) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, given) for each in value]
    return value
