"""Triggers: who may start which automation from outside, and the credential that says so.

A trigger is found by its credential (``names``): a token by its SHA-256, a user name and password by a digest keyed
with the installation's secret and bound to the route. So equal credentials on one route cannot exist twice, equal
ones on different routes can, and the same user name may have different passwords.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.times import rfc3339
from hookline.engine.vault import token_digest
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Stored, Trigger, TriggerAuth
from hookline.model.ids import Key, new_key
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.engine.vault import Vault
    from hookline.ports import Registry

TOKENS: Final = "token"
"""Name space of live trigger tokens, by SHA-256 in hex."""
BASICS: Final = "basic"
"""Name space of user names and passwords, by keyed digest."""

PATHS: Final = "path"
"""Name space of the path ids of ``/trigger/…``."""

WORDS: Final = {Kind.AGENT: "agents", Kind.WORKFLOW: "workflows"}
"""Kind to its word in ``/webhooks/{word}/{id}``."""

_TOKEN_PREFIX: Final = "wht_"  # noqa: S105 -- the public prefix, not a secret
_OWN_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,256}", re.ASCII)
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_LATER_AUTH: Final = frozenset({"api_key", "signature", "none"})
_LATER_PROFILES: Final = frozenset({"prismatic", "native"})
_LATER_SETTINGS: Final = frozenset({"methods", "response", "synchronous", "concurrency"})
_MOST_RATE: Final = 100_000.0
_MOST_NETWORKS: Final = 100
ROTATION: Final = timedelta(hours=24)
"""How long a replaced token still works unless the caller says otherwise."""
_TRIES: Final = 5


class NewTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants. auth, settings: as they came."""

    name: str | None
    kind: Kind
    automation_id: str
    profile: str
    auth: dict[str, Any]
    settings: dict[str, Any]


def route(kind: Kind, automation_id: str) -> str:
    """Return the part of the path that names the automation."""
    return f"{WORDS[kind]}/{automation_id}"


def basic_digest(vault: Vault, place: str, username: str, password: str) -> str:
    """Return the name under which a basic credential of a route is found. place: see ``route``."""
    return vault.digest("basic", place, username, password)


def new_path_id(random16: bytes) -> str:
    """Return the text that names a trigger in ``/trigger/…``; it ends in ``==`` (PR-1)."""
    return urlsafe_b64encode(random16).decode()


def new_token(random32: bytes) -> str:
    return _TOKEN_PREFIX + urlsafe_b64encode(random32).decode().rstrip("=")


async def create_trigger(
    registry: Registry, vault: Vault, organization_id: Key, new: NewTrigger, *, now: datetime
) -> tuple[Stored[Trigger], str | None]:
    """Make a trigger. Returns it with its token, which is shown once; None for other credentials.

    The automation must exist: the caller has looked. Raises InputError or ConflictError.
    """
    _check_profile(new)
    settings = check_settings(new.settings)
    auth, name, token = _credential(vault, new)
    trigger = Trigger(
        name=new.name or f"{new.kind} {new.automation_id}",
        automation_kind=new.kind,
        automation_id=new.automation_id,
        profile=new.profile,
        auth=auth,
        settings=settings,
    )
    try:
        stored = await registry.add(
            Trigger, id=new_key(), organization_id=organization_id, document=trigger, names=[name], at=now
        )
    except ConflictError as exc:
        raise ConflictError(
            "Another trigger of this route has the same credential.", code="CREDENTIAL_TAKEN", field="auth"
        ) from exc
    return stored, token


def _check_profile(new: NewTrigger) -> None:
    if new.profile in _LATER_PROFILES:
        raise _later(f"The profile '{new.profile}'", "profile", "agenticflow")
    if new.kind not in WORDS:
        raise InputError(
            f"The profile agenticflow starts agents and workflows, not a {new.kind}.",
            field="automation.kind",
            expected="agent or workflow",
            received=new.kind,
        )


def _credential(vault: Vault, new: NewTrigger) -> tuple[TriggerAuth, tuple[str, str], str | None]:
    """Return how callers are known, the unique name of that, and the token to show."""
    kind = new.auth.get("type")
    if kind == "token":
        given = new.auth.get("token")
        token = new_token(secrets.token_bytes(32)) if given is None else _own_token(given)
        _refuse_others(new.auth, {"type", "token"})
        digest = token_digest(token)
        return TriggerAuth(type="token", digests=(digest,)), (TOKENS, digest.hex()), token
    if kind == "basic":
        _refuse_others(new.auth, {"type", "username", "password"})
        username, password = _text(new.auth, "username", 1), _text(new.auth, "password", 8)
        if ":" in username:
            raise InputError(
                "A user name cannot hold a colon (RFC 7617).",
                field="auth.username",
                expected="string without :",
            )
        digest_hex = basic_digest(vault, route(new.kind, new.automation_id), username, password)
        auth = TriggerAuth(type="basic", username=username, password_digest=digest_hex)
        return auth, (BASICS, digest_hex), None
    if kind == "none":
        raise InputError(
            "The profile agenticflow needs a credential: auth 'none' is not allowed here.",
            field="auth.type",
            expected="token or basic",
            received="none",
        )
    if kind in _LATER_AUTH:
        raise _later(f"The auth type '{kind}'", "auth.type", "token or basic")
    raise InputError(
        "auth.type must be chosen.",
        field="auth.type",
        expected="token or basic",
        received=type_name(kind) if not isinstance(kind, str) else kind[:40],
    )


