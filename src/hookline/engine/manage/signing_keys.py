"""The key pair of a webhook whose receiver checks signatures with a public key (Standard Webhooks, ``v1a``).

The private key is made here, sealed, and never shown to anybody; the public one is for everybody.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.core.signing import SigningKey, new_signing_key
from hookline.engine.vault import SIGNING_KEY
from hookline.errors import InputError

if TYPE_CHECKING:
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


def new_pair(vault: Vault) -> dict[str, Any]:
    """Fields of a fresh key pair."""
    text = new_signing_key(secrets.token_bytes(32))
    return {
        "sealed_signing_key": vault.seal(text.encode(), SIGNING_KEY),
        "public_key": SigningKey(text).public_text,
    }


def rotated(vault: Vault, webhook: Webhook) -> dict[str, Any]:
    """Fields of a webhook whose key pair is rotated; none where it has none."""
    if webhook.sealed_signing_key is None:
        return {}
    return {
        "sealed_previous_signing_key": webhook.sealed_signing_key,
        "previous_public_key": webhook.public_key,
        **new_pair(vault),
    }
