"""The key pair of a webhook whose receiver checks signatures with a public key (Standard Webhooks, ``v1a``).

The private key is made here, or brought along by who moves here, sealed, and never shown to anybody; the public one is
for everybody.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.signing import SigningKey, new_signing_key
from hookline.engine.vault import SIGNING_KEY
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.engine.vault import Vault
    from hookline.model.configuration import Webhook

SIGNATURES: Final = ("v1", "v1a", "both")


def signature(vault: Vault, webhook: Webhook, value: Any) -> dict[str, Any]:
    """What the field ``signature`` does: the first that needs a key pair makes it, and it is kept from then on."""
    wanted = "v1" if value is None else value
    if wanted not in SIGNATURES:
        raise InputError(
            "There is no such signature.",
            field="signature",
            expected="one of " + " ".join(SIGNATURES),
            received=wanted[:40] if isinstance(wanted, str) else type_name(wanted),
        )
    if wanted == "v1" or webhook.sealed_signing_key is not None:
        return {"signature": wanted}
    return {"signature": wanted, **new_pair(vault)}


def with_own_key(vault: Vault, webhook: Webhook, fields: Mapping[str, Any]) -> tuple[Webhook, dict[str, Any]]:
    """Take the owner's own key, the field ``signing_key``, out of the fields that are to be changed and put it into a
    webhook that has none; without a word about ``signature`` it signs alone from then on. Raises InputError.
    """
    rest = {name: value for name, value in fields.items() if name != "signing_key"}
    own = fields.get("signing_key")
    if own is None:
        return webhook, rest
    if webhook.sealed_signing_key is not None:
        raise InputError(
            "A signing key is changed by POST …/secret/rotate.",
            field="signing_key",
            expected="left out",
            received=type_name(own),
        )
    if rest.setdefault("signature", "v1a") in {"v1", None}:
        raise InputError(
            "A signing key signs with v1a.", field="signature", expected="v1a or both", received="v1"
        )
    return msgspec.structs.replace(webhook, **pair_of(vault, own)), rest


def new_pair(vault: Vault) -> dict[str, Any]:
    """Fields of a fresh key pair."""
    return pair_of(vault, new_signing_key(secrets.token_bytes(32)))


def pair_of(vault: Vault, text: str) -> dict[str, Any]:
    """Fields of the key pair of a private key, ``whsk_…``. Raises InputError, which never repeats it."""
    return {
        "sealed_signing_key": vault.seal(text.encode(), SIGNING_KEY),
        "public_key": SigningKey(text).public_text,
    }


def rotated(vault: Vault, webhook: Webhook, own: str | None) -> dict[str, Any]:
    """Fields of a webhook whose key pair is rotated; none where it has none. own: the new private key, None for a fresh
    one. Raises InputError.
    """
    if webhook.sealed_signing_key is None:
        if own is not None:
            raise InputError(
                "This webhook signs with its secret only; set its signature to v1a or both first.",
                field="signing_key",
                expected="left out",
                received="string",
            )
        return {}
    return {
        "sealed_previous_signing_key": webhook.sealed_signing_key,
        "previous_public_key": webhook.public_key,
        **(new_pair(vault) if own is None else pair_of(vault, own)),
    }
