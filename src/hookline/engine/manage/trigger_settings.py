"""Settings of a trigger: what each may be, and which profile has it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.core.routing import parse_field
from hookline.core.turns import MODES
from hookline.engine.manage.static_response import check_response
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "GET")
"""Methods that may start an execution (PR-1)."""

MOST_BODY_BYTES: Final = 4 << 30
"""Largest ``max_body_bytes``. What is larger than 8 MiB goes to a blob while it comes in."""
MOST_SIGNED_BYTES: Final = 32 << 20
"""The same with a signature, for which the whole body is held in memory."""

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_MOST_RATE: Final = 100_000.0
_MOST_NETWORKS: Final = 100
_LONGEST_WAIT: Final = 90
"""Seconds (CONTRACT section 3)."""
_MOST_AT_ONCE: Final = 1_000
_LONGEST_DELAY: Final = 86_400.0
_OF_PATHS: Final = frozenset({"methods", "response", "synchronous", "wait_seconds", "max_body_bytes"})
"""Settings of the profiles with a path of their own; the agenticflow profile's answers are fixed (AF-4)."""


def check_settings(settings: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Return the settings of a trigger as they are stored. Raises InputError."""
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        if value is None:
            continue
        if profile == "agenticflow" and name in _OF_PATHS:
            raise InputError(
                f"The profile agenticflow has no setting '{name}'.",
                field=name,
                expected="left out, or profile native or prismatic",
                received=type_name(value),
            )
        checked[name] = _CHECKS[name](value)
    return checked


def _check_rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= _MOST_RATE:
        raise InputError(
            "rate_per_second must lie between 0.01 and 100000.",
            field="rate_per_second",
            expected="number, 0.01 to 100000",
            received=type_name(value),
        )
    return float(value)


def _check_networks(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST_NETWORKS:
        raise InputError(
            "ip_allowlist is a list of addresses or CIDRs.",
            field="ip_allowlist",
            expected=f"array of at most {_MOST_NETWORKS} strings",
            received=type_name(value),
        )
    networks = []
    for index, item in enumerate(value):
        try:
            networks.append(str(ip_network(item if isinstance(item, str) else "", strict=False)))
        except ValueError as exc:
            raise InputError(
                "An entry is not an address or CIDR.",
                field=f"ip_allowlist.{index}",
                expected="address or CIDR such as 192.0.2.0/24",
                received=type_name(item),
            ) from exc
    return networks


def _check_dedupe(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or ("header" in value) == ("path" in value):
        raise InputError(
            "dedupe names a header or a path.",
            field="dedupe",
            expected='{"header"} or {"path"}, and "window_seconds"',
            received=type_name(value),
        )
    for name in value:
        if name not in {"header", "path", "window_seconds"}:
            raise InputError(
                f"There is no field 'dedupe.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"dedupe.{name[:40]}",
                expected="header path window_seconds",
                received=type_name(value[name]),
            )
    source = "header" if "header" in value else "path"
    text = value[source]
    if not isinstance(text, str) or not 0 < len(text) <= 200 or not text.isprintable():
        raise InputError(
            f"dedupe.{source} must be a text.",
            field=f"dedupe.{source}",
            expected="string",
            received=type_name(text),
        )
    if source == "header" and _HEADER.fullmatch(text) is None:
        raise InputError(
            "dedupe.header is not a header's name.",
            field="dedupe.header",
            expected="header name",
            received="string",
        )
    window = value.get("window_seconds", 86_400)
    if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= 30 * 86_400:
        raise InputError(
            "dedupe.window_seconds must lie between 1 and 2592000.",
            field="dedupe.window_seconds",
            expected="whole number, 1 to 2592000",
            received=type_name(window),
        )
    return {source: text, "window_seconds": window}


def _check_flag(name: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InputError(
                f"{name} is on or off.", field=name, expected="boolean", received=type_name(value)
            )
        return value

    return check


def _check_whole(name: str, least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InputError(
                f"{name} must lie between {least} and {most}.",
                field=name,
                expected=f"whole number, {least} to {most}",
                received=type_name(value),
            )
        return value

    return check


def _check_methods(value: Any) -> list[str]:
    known = (*METHODS, "HEAD")
    if not isinstance(value, list) or not value or not all(item in known for item in value):
        raise InputError(
            "methods is a list of HTTP methods.",
            field="methods",
            expected=f"array of {' '.join(known)}",
            received=type_name(value),
        )
    return [method for method in known if method in value]


def _check_object(value: Any, name: str, known: frozenset[str], needed: str) -> dict[str, Any]:
    if not isinstance(value, dict) or needed not in value:
        raise InputError(
            f"{name} is an object with {needed}.",
            field=name,
            expected=" ".join(sorted(known)),
            received=type_name(value),
        )
    for key in value:
        if key not in known:
            raise InputError(
                f"There is no field '{name}.{key[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"{name}.{key[:40]}",
                expected=" ".join(sorted(known)),
                received=type_name(value[key]),
            )
    return value


def _check_key(value: Any, name: str) -> str:
    try:
        parse_field(value if isinstance(value, str) and len(value) <= 200 else "")
    except ValueError as exc:
        raise InputError(
            f"{name} names a field of the request.",
            field=name,
            expected="field such as headers.x-tenant or body.data.customer",
            received=type_name(value),
        ) from exc
    return str(value)


def _check_concurrency(value: Any) -> dict[str, Any]:
    given = _check_object(value, "concurrency", frozenset({"limit", "key", "mode"}), "limit")
    checked: dict[str, Any] = {
        "limit": _check_whole("concurrency.limit", 1, _MOST_AT_ONCE)(given["limit"]),
        "mode": given.get("mode", "queue"),
    }
    if checked["mode"] not in MODES:
        raise InputError(
            "concurrency.mode says what happens when the limit is reached.",
            field="concurrency.mode",
            expected=" ".join(MODES),
            received=type_name(checked["mode"]),
        )
    if given.get("key") is not None:
        checked["key"] = _check_key(given["key"], "concurrency.key")
    return checked


def _check_seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= _LONGEST_DELAY:
        raise InputError(
            f"{name} must lie between 0.1 and {_LONGEST_DELAY:g}.",
            field=name,
            expected=f"number, 0.1 to {_LONGEST_DELAY:g}",
            received=type_name(value),
        )
    return float(value)


def _check_debounce(value: Any) -> dict[str, Any]:
    known = frozenset({"delay_seconds", "max_seconds", "key"})
    given = _check_object(value, "debounce", known, "delay_seconds")
    checked: dict[str, Any] = {
        "delay_seconds": _check_seconds(given["delay_seconds"], "debounce.delay_seconds")
    }
    if given.get("max_seconds") is not None:
        checked["max_seconds"] = _check_seconds(given["max_seconds"], "debounce.max_seconds")
    if given.get("key") is not None:
        checked["key"] = _check_key(given["key"], "debounce.key")
    return checked


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "rate_per_second": _check_rate,
    "ip_allowlist": _check_networks,
    "methods": _check_methods,
    "response": check_response,
    "synchronous": _check_flag("synchronous"),
    "wait_seconds": _check_whole("wait_seconds", 1, _LONGEST_WAIT),
    "max_body_bytes": _check_whole("max_body_bytes", 1, MOST_BODY_BYTES),
    "dedupe": _check_dedupe,
    "concurrency": _check_concurrency,
    "debounce": _check_debounce,
    "callbacks": _check_flag("callbacks"),
    "keep_refused": _check_flag("keep_refused"),
}

SETTINGS: Final = frozenset(_CHECKS)
"""Every setting by name."""
