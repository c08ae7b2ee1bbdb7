"""Webhooks: what may be registered, how changes merge, and how secrets rotate.

``change`` is a pure function of the present webhook and the caller's fields, so it can be applied again when somebody
else wrote in between. Names of hosts are only parsed here: where they lead is judged at every attempt.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from hookline.core.addresses import parse_target
from hookline.core.canonical import type_name
from hookline.core.conditions import compile_conditions
from hookline.core.filters import compile_filter
from hookline.core.matching import check_pattern
from hookline.core.signing import check_own_secret, new_secret
from hookline.dialects import DEFAULT, check_options
from hookline.dialects import get as get_dialect
from hookline.engine.manage.organizations import check_name
from hookline.engine.target import schedule_of
from hookline.engine.vault import AUTHENTICATION, SIGNING_SECRET, Vault
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import RetryPolicy, Stored, Webhook
from hookline.model.ids import Key, new_key
from hookline.model.states import Kind, Origin, WebhookStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.ports import Registry

ROTATION: Final = timedelta(hours=24)
"""How long both secrets sign after a rotation (CONTRACT section 5)."""

_MOST_PATTERNS: Final = 100
_MOST_HEADERS: Final = 50
_MOST_METADATA_BYTES: Final = 16_384
_TRIES: Final = 5
BATCH: Final = {"max_events": 100, "max_wait_seconds": 300}
"""What of ``batch_settings`` is not said (AF-19's own figures)."""
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?", re.ASCII)
_OURS: Final = frozenset(
    {
        # Framing and hop-by-hop: another value would let a receiver's proxy read another request than we sent.
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
        "expect", "content-type", "content-encoding", "accept-encoding", "date", "user-agent",
        # Kept sealed elsewhere.
        "authorization", "cookie",
        # What opens metadata services of clouds.
        "metadata", "metadata-flavor", "x-google-metadata-request", "x-metadata-token",
        # Ours.
        "x-agenticflow-signature",
    }
)  # fmt: skip
_OUR_PREFIXES: Final = ("proxy-", "webhook-", "hookline-", "x-aws-ec2-metadata", "x-forwarded-")


class Addresses(Protocol):
    """Says which addresses may be dialled."""

    def check(self, ip: str, /) -> str | None: ...


class Rules(msgspec.Struct, frozen=True):
    """What checking a webhook needs besides its fields."""

    vault: Vault
    addresses: Addresses


# --- create, change, delete ---------------------------------------------------------------------------------


async def create_webhook(
    registry: Registry, rules: Rules, organization_id: Key, fields: Mapping[str, Any], *, now: datetime
) -> tuple[Stored[Webhook], str]:
    """Register a webhook. Returns it with its signing secret, shown once. Raises InputError."""
    for name in ("url", "events"):
        if fields.get(name) is None:
            expected = "string" if name == "url" else "array"
            raise InputError(
                f"Required field '{name}' is missing", field=name, expected=expected, received="null"
            )
    own = fields.get("secret")
    secret = new_secret(secrets.token_bytes(32)) if own is None else check_own_secret(own)
    blank = Webhook(
        name="",
        url="",
        events=(),
        sealed_secret=rules.vault.seal(secret.encode(), SIGNING_SECRET),
        dialect=DEFAULT,
    )
    webhook = change(rules, blank, {name: value for name, value in fields.items() if name != "secret"})
    if not webhook.name:
        webhook = msgspec.structs.replace(webhook, name=parse_target(webhook.url).host[:200])
    stored = await registry.add(
        Webhook, id=new_key(), organization_id=organization_id, document=webhook, names=[], at=now
    )
    return stored, secret


async def update_webhook(
    registry: Registry,
    rules: Rules,
    organization_id: Key,
    id: Key,
    fields: Mapping[str, Any],
    *,
    now: datetime,
) -> Stored[Webhook]:
    """Merge fields into a webhook (AF-X2). Raises MissingError, InputError or ConflictError."""
    if fields.get("secret") is not None:
        raise InputError(
            "A secret is changed by POST …/secret/rotate.",
            field="secret",
            expected="left out",
            received="string",
        )
    given = {name: value for name, value in fields.items() if name != "secret"}
    return await _rewrite(
        registry, organization_id, id, lambda webhook: change(rules, webhook, given), now=now
    )


async def set_status(
    registry: Registry,
    organization_id: Key,
    id: Key,
    status: WebhookStatus,
    reason: str | None,
    *,
    now: datetime,
) -> Stored[Webhook]:
    """Pause or resume. The same status again changes nothing. Raises MissingError or ConflictError."""

    def set_it(webhook: Webhook) -> Webhook:
        if webhook.status is status:
            return webhook
        return msgspec.structs.replace(webhook, status=status, status_reason=reason, status_changed_at=now)

    return await _rewrite(registry, organization_id, id, set_it, now=now)


async def delete_webhook(
    registry: Registry, organization_id: Key, id: Key, *, now: datetime
) -> Stored[Webhook]:
    """Delete a webhook; returns it as it was last. Raises MissingError."""
    stored = await get_webhook(registry, organization_id, id)
    if not await registry.delete(Webhook, id, organization_id=organization_id, at=now):
        raise _missing()
    return stored


async def get_webhook(registry: Registry, organization_id: Key, id: Key) -> Stored[Webhook]:
    """Return a registered webhook. Raises MissingError, also for a render's or a trigger's hidden target."""
    stored = await registry.get(Webhook, id, organization_id=organization_id)
    if stored is None or stored.document.origin is not Origin.REGISTERED:
        raise _missing()
    return stored


async def _rewrite(
    registry: Registry, organization_id: Key, id: Key, edit: Callable[[Webhook], Webhook], *, now: datetime
) -> Stored[Webhook]:
    """Read, edit, write; again when somebody else wrote in between."""
    for _ in range(_TRIES):
        stored = await get_webhook(registry, organization_id, id)
        edited = edit(stored.document)
        if edited == stored.document:
            return stored
        try:
            return await registry.put(msgspec.structs.replace(stored, document=edited), at=now)
        except ConflictError:
            continue
    raise ConflictError("Others keep changing this webhook; try again.")


def _missing() -> MissingError:
    return MissingError("There is no such webhook.")


# --- secrets ------------------------------------------------------------------------------------------------


async def rotate_secret(
    registry: Registry, vault: Vault, organization_id: Key, id: Key, *, own: str | None, now: datetime
) -> tuple[Stored[Webhook], str]:
    """Begin a rotation. Returns the webhook with its new secret, shown once.

    Raises MissingError, InputError, or ConflictError while another rotation is under way.
    """
    secret = new_secret(secrets.token_bytes(32)) if own is None else check_own_secret(own)
    sealed = vault.seal(secret.encode(), SIGNING_SECRET)

    def rotate(webhook: Webhook) -> Webhook:
        until = webhook.previous_secret_until
        if until is not None and now < until:
            raise ConflictError(
                'A rotation is under way; end it with {"finish": true} first.', code="ROTATION_UNDER_WAY"
            )
        return msgspec.structs.replace(
            webhook,
            sealed_secret=sealed,
            sealed_previous_secret=webhook.sealed_secret,
            previous_secret_until=now + ROTATION,
        )

    return await _rewrite(registry, organization_id, id, rotate, now=now), secret


async def finish_rotation(
    registry: Registry, organization_id: Key, id: Key, *, now: datetime
) -> Stored[Webhook]:
    """Drop the old secret now. Without a rotation nothing happens. Raises MissingError."""

    def finish(webhook: Webhook) -> Webhook:
        return msgspec.structs.replace(webhook, sealed_previous_secret=None, previous_secret_until=None)

    return await _rewrite(registry, organization_id, id, finish, now=now)


# --- fields -------------------------------------------------------------------------------------------------


def change(rules: Rules, webhook: Webhook, fields: Mapping[str, Any]) -> Webhook:
    """Return the webhook with the caller's fields merged in. None unsets what may be unset. Raises InputError."""
    for name, value in fields.items():
        webhook = msgspec.structs.replace(webhook, **_CHANGES[name](rules, webhook, value))
    return webhook


def _name(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    return {"name": check_name(_required(value, "name", str, "string"))}


def _url(rules: Rules, _: Webhook, value: Any) -> dict[str, Any]:
    target = parse_target(_required(value, "url", str, "string"))
    reason = rules.addresses.check(target.address) if target.address is not None else None
    if reason is not None:
        raise InputError(
            f"The address {target.address} may not be a target: {reason}.",
            code="ADDRESS_REFUSED",
            field="url",
            expected="public address, or one the operator allows",
            received=reason,
        )
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


def _authentication(rules: Rules, webhook: Webhook, value: Any) -> dict[str, Any]:
    """AF-7 and AF-11. Without its secret, the one that is stored stays, if the rest of it is the same."""
    given = {"type": "none"} if value is None else dict(value)
    kind = given.get("type")
    if kind == "none":
        _only(given, {"type"})
        return {"authentication": {"type": "none"}, "sealed_authentication": None}
    if kind not in _SECRETS:
        raise InputError(
            "There is no such authentication.",
            field="authentication.type",
            expected="one of none bearer basic header",
            received=kind[:40] if isinstance(kind, str) else type_name(kind),
        )
    public, secret = _SECRETS[kind](given)
    if secret is None:
        if webhook.authentication == public and webhook.sealed_authentication is not None:
            return {}
        field = _SECRET_FIELDS[kind]
        raise InputError(
            f"Required field 'authentication.{field}' is missing",
            field=f"authentication.{field}",
            expected="string",
            received="null",
        )
    return {
        "authentication": public,
        "sealed_authentication": rules.vault.seal(secret.encode(), AUTHENTICATION),
    }


def _bearer(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "token"})
    token = given.get("token")
    if token is not None:
        _visible(token, "authentication.token")
    return {"type": "bearer"}, token


def _basic(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "username", "password"})
    username, password = given.get("username"), given.get("password")
    if (
        not isinstance(username, str)
        or not 0 < len(username) <= 256
        or ":" in username
        or not username.isprintable()
    ):
        raise InputError(
            "authentication.username must be a text without colon.",
            field="authentication.username",
            expected="string without :",
            received=type_name(username),
        )
    if password is None:
        return {"type": "basic", "username": username}, None
    if not isinstance(password, str) or len(password) > 1024 or not password.isprintable():
        raise InputError(
            "authentication.password must be a printable text.",
            field="authentication.password",
            expected="string",
            received=type_name(password),
        )
    return {"type": "basic", "username": username}, b64encode(f"{username}:{password}".encode()).decode()