def _own_token(token: Any) -> str:
    """A token brought along from elsewhere (``wh_…``), so that senders need not change."""
    if not isinstance(token, str) or _OWN_TOKEN.fullmatch(token) is None:
        raise InputError(
            "An own token has 16 to 256 characters of A-Z a-z 0-9 . _ ~ -.",
            field="auth.token",
            expected="16 to 256 of A-Z a-z 0-9 . _ ~ -",
            received=type_name(token),
        )
    return token


def _text(auth: Mapping[str, Any], name: str, least: int) -> str:
    value = auth.get(name)
    if value is None:
        raise InputError(
            f"Required field 'auth.{name}' is missing",
            field=f"auth.{name}",
            expected="string",
            received="null",
        )
    if not isinstance(value, str) or not least <= len(value) <= 256 or not value.isprintable():
        raise InputError(
            f"auth.{name} must have {least} to 256 printable characters.",
            field=f"auth.{name}",
            expected=f"string of {least} to 256 printable characters",
            received=type_name(value),
        )
    return value


def _refuse_others(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no field 'auth.{name[:40]}' here", code="UNKNOWN_FIELD", field=f"auth.{name[:40]}"
            )


def _later(what: str, field: str, expected: str) -> InputError:
    return InputError(
        f"{what} is not supported yet.", code="NOT_SUPPORTED_YET", field=field, expected=expected
    )


# --- settings -----------------------------------------------------------------------------------------------


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a trigger as they are stored. Raises InputError."""
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _LATER_SETTINGS:
            raise _later(f"The setting '{name}'", name, "left out")
        if value is not None:
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
            "dedupe.header is not a header's name.", field="dedupe.header", expected="header name"
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


def _check_callbacks(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(
            "callbacks is on or off.", field="callbacks", expected="boolean", received=type_name(value)
        )
    return value


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "rate_per_second": _check_rate,
    "ip_allowlist": _check_networks,
    "dedupe": _check_dedupe,
    "callbacks": _check_callbacks,
}

SETTINGS: Final = frozenset(_CHECKS) | _LATER_SETTINGS
"""Every setting that the contract names."""


# --- changes ------------------------------------------------------------------------------------------------


async def update_trigger(
    registry: Registry,
    organization_id: Key,
    id: Key,
    *,
    name: str | None,
    is_enabled: bool | None,
    settings: Mapping[str, Any],
    now: datetime,
) -> Stored[Trigger]:
    """Merge changes into a trigger; None leaves a value, a setting given as None is unset.

    Raises MissingError, InputError or ConflictError.
    """
    checked = check_settings(settings)
    unset = {setting for setting, value in settings.items() if value is None}

    def change(trigger: Trigger) -> Trigger:
        kept = {word: value for word, value in trigger.settings.items() if word not in unset}
        return msgspec.structs.replace(
            trigger,
            name=trigger.name if name is None else name,
            is_enabled=trigger.is_enabled if is_enabled is None else is_enabled,
            settings=kept | checked,
        )

    return await change_trigger(registry, organization_id, id, change, now=now)


async def rotate_token(
    registry: Registry, organization_id: Key, id: Key, *, overlap: timedelta, now: datetime
) -> tuple[Stored[Trigger], str]:
    """Give a trigger a new token; the present one works on for ``overlap``. Returns the new one, shown once."""
    token = new_token(secrets.token_bytes(32))

    def change(trigger: Trigger) -> Trigger:
        if trigger.auth.type != "token":
            raise ConflictError("Only a trigger with a token can rotate it.", code="NOT_ROTATABLE")
        digests: tuple[bytes, ...] = (token_digest(token), trigger.auth.digests[0])
        settings = trigger.settings | {"previous_until": rfc3339(now + overlap)}
        if overlap <= timedelta():
            digests = digests[:1]
            settings.pop("previous_until")
        auth = msgspec.structs.replace(trigger.auth, digests=digests)
        return msgspec.structs.replace(trigger, auth=auth, settings=settings)

    return await change_trigger(registry, organization_id, id, change, now=now), token


async def change_trigger(
    registry: Registry, organization_id: Key, id: Key, change: Callable[[Trigger], Trigger], *, now: datetime
) -> Stored[Trigger]:
    """Read, change, write; again when somebody else wrote in between. Raises MissingError or ConflictError."""
    for _ in range(_TRIES):
        stored = await registry.get(Trigger, id, organization_id=organization_id)
        if stored is None:
            raise MissingError("There is no such trigger.")
        changed = change(stored.document)
        names = (
            [(TOKENS, digest.hex()) for digest in changed.auth.digests]
            if changed.auth.digests != stored.document.auth.digests
            else None
        )
        try:
            return await registry.put(msgspec.structs.replace(stored, document=changed), names=names, at=now)
        except ConflictError:
            continue
    raise ConflictError("Others keep changing this trigger; try again.")
