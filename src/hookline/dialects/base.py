"""What a dialect is, and what all of them share: signing headers and the body of a batch.

A dialect words every event and refuses none. Its body is a pure function of the event, the webhook's id and the
webhook's filter, so every attempt sends the same bytes; timestamp and signature are made for each attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from hookline.core.signing import AGENTICFLOW_HEADER, Signer

if TYPE_CHECKING:
    from hookline.core.retry import RetrySchedule
    from hookline.model.events import Event

Trim = Callable[[Any], Any]
"""A compiled filter (``core.filters``): decoded data to what the webhook gets of it."""

HeaderList = list[tuple[str, str]]

quoted: Final = msgspec.json.Encoder().encode
"""JSON text of a string, with JSON.stringify's escapes."""


class Dialect(Protocol):
    """One system's wording.

    name: as webhooks name it.  timeout_seconds: for one attempt.  max_redirects: hops that may be followed.
    """

    @property
    def name(self) -> str: ...
    @property
    def schedule(self) -> RetrySchedule: ...
    @property
    def timeout_seconds(self) -> float: ...
    @property
    def max_redirects(self) -> int: ...
    @property
    def content_type(self) -> str: ...

    def body(self, event: Event, webhook_id: str, trim: Trim | None) -> bytes:
        """The exact bytes to send. webhook_id: public.  trim: None when the webhook has no filter."""
        ...

    def signature_headers(
        self,
        *,
        secret: Signer | str,
        previous_secret: Signer | str | None,
        message_id: str,
        timestamp: int,
        body: bytes,
    ) -> HeaderList:
        """The signing headers of one attempt, see ``signature_headers`` below."""
        ...


class JsonDialect:
    """What the dialects with a JSON body have in common."""

    name: str
    schedule: RetrySchedule
    timeout_seconds: float = 30.0
    max_redirects: int = 0
    content_type: str = "application/json"

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def signature_headers(
        self,
        *,
        secret: Signer | str,
        previous_secret: Signer | str | None,
        message_id: str,
        timestamp: int,
        body: bytes,
    ) -> HeaderList:
        return signature_headers(
            self.name, secret, message_id=message_id, timestamp=timestamp, body=body, previous=previous_secret
        )


def signature_headers(
    dialect_name: str,
    signer: Signer | str,
    *,
    message_id: str,
    timestamp: int,
    body: bytes,
    previous: Signer | str | None = None,
) -> HeaderList:
    """Return the headers that sign one attempt (CONTRACT section 5, PROMISES P12).

    message_id: the event's public id, or the batch's.  timestamp: whole seconds, of this attempt.
    previous: the old secret while a rotation's window is open, else None. The Standard header then carries both
    signatures, the new one first; the AgenticFlow header holds only one and stays with the old secret.
    """
    signer = signer_of(signer)
    old = None if previous is None else signer_of(previous)
    signature = signer.standard(message_id, timestamp, body)
    if old is not None:
        signature += " " + old.standard(message_id, timestamp, body)
    headers = [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature),
    ]
    if dialect_name == "agenticflow":
        headers.append((AGENTICFLOW_HEADER, (old or signer).agenticflow(body)))
    return headers


def signer_of(secret: Signer | str) -> Signer:
    """The signer of a secret; kept for the secrets used lately, because preparing keys costs as much as signing."""
    return secret if isinstance(secret, Signer) else _prepared(secret)


@lru_cache(maxsize=2048)
def _prepared(secret: str) -> Signer:
    return Signer(secret)


def batch_body(batch_id: str, webhook_id: str, bodies: Sequence[bytes]) -> bytes:
    """Return the body of a batch: ``{"batch_id","webhook_id","count","events":[…]}`` (SEEDS AF-X7).

    bodies: what each event's own body would have been, in order.
    """
    return b'{"batch_id":%b,"webhook_id":%b,"count":%d,"events":[%b]}' % (
        quoted(batch_id),
        quoted(webhook_id),
        len(bodies),
        b",".join(bodies),
    )