def _header(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    _only(given, {"type", "name", "value"})
    name, value = given.get("name"), given.get("value")
    if not isinstance(name, str):
        raise InputError(
            "Required field 'authentication.name' is missing",
            field="authentication.name",
            expected="string",
            received=type_name(name),
        )
    if name.lower() not in {"authorization", "cookie"}:
        _check_header_name(name, "authentication.name")
    if value is not None:
        _visible(value, "authentication.value")
    return {"type": "header", "name": name}, value


_SECRETS: Final[dict[Any, Callable[[dict[str, Any]], tuple[dict[str, Any], str | None]]]] = {
    "bearer": _bearer,
    "basic": _basic,
    "header": _header,
}


_SECRET_FIELDS: Final[dict[Any, str]] = {"bearer": "token", "basic": "password", "header": "value"}


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no field 'authentication.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"authentication.{name[:40]}",
            )


def _visible(value: Any, field: str) -> None:
    if not isinstance(value, str) or _HEADER_VALUE.fullmatch(value) is None:
        raise InputError(
            f"{field} must hold 1 to 4096 visible ASCII characters.",
            field=field,
            expected="1 to 4096 visible ASCII characters",
            received=type_name(value),
        )


def _metadata(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    metadata = value or {}
    if len(msgspec.json.encode(metadata)) > _MOST_METADATA_BYTES:
        raise InputError(
            "The metadata is too large.", field="metadata", expected=f"at most {_MOST_METADATA_BYTES} bytes"
        )
    return {"metadata": metadata}


def _retry_policy(_: Rules, __: Webhook, value: Any) -> dict[str, Any]:
    if value is None:
        return {"retry_policy": None}
    own = value.get("schedule_seconds")
    given = {name: value[name] for name in _POLICY if value.get(name) is not None}
    if own is not None:
        _alone("schedule_seconds", given, ("max_retries", "backoff_multiplier"))
        policy = RetryPolicy(schedule_seconds=tuple(own), jitter=given.get("jitter", 0.1))
    else:
        _alone("max_retries", given, ("jitter",))
        for name in ("max_retries", "backoff_multiplier"):
            if name not in given:
                raise InputError(
                    f"Required field 'retry_policy.{name}' is missing",
                    field=f"retry_policy.{name}",
                    expected="number",
                    received="null",
                )
        policy = RetryPolicy(
            max_retries=given["max_retries"], backoff_multiplier=float(given["backoff_multiplier"])
        )
    schedule_of(policy)
    return {"retry_policy": policy}


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
        raise InputError("There are too many headers.", field="headers", expected=f"at most {_MOST_HEADERS}")
    for name, text in headers.items():
        field = f"headers.{name[:128]}"
        _check_header_name(name, field)
        _visible(text, field)
    if len({name.lower() for name in headers}) != len(headers):
        raise InputError("A header stands there twice.", field="headers", expected="each name once")
    return {"headers": dict(headers)}


def _check_header_name(name: str, field: str) -> None:
    lower = name.lower()
    if _HEADER_NAME.fullmatch(name) is None:
        raise InputError(
            "This is not a header's name.", field=field, expected="header name", received="string"
        )
    if lower in _OURS or lower.startswith(_OUR_PREFIXES):
        raise InputError(
            "This header cannot be set here.",
            code="HEADER_REFUSED",
            field=field,
            expected="a header of your own",
        )


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
    "authentication": _authentication,
    "metadata": _metadata,
    "retry_policy": _retry_policy,
    "conditions": _conditions,
    "filters": _filters,
    "batch_settings": lambda _, __, value: {"batch": None if value is None else BATCH | dict(value)},
    "headers": _headers,
    "rate_per_second": _plain("rate_per_second"),
    "max_in_flight": _plain("max_in_flight"),
    "ordered": lambda _, __, value: {"is_ordered": bool(value)},
    "timeout_seconds": _timeout,
    "max_redirects": _plain("max_redirects"),
}
"""What each field of the API does to a webhook, in the order in which they are checked."""
