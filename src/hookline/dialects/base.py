"""What a dialect is, and what all of them share: options, signing headers and the body of a batch.

A dialect words every event and refuses none. Its body is a pure function of the stored event, its stored execution
and the revision of the webhook, so every attempt sends the same bytes; timestamp and signature are made for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import msgspec

from hookline.core.canonical import type_name
from hookline.core.signing import AGENTICFLOW_HEADER, Signer
from hookline.errors import InputError

if TYPE_CHECKING:
    from hookline.core.retry import RetrySchedule
    from hookline.model.events import Event
    from hookline.model.executions import Execution

Trim = Callable[[Any], Any]
"""A compiled filter (``core.filters``): decoded data to what the webhook gets of it."""

BATCH_CONTENT_TYPE: Final = "application/json"
"""Of a batch in every dialect: its frame is ours, whatever stands inside."""

HeaderList = list[tuple[str, str]]

quoted: Final = msgspec.json.Encoder().encode
"""JSON text of a string, with JSON.stringify's escapes."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """What of a webhook's revision words a body.

    webhook_id: public.  trim: its filter, None without one.  options: its ``dialect_options``, checked.
    base_url: where people reach this server, without a final slash; empty when that is not known.
    """

    webhook_id: str
    trim: Trim | None = None
    options: Mapping[str, Any] = {}
    base_url: str = ""


class Dialect(Protocol):
    """One system's wording.

    name: as webhooks name it.  timeout_seconds: for one attempt.  max_redirects: hops that may be followed.
    tells_ends_only: started and step events match none of its webhooks, and a body may need the event's execution.
    disables_misconfigured: several events in a row that find no receiver disable a webhook (PB-11).
    rounds_numbers: data is written for JavaScript, also where that changes a number (AF-X1).
    options: name to the values it may take, the default first.
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
    @property
    def tells_ends_only(self) -> bool: ...
    @property
    def disables_misconfigured(self) -> bool: ...
    @property
    def rounds_numbers(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, tuple[Any, ...]]: ...

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:
        """The exact bytes to send. execution: that of the event, as stored; None when it has none."""
        ...

    def event_headers(self, event: Event) -> HeaderList:
        """Headers that tell what the body does not."""
        ...

    def batch_item(self, event: Event, body: bytes) -> bytes:
        """An event's body as an element of a batch: it tells the event's id, since the headers tell the batch's."""
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


class BaseDialect:
    """What the dialects have in common."""

    name: str
    schedule: RetrySchedule
    timeout_seconds: float = 30.0
    max_redirects: int = 0
    content_type: str = "application/json"
    tells_ends_only: bool = False
    disables_misconfigured: bool = False
    rounds_numbers: bool = False
    options: Mapping[str, tuple[Any, ...]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def event_headers(self, event: Event) -> HeaderList:  # noqa: ARG002 -- most bodies name the type
        return []

    def batch_item(self, event: Event, body: bytes) -> bytes:
        return b'{"id":%b,%b' % (quoted(event.public_id), body[1:])

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


def type_header(event: Event) -> tuple[str, str]:
    """The event's type for bodies that do not name it; what is not visible ASCII is percent-encoded, and so is %."""
    return "Hookline-Event", quote(event.type, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}")


def option(dialect: Dialect | BaseDialect, to: Recipient, name: str) -> Any:
    """The value of an option: the webhook's, else the default."""
    return to.options.get(name, dialect.options[name][0])


def check_options(dialect: Dialect, given: Any, field: str = "dialect_options") -> dict[str, Any]:
    """Return a webhook's options for a dialect. None means none. Raises InputError below ``field``."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InputError("Options are an object.", field=field, expected="object", received=type_name(given))
    for name, value in given.items():
        allowed = dialect.options.get(name)
        if allowed is None:
            known = " ".join(dialect.options)
            raise InputError(
                f"The dialect {dialect.name} has no option '{name[:40]}'.",
                code="UNKNOWN_FIELD",
                field=f"{field}.{name[:40]}",
                expected=f"one of {known}" if known else "no option",
                received=type_name(value),
            )
        # By type as well: True equals 1, and is none.
        if not any(type(value) is type(one) and value == one for one in allowed):
            shown = value[:40] if isinstance(value, str) else _shown(value)
            raise InputError(
                f"'{field}.{name}' has no such value.",
                field=f"{field}.{name}",
                expected="one of " + " ".join(_shown(one) for one in allowed),
                received=shown,
            )
    return dict(given)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return quoted(value).decode() if isinstance(value, int) else type_name(value)


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
