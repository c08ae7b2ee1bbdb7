"""Triggers: who may start which automation from outside, and the credential that says so.

A trigger of the agenticflow profile is found by its credential (``names``), so equal credentials on one route cannot
exist twice, equal ones on different routes can, and the same user name may have different passwords. Any other is
found by the 16 random bytes in its path.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.times import rfc3339
from hookline.engine.manage.contention import TRIES
from hookline.engine.manage.credentials import (
    BASICS,
    TOKENS,
    new_auth,
    new_credential,
    path_place,
    with_new_secret,
)
from hookline.engine.manage.trigger_settings import check_settings
from hookline.engine.vault import token_digest
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Stored, Trigger
from hookline.model.ids import Key, new_key
from hookline.model.states import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.engine.vault import Vault
    from hookline.ports import Registry

PATHS: Final = "path"
"""Name space of the path ids of ``/trigger/…``."""

WORDS: Final = {Kind.AGENT: "agents", Kind.WORKFLOW: "workflows"}
"""Kind to its word in ``/webhooks/{word}/{id}``."""

ROTATION: Final = timedelta(hours=24)
"""How long a replaced credential still works unless the caller says otherwise."""
PREVIOUS_UNTIL: Final = "previous_until"
"""Setting: until when it does."""


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


def new_path_id(random16: bytes) -> str:
    """Return the text that names a trigger in ``/trigger/…``; it ends in ``==`` (PR-1)."""
    return urlsafe_b64encode(random16).decode()


async def create_trigger(
    registry: Registry, vault: Vault, organization_id: Key, new: NewTrigger, *, now: datetime
) -> tuple[Stored[Trigger], str | None]:
    """Make a trigger. Returns it with its token or API key, which is shown once; None for other credentials.

    The automation must exist: the caller has looked. Raises InputError or ConflictError.
    """
    path_id = None if new.profile == "agenticflow" else new_path_id(secrets.token_bytes(16))
    if path_id is None and new.kind not in WORDS:
        raise InputError(
            f"The profile agenticflow starts agents and workflows, not a {new.kind}.",
            field="automation.kind",
            expected="agent or workflow",
            received=new.kind,
        )
    settings = check_settings(new.settings, new.profile)
    place = route(new.kind, new.automation_id) if path_id is None else path_place(path_id)
    auth, shown_once = new_auth(vault, new.auth, profile=new.profile, place=place)
    if new.auth.get("previous_secret") is not None:
        settings[PREVIOUS_UNTIL] = rfc3339(now + ROTATION)
    trigger = Trigger(
        name=new.name or f"{new.kind} {new.automation_id}",
        automation_kind=new.kind,
        automation_id=new.automation_id,
        profile=new.profile,
        auth=auth,
        path_id=path_id,
        settings=settings,
    )
    try:
        stored = await registry.add(
            Trigger,
            id=new_key(),
            organization_id=organization_id,
            document=trigger,
            names=_names(trigger),
            at=now,
        )
    except ConflictError as exc:
        raise ConflictError(
            "Another trigger of this route has the same credential.", code="CREDENTIAL_TAKEN", field="auth"
        ) from exc
    return stored, shown_once


def _names(trigger: Trigger) -> list[tuple[str, str]]:
    """Return the unique names by which a request finds the trigger."""
    if trigger.path_id is not None:
        return [(PATHS, trigger.path_id)]
    if trigger.auth.password_digest is not None:
        return [(BASICS, trigger.auth.password_digest)]
    return [(TOKENS, digest.hex()) for digest in trigger.auth.digests]


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
    unset = {setting for setting, value in settings.items() if value is None}

    def change(trigger: Trigger) -> Trigger:
        checked = check_settings(settings, trigger.profile)
        kept = {word: value for word, value in trigger.settings.items() if word not in unset}
        return msgspec.structs.replace(
            trigger,
            name=trigger.name if name is None else name,
            is_enabled=trigger.is_enabled if is_enabled is None else is_enabled,
            settings=kept | checked,
        )

    return await change_trigger(registry, organization_id, id, change, now=now)


async def rotate(
    registry: Registry,
    vault: Vault,
    organization_id: Key,
    id: Key,
    *,
    secret: Any,
    overlap: timedelta,
    now: datetime,
) -> tuple[Stored[Trigger], str | None]:
    """Replace a trigger's credential; the present one works on for ``overlap``.

    secret: the new secret of a signature, which its sender has made; None for the others. Returns the trigger with its
    new token or API key, shown once. Raises MissingError, InputError or ConflictError.
    """
    made: list[str] = []
    keeps_previous = overlap > timedelta()

    def change(trigger: Trigger) -> Trigger:
        auth = trigger.auth
        if auth.type == "signature":
            auth = with_new_secret(vault, auth, secret, keeps_previous=keeps_previous)
        elif auth.type in {"token", "api_key"}:
            if secret is not None:
                raise InputError(
                    "Only a signature has a secret of its sender's.",
                    field="secret",
                    expected="left out",
                    received=type_name(secret),
                )
            made[:] = [new_credential(auth.type)]
            digests: tuple[bytes, ...] = (token_digest(made[0]), auth.digests[0])
            auth = msgspec.structs.replace(auth, digests=digests if keeps_previous else digests[:1])
        else:
            raise ConflictError(
                "Only a token, an API key or the secret of a signature can be rotated.", code="NOT_ROTATABLE"
            )
        settings = {name: value for name, value in trigger.settings.items() if name != PREVIOUS_UNTIL}
        if keeps_previous:
            settings[PREVIOUS_UNTIL] = rfc3339(now + overlap)
        return msgspec.structs.replace(trigger, auth=auth, settings=settings)

    changed = await change_trigger(registry, organization_id, id, change, now=now)
    return changed, made[0] if made else None


async def change_trigger(
    registry: Registry, organization_id: Key, id: Key, change: Callable[[Trigger], Trigger], *, now: datetime
) -> Stored[Trigger]:
    """Read, change, write; again when somebody else wrote in between. Raises MissingError or ConflictError."""
    for _ in range(TRIES):
        stored = await registry.get(Trigger, id, organization_id=organization_id)
        if stored is None:
            raise MissingError("There is no such trigger.")
        changed = change(stored.document)
        names = _names(changed)
        are_same = names == _names(stored.document)
        try:
            return await registry.put(
                msgspec.structs.replace(stored, document=changed), names=None if are_same else names, at=now
            )
        except ConflictError:
            continue
    raise ConflictError("Others keep changing this trigger; try again.")
