"""Payloads too large to push: the request carries a link to the body, its size and its digest, and is signed.

The body is not kept for that: it is worded again when it is fetched, from the same event and the same revision of the
webhook, so it is byte for byte what the request would have carried. The link is a function of the delivery, so every
attempt sends the same bytes. It ends with its delivery, or after LIFETIME.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.times import rfc3339
from hookline.model.ids import parse, public

if TYPE_CHECKING:
    from hookline.engine.vault import Vault
    from hookline.model.events import Delivery, Event
    from hookline.model.ids import Key
    from hookline.ports import Clock

LARGE_BYTES: Final = 256 * 1024
"""A body larger than this is linked to, where the webhook asks for that."""

LIFETIME: Final = timedelta(days=30)
"""As of results and files (PR-13b); retention may delete the event earlier."""

LINKS: Final = "/payloads/"

CONTENT_TYPE: Final = "application/json"

_OPENING: Final = b'{"payload_url":'


class _Link(msgspec.Struct, frozen=True):
    """The body in place of the body. Its first member tells it from any that a dialect words."""

    payload_url: str
    payload_sha256: str
    payload_size: int
    payload_content_type: str
    expires_at: str
    type: str
    id: str | None
    delivery_id: str


def is_link(body: bytes) -> bool:
    """Say whether a body is a link to the real one."""
    return body.startswith(_OPENING)


class PayloadLinks:
    """One per node. url: where this server is reached."""

    def __init__(self, *, vault: Vault, clock: Clock, url: str) -> None:
        self._vault = vault
        self._clock = clock
        self._url = url

    def __repr__(self) -> str:
        return f"PayloadLinks({self._url})"

    def body(self, delivery: Delivery, event: Event | None, whole: bytes, content_type: str) -> bytes:
        """What is sent in place of ``whole``. event: None for a batch."""
        expires_at = delivery.created_at + LIFETIME
        path = f"{LINKS}{public('organization', delivery.organization_id)}/{public('delivery', delivery.id)}"
        expires, token = self._vault.sign_link(path, expires_at).split(".", 1)
        return msgspec.json.encode(
            _Link(
                payload_url=f"{self._url}{path}?expires={expires}&token={token}",
                payload_sha256=hashlib.sha256(whole).hexdigest(),
                payload_size=len(whole),
                payload_content_type=content_type,
                expires_at=rfc3339(expires_at),
                type=delivery.event_type,
                id=None if event is None else event.public_id,
                delivery_id=public("delivery", delivery.id),
            )
        )

    def opened(self, path: str, *, expires: str, token: str) -> tuple[Key, Key] | None:
        """(organization, delivery) of a link that is ours and has not expired, else None."""
        if not self._vault.verify_link(path, f"{expires}.{token}", self._clock.now()):
            return None
        organization, _, delivery = path.removeprefix(LINKS).partition("/")
        organization_id, delivery_id = parse("organization", organization), parse("delivery", delivery)
        return None if organization_id is None or delivery_id is None else (organization_id, delivery_id)
