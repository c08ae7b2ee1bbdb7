"""Callbacks: the end of an execution, told to the address that its own caller named.

A trigger that allows them has one hidden target, made when they are switched on: it holds the secret that signs, and
its deliveries carry the addresses, so however many there are, nothing is configured per address. Only a caller who
proved who they are may name one: never one of an open trigger, nor a provider whose senders choose what stands in
the body. The address guard judges the name here, and where it leads at every attempt.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.asked_back import FIELD
from hookline.core.signing import new_secret
from hookline.dialects import DEFAULT
from hookline.engine.manage.targets import check_target
from hookline.engine.manage.triggers import change_trigger
from hookline.engine.vault import SIGNING_SECRET
from hookline.errors import InputError
from hookline.model.configuration import Stored, Trigger, Webhook
from hookline.model.ids import Key, new_key
from hookline.model.states import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hookline.engine.manage.targets import Addresses
    from hookline.engine.vault import Vault
    from hookline.ports import Registry

SETTING: Final = "callbacks"
HEADER: Final = "Hookline-Callback"

_MOST_IN_FLIGHT: Final = 64
"""Of one trigger on one node: one address that hangs holds up its own trigger's others at most."""


async def switch_on(
    registry: Registry, vault: Vault, stored: Stored[Trigger], *, now: datetime
) -> tuple[Stored[Trigger], str | None]:
    """Let a trigger take callbacks. Returns it with the secret that signs them, shown once; None when it did already.

    Raises InputError when its callers are not known.
    """
    if stored.document.callback_id is not None:
        return stored, None
    check_callers(stored.document.auth.type, stored.document.auth.options)
    secret, id_ = new_secret(secrets.token_bytes(32)), new_key()
    target = Webhook(
        name=f"callbacks of {stored.document.name}"[:200],
        # Never used: each delivery has its own.
        url="https://callback.invalid/",
        events=(),
        origin=Origin.CALLBACK,
        dialect=DEFAULT,
        sealed_secret=vault.seal(secret.encode(), SIGNING_SECRET),
        max_in_flight=_MOST_IN_FLIGHT,
    )
    await registry.add(
        Webhook, id=id_, organization_id=stored.organization_id, document=target, names=[], at=now
    )

    def name_it(trigger: Trigger) -> Trigger:
        return (
            trigger if trigger.callback_id is not None else msgspec.structs.replace(trigger, callback_id=id_)
        )

    changed = await change_trigger(registry, stored.organization_id, stored.id, name_it, now=now)
    if changed.document.callback_id != id_:  # somebody else was faster, and was shown the secret
        await registry.delete(Webhook, id_, organization_id=stored.organization_id, at=now)
        return changed, None
    return changed, secret


async def switch_off(
    registry: Registry, stored: Stored[Trigger], *, now: datetime
) -> tuple[Stored[Trigger], Stored[Webhook] | None]:
    """Take no more callbacks. Returns the trigger, and the target that is gone, whose deliveries the caller cancels;
    None for none.
    """
    callback_id = stored.document.callback_id
    if callback_id is None:
        return stored, None

    def forget_it(trigger: Trigger) -> Trigger:
        return msgspec.structs.replace(trigger, callback_id=None)

    changed = await change_trigger(registry, stored.organization_id, stored.id, forget_it, now=now)
    return changed, await drop_target(registry, stored, now=now)


async def drop_target(
    registry: Registry, stored: Stored[Trigger], *, now: datetime
) -> Stored[Webhook] | None:
    """Delete the hidden target of a trigger, which may be gone itself. Returns it as it was last, None for none."""
    callback_id = stored.document.callback_id
    if callback_id is None:
        return None
    target = await registry.get(Webhook, callback_id, organization_id=stored.organization_id)
    if target is not None:
        await registry.delete(Webhook, callback_id, organization_id=stored.organization_id, at=now)
    return target


def check_callers(auth_type: str, options: Mapping[str, Any]) -> None:
    """Raise InputError where anyone, or whoever a provider lets write, could make this server call an address."""
    if auth_type in {"none", "integration"} or "preset" in options:
        raise InputError(
            "Callbacks need callers who prove who they are: not with auth 'none' or a signature preset.",
            field=SETTING,
            expected="false",
            received="true",
        )


def callback_of(
    trigger: Trigger, header: bytes | None, body: Any, addresses: Addresses
) -> tuple[Key, str] | None:
    """Return the target and address that a request wants its end told to, None for none. Raises InputError.

    header: Hookline-Callback, which goes before the body's field.  body: the parsed body.  Where callbacks are off the
    field is the sender's own matter and means nothing; the header is meant for us, so it is refused.
    """
    field, value = HEADER, None if header is None else header.decode("latin-1")
    if trigger.callback_id is None:
        if value is None:
            return None
        raise InputError(
            "This trigger takes no callbacks.",
            code="CALLBACKS_OFF",
            field=HEADER,
            expected="left out",
            received="string",
        )
    if value is None:
        field, value = FIELD, body.get(FIELD) if isinstance(body, dict) else None
    if value is None:
        return None
    check_target(value, addresses, field=field)
    return trigger.callback_id, value
