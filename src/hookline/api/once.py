"""What makes a request happen once: its Idempotency-Key, or what its sender names it by.

Never the hash of a body: two equal orders are two orders. The same key with another body is a conflict; the sender's
own id decides alone, since a redelivery may differ in its bytes.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hookline.api.inbound import idempotency_key
from hookline.api.publish import ONCE_WINDOW
from hookline.core.routing import resolve
from hookline.ports import Once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hookline.api.call import Call
    from hookline.api.inbound import Inbound
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.executions import Automation
    from hookline.model.ids import Key

_BY_KEY: Final = "key "
_BY_NAME: Final = "dedupe "


def once_of(
    trigger: Stored[Trigger],
    call: Call,
    value: Any,
    now: datetime,
    *,
    place: bytes | None = None,
    default: str | None = None,
) -> Once | None:
    """Return what makes this request happen once, None when nothing does. Raises InputError.

    value: the parsed body, for a dedupe by path.  place: of the flow, since customers who share a URL have keys and
    ids of their own; None where the URL has one automation.  default: the sender's own id as its signature scheme or
    the flow's queue has it, for a trigger that does not say what it dedupes by.
    """
    within = "" if place is None else f"{place.hex()} "
    request = call.request
    key = idempotency_key(request.headers.get(b"idempotency-key"))
    if key is not None:
        return Once(
            scope=trigger.id,
            name=f"{_BY_KEY}{within}{key}",
            digest=call.digest,
            answer=b"",
            expires_at=now + ONCE_WINDOW,
        )
    dedupe: Mapping[str, Any] | None = trigger.document.settings.get("dedupe")
    if dedupe is None:
        return None if default is None else named(trigger.id, within + default, now + ONCE_WINDOW)
    mark = _mark(dedupe, request, value)
    if mark is None:
        return None
    window = timedelta(seconds=dedupe.get("window_seconds") or ONCE_WINDOW.total_seconds())
    return named(trigger.id, within + mark, now + window)


def queue_name(automation: Automation, place: bytes, payload: Callable[[], Mapping[str, Any]]) -> str | None:
    """Return what a flow's queue takes once (PR-19), None when it or the request names nothing.

    place: where its turns count: customers who share a URL have ids of their own.
    """
    if automation.queue is None or automation.queue.dedupe_id is None:
        return None
    found = resolve(automation.queue.dedupe_id, payload())
    return None if found is None else f"{place.hex()} {found}"


def named(scope: Key, name: str, expires_at: datetime) -> Once:
    """Return what makes a request of this name happen once in a scope."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return Once(
        scope=scope, name=f"{_BY_NAME}{digest.hex()}", digest=digest, answer=b"", expires_at=expires_at
    )


def is_by_key(once: Once) -> bool:
    """Say whether an Idempotency-Key makes it happen once: then a repeat gets the first answer to the letter."""
    return once.name.startswith(_BY_KEY)


def _mark(dedupe: Mapping[str, Any], request: Inbound, value: Any) -> str | None:
    """Return what the sender names its delivery by, None when it does not."""
    if "header" in dedupe:
        wanted = str(dedupe["header"]).lower().encode("latin-1", "replace")
        found = [item for name, item in request.scope["headers"] if name == wanted]
        return found[0].decode("latin-1") if found and found[0] else None
    for part in str(dedupe["path"]).split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int | float) and value != "" else None
