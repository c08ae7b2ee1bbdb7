"""What each field of the API does to a webhook, and what it may hold.

``change`` is a pure function of the present webhook and the caller's fields, so it can be applied again when somebody
else wrote in between. Names of hosts are only parsed here: where they lead is judged at every attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.conditions import compile_conditions
from hookline.core.filters import compile_filter
from hookline.core.matching import check_pattern
from hookline.core.retry import POLICY_MAX_RETRIES
from hookline.dialects import check_options
from hookline.dialects import get as get_dialect
from hookline.engine.manage.body_template import template
from hookline.engine.manage.organizations import check_name
from hookline.engine.manage.receiver_auth import authentication, check_header_name, check_visible
from hookline.engine.manage.receiver_tls import tls
from hookline.engine.manage.signing_keys import signature
from hookline.engine.manage.targets import Addresses, check_target
from hookline.engine.target import schedule_of
from hookline.engine.vault import Vault
from hookline.errors import InputError
from hookline.model.configuration import RetryPolicy, Webhook
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_MOST_PATTERNS: Final = 100
_MOST_HEADERS: Final = 50
_MOST_METADATA_BYTES: Final = 16_384
BATCH: Final = {"max_events": 100, "max_wait_seconds": 300}
"""What of ``batch_settings`` is not said (AF-19's own figures)."""


class Rules(msgspec.Struct, frozen=True):
    """What checking a webhook needs besides its fields. most_retries: of a policy with ``max_retries``."""

    vault: Vault
    addresses: Addresses
    most_retries: int = POLICY_MAX_RETRIES


# --- create, change, delete ---------------------------------------------------------------------------------


def change(rules: Rules, webhook: Webhook, fields: Mapping[str, Any]) -> Webhook:
    """Return the webhook with the caller's fields merged in. None unsets what may be unset. Raises InputError."""
    for name, value in fields.items():
        webhook = msgspec.structs.replace(webhook, **_CHANGES[name](rules, webhook, value))
    _check_together(webhook, fields)
    return webhook


def _check_together(webhook: Webhook, fields: Mapping[str, Any]) -> None:
    """Raise InputError where two settings contradict each other. fields: what is being changed; the rest is as it was,
    and an earlier version may have let it through.
    """
    if webhook.template is not None and webhook.batch is not None:
        raise InputError(  # a chat reads one message for one event
            "A webhook with a template sends each event alone.",
            field="batch_settings" if "batch_settings" in fields else "template",
            expected="template or batch_settings",
            received="both",
        )
    own = str(webhook.authentication.get("name", "")).lower()
    twice = [name for name in webhook.headers if name.lower() == own]
    if twice and webhook.authentication["type"] == "header" and not fields.keys().isdisjoint(_HEADER_FIELDS):
        raise InputError(
            "A header stands there twice.",
            field=f"headers.{twice[0]}" if "headers" in fields else "authentication.name",
            expected="each name once",
            received="a name twice",
        )


_HEADER_FIELDS: Final = ("headers", "authentication")


def _name(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    return {"name": check_name(_required(value, "name", str, "string"))}


def _url(rules: Rules, _: Webhook, value: Any) -> dict[str, Any]:
    check_target(_required(value, "url", str, "string"), rules.addresses, field="url")
    return {"url": value}


def _events(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    patterns = _required(value, "events", list, "array")
    if not 1 <= len(patterns) <= _MOST_PATTERNS:
        raise InputError(
            f"A webhook has 1 to {_MOST_PATTERNS} event patterns.",
            field="events",
            expected=f"1 to {_MOST_PATTERNS} patterns",
            received=str(len(patterns)),
        )
    checked = [check_pattern(pattern, f"events.{index}") for index, pattern in enumerate(patterns)]
    return {"events": tuple(dict.fromkeys(checked))}


def _dialect(_: Rules, webhook: Webhook, value: Any) -> dict[str, Any]:
    """Another dialect has other options: those of the old one go."""
    name = get_dialect(value).name
    return {"dialect": name} if name == webhook.dialect else {"dialect": name, "options": {}}


def _dialect_options(_: Rules, webhook: Webhook, value: Any) -> dict[str, Any]:
    return {"options": check_options(get_dialect(webhook.dialect), value)}


def _automation(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    if value is None:
        return {"automation_kind": None, "automation_id": None}
    return {"automation_kind": Kind(value["kind"]), "automation_id": value["id"]}


def _metadata(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    metadata = value or {}
    size = len(msgspec.json.encode(metadata))
    if size > _MOST_METADATA_BYTES:
        raise InputError(
            "The metadata is too large.",
            field="metadata",
            expected=f"at most {_MOST_METADATA_BYTES} bytes",
            received=f"{size} bytes",
        )
    return {"metadata": metadata}


def _retry_policy(rules: Rules, _: Webhook, value: Any) -> dict[str, Any]:
    if value is None:
        return {"retry_policy": None}
    own = value.get("schedule_seconds")
    given = {name: value[name] for name in _POLICY if value.get(name) is not None}
    if own is not None:
        _alone("schedule_seconds", given, ("max_retries", "backoff_multiplier"))
        policy = RetryPolicy(schedule_seconds=tuple(own), jitter=given.get("jitter", 0.1))
    else:
        _alone("max_retries", given, ("jitter",))
        if not given:
            raise InputError(
                "A retry policy says max_retries, backoff_multiplier or schedule_seconds.",
                field="retry_policy.max_retries",
                expected="number",
                received="null",
            )
        # Kept as it will be, so that what is read is what happens (AF-X2).
        policy = RetryPolicy(
            max_retries=min(given.get("max_retries", POLICY_MAX_RETRIES), rules.most_retries),
            backoff_multiplier=float(given.get("backoff_multiplier", _MULTIPLIER)),
        )
    schedule_of(policy, rules.most_retries)
    return {"retry_policy": policy}


_MULTIPLIER: Final = 2.0  # AF-7's own figure
_POLICY: Final = ("max_retries", "backoff_multiplier", "schedule_seconds", "jitter")


def _alone(name: str, given: Mapping[str, Any], others: tuple[str, ...]) -> None:
    """The two forms of a policy do not mix."""
    for other in others:
        if other in given:
            raise InputError(
                f"'{name}' and '{other}' are two forms of a policy; give one.",
                field=f"retry_policy.{other}",
                expected="left out",
                received=type_name(given[other]),
            )


def _conditions(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    if value:
        compile_conditions(value)
    return {"conditions": value or None}


def _filters(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    given = value or {}
    include, exclude = given.get("include_fields"), given.get("exclude_fields")
    compile_filter(include, exclude)
    return {
        "include_fields": tuple(include) if include else None,
        "exclude_fields": tuple(exclude) if exclude else None,
    }


def _headers(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    headers = value or {}
    if len(headers) > _MOST_HEADERS:
        raise InputError(
            "There are too many headers.",
            field="headers",
            expected=f"at most {_MOST_HEADERS}",
            received=str(len(headers)),
        )
    for name, text in headers.items():
        field = f"headers.{name[:128]}"
        check_header_name(name, field)
        check_visible(text, field)
    if len({name.lower() for name in headers}) != len(headers):
        raise InputError(
            "A header stands there twice.",
            field="headers",
            expected="each name once",
            received="a name twice",
        )
    return {"headers": dict(headers)}


def _plain(attribute: str) -> Callable[[Rules, Webhook, Any], dict[str, Any]]:
    """A field whose schema says all there is to check."""
    default = Webhook.__struct_defaults__[
        Webhook.__struct_fields__.index(attribute) - len(Webhook.__struct_fields__)
    ]
    return lambda _, __, value: {attribute: default if value is None else value}


def _timeout(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    return {"timeout_ms": None if value is None else max(1, round(value * 1000))}


def _required(value: Any, field: str, kind: type, expected: str) -> Any:
    if not isinstance(value, kind):
        raise InputError(
            f"Field '{field}' must be of type {expected}",
            field=field,
            expected=expected,
            received=type_name(value),
        )
    return value


_CHANGES: Final[dict[str, Callable[[Rules, Webhook, Any], dict[str, Any]]]] = {
    "name": _name,
    "url": _url,
    "events": _events,
    "dialect": _dialect,
    "dialect_options": _dialect_options,
    "automation": _automation,
    "authentication": lambda rules, webhook, value: authentication(rules.vault, webhook, value),
    "tls": lambda rules, webhook, value: tls(rules.vault, webhook, value),
    "signature": lambda rules, webhook, value: signature(rules.vault, webhook, value),
    "metadata": _metadata,
    "retry_policy": _retry_policy,
    "conditions": _conditions,
    "filters": _filters,
    "template": lambda _, __, value: template(value),
    "batch_settings": lambda _, __, value: {"batch": None if value is None else BATCH | dict(value)},
    "headers": _headers,
    "rate_per_second": _plain("rate_per_second"),
    "max_in_flight": _plain("max_in_flight"),
    "ordered": lambda _, __, value: {"is_ordered": bool(value)},
    "timeout_seconds": _timeout,
    "max_redirects": _plain("max_redirects"),
    "large_payloads": _plain("large_payloads"),
}
"""What each field of the API does to a webhook, in the order in which they are checked."""
