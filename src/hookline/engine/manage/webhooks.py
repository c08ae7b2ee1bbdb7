"""Webhooks: how they are registered and changed, and how their secrets rotate."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.addresses import parse_target
from hookline.core.signing import check_own_secret, new_secret
from hookline.dialects import DEFAULT
from hookline.engine.manage.contention import TRIES
from hookline.engine.manage.signing_keys import rotated, with_own_key
from hookline.engine.manage.webhook_fields import Rules, change
from hookline.engine.vault import SIGNING_SECRET, Vault
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Stored, Webhook
from hookline.model.ids import Key, new_key
from hookline.model.states import Origin, WebhookStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookline.ports import Registry

ROTATION: Final = timedelta(hours=24)
"""How long both secrets sign after a rotation (CONTRACT section 5)."""

_MOST_OF_HOST: Final = 150
_LONGEST_END: Final = 20
_SHOWN_END: Final = 8
"""Letters of a name: of the host, of a path's last part that is told whole, and of a longer one, which may be the
secret of a chat room's URL.
"""


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
    blank = blank_webhook(rules.vault, secret)
    keyed, rest = with_own_key(rules.vault, blank, _without_secret(fields))
    webhook = change(rules, keyed, rest)
    if not webhook.name:
        webhook = msgspec.structs.replace(webhook, name=_name_of(webhook.url))
    stored = await registry.add(
        Webhook, id=new_key(), organization_id=organization_id, document=webhook, names=[], at=now
    )
    return stored, secret


def _name_of(url: str) -> str:
    """What a webhook is called that was given no name: where it leads, and the end of its path, which tells those of
    one host apart. The query is no part of it: it may hold a secret.
    """
    target = parse_target(url)
    before, _, last = target.path_and_query.partition("?")[0].rstrip("/").rpartition("/")
    if len(last) > _LONGEST_END:
        last = f"…{last[-_SHOWN_END:]}"
    elif before:
        last = f"…/{last}"
    return f"{target.authority[:_MOST_OF_HOST]}/{last}".rstrip("/")


def blank_webhook(vault: Vault, secret: str) -> Webhook:
    """A webhook of which nothing is said yet but its secret."""
    sealed = vault.seal(secret.encode(), SIGNING_SECRET)
    return Webhook(name="", url="", events=(), sealed_secret=sealed, dialect=DEFAULT)


async def update_webhook(
    registry: Registry,
    rules: Rules,
    organization_id: Key,
    id: Key,
    fields: Mapping[str, Any],
    *,
    now: datetime,
) -> Stored[Webhook]:
    """Merge fields into a webhook (AF-X5). Raises MissingError, InputError or ConflictError."""
    secret, given = fields.get("secret"), _without_secret(fields)

    def edit(webhook: Webhook) -> Webhook:
        if secret is not None:
            _check_same_secret(rules.vault, webhook, secret)
        keyed, rest = with_own_key(rules.vault, webhook, given)
        return change(rules, keyed, rest)

    return await _rewrite(registry, organization_id, id, edit, now=now)


def _check_same_secret(vault: Vault, webhook: Webhook, secret: str) -> None:
    """What the answer of the creation held may come back with the rest of it; it changes nothing."""
    if not compare_digest(secret.encode(), vault.open(webhook.sealed_secret, SIGNING_SECRET)):
        raise InputError(
            "A secret is changed by POST …/secret/rotate.",
            field="secret",
            expected="left out",
            received="string",
        )


def _without_secret(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "secret"}


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


async def get_webhook(
    registry: Registry, organization_id: Key, id: Key, *, origin: Origin = Origin.REGISTERED
) -> Stored[Webhook]:
    """Return a registered webhook. Raises MissingError, also for a render's or a trigger's hidden target, unless
    ``origin`` says that one is meant.
    """
    stored = await registry.get(Webhook, id, organization_id=organization_id)
    if stored is None or stored.document.origin is not origin:
        raise _missing()
    return stored


async def _rewrite(
    registry: Registry,
    organization_id: Key,
    id: Key,
    edit: Callable[[Webhook], Webhook],
    *,
    now: datetime,
    origin: Origin = Origin.REGISTERED,
) -> Stored[Webhook]:
    """Read, edit, write; again when somebody else wrote in between."""
    for _ in range(TRIES):
        stored = await get_webhook(registry, organization_id, id, origin=origin)
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
    registry: Registry,
    vault: Vault,
    organization_id: Key,
    id: Key,
    *,
    own: str | None,
    own_key: str | None = None,
    origin: Origin = Origin.REGISTERED,
    now: datetime,
) -> tuple[Stored[Webhook], str]:
    """Begin a rotation. Returns the webhook with its new secret, shown once. own, own_key: secret and private signing
    key that the owner brings; None for fresh ones.  origin: of a hidden target, to mean one.

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
            **rotated(vault, webhook, own_key),
        )

    return await _rewrite(registry, organization_id, id, rotate, now=now, origin=origin), secret


async def finish_rotation(
    registry: Registry,
    organization_id: Key,
    id: Key,
    *,
    origin: Origin = Origin.REGISTERED,
    now: datetime,
) -> Stored[Webhook]:
    """Drop the old secret now. Without a rotation nothing happens. Raises MissingError."""

    def finish(webhook: Webhook) -> Webhook:
        return msgspec.structs.replace(
            webhook,
            sealed_previous_secret=None,
            previous_secret_until=None,
            sealed_previous_signing_key=None,
            previous_public_key=None,
        )

    return await _rewrite(registry, organization_id, id, finish, now=now, origin=origin)


# --- fields -------------------------------------------------------------------------------------------------
