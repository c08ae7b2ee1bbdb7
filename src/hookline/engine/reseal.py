"""Reseal: every secret at rest under the newest ``HOOKLINE_SECRET_KEY``, so that the one before it can be forgotten.

Nodes are given both keys first (``HOOKLINE_SECRET_KEY_PREVIOUS``): they seal with the new one and open with either, so
nothing stops while this runs. It walks through the tables in transactions of a hundred rows and says how far it came.
Whoever is interrupted begins again: what is sealed with the new key is left alone. A pass that finds nothing to do
is the last; it comes a moment after the one before it, because a change of configuration that was read before a row
was resealed and written after it brings the old value back.

Sealed values in documents are found by the names of their fields, and replaced within the stored text, which stays
as it is otherwise.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.engine import vault as contexts
from hookline.engine.manage.start import forget_previous_key
from hookline.engine.vault import SealBrokenError
from hookline.errors import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.engine.vault import Vault
    from hookline.ports import Store

FIELDS: Final[dict[str, bytes]] = {
    "sealed": contexts.TRIGGER_OPTIONS,
    "sealed_authentication": contexts.AUTHENTICATION,
    "sealed_config": contexts.INSTANCE_CONFIG,
    "sealed_keys": contexts.INSTANCE_KEYS,
    "sealed_previous_secret": contexts.SIGNING_SECRET,
    "sealed_previous_signing_key": contexts.SIGNING_KEY,
    "sealed_secret": contexts.SIGNING_SECRET,
    "sealed_signing_key": contexts.SIGNING_KEY,
    "sealed_states": contexts.INSTANCE_STATES,
    "sealed_tls": contexts.CERTIFICATES,
}
"""Names of fields that hold a sealed value as base64, to its context in the vault."""

_TABLES: Final = ("documents", "document_revisions", "onces")
_ROWS_AT_ONCE: Final = 100
_ID_BYTES: Final = 16
"""Shorter than anything that is sealed."""
_REST_SECONDS: Final = 0.5
"""Before the next pass: longer than a change of configuration takes from its read to its write."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it came. next: give it back to go on, None when all is done.

    seen, resealed: rows of this call.  unreadable: values of this call that neither key opens; they are left alone.
    """

    seen: int = 0
    resealed: int = 0
    unreadable: int = 0
    next: str | None = None


class _Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a walk is. changed: rows resealed in this pass."""

    table: int = 0
    after: bytes | None = None
    changed: int = 0


async def reseal(store: Store, vault: Vault, *, since: str | None, seconds: float) -> Progress:
    """Go on with a walk for about so long. since: ``next`` of the call before, None for the beginning.

    Raises ConflictError when this node knows one key only, InputError for a ``since`` that is none, StorageError.
    """
    if not vault.has_previous_key:
        raise ConflictError(
            "This node knows one secret key only. Where Hookline keeps the key beside a SQLite file, stop the server "
            "and give the command again; elsewhere set HOOKLINE_SECRET_KEY to the new key and "
            "HOOKLINE_SECRET_KEY_PREVIOUS to the present one, and start it again first.",
            code="NO_PREVIOUS_KEY",
        )
    walk = _Walk(vault)
    mark, ends_at = _mark_from(since), time.monotonic() + seconds
    seen = resealed = 0
    while time.monotonic() < ends_at:
        table = _TABLES[mark.table]
        change = walk.answer if table == "onces" else walk.document
        step = await store.reseal(table, after=mark.after, limit=_ROWS_AT_ONCE, change=change)
        seen, resealed = seen + step.seen, resealed + step.changed
        mark = _Mark(mark.table, step.after, mark.changed + step.changed)
        if step.after is not None:
            continue
        if mark.table + 1 < len(_TABLES):
            mark = _Mark(mark.table + 1, None, mark.changed)
        elif mark.changed:
            mark = _Mark()
            await asyncio.sleep(_REST_SECONDS)
        else:
            await forget_previous_key(store, vault)
            return Progress(seen=seen, resealed=resealed, unreadable=walk.unreadable)
    return Progress(seen=seen, resealed=resealed, unreadable=walk.unreadable, next=_text_of(mark))


class _Walk:
    """Reseals values, and counts those that cannot be."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.unreadable = 0

    def answer(self, value: bytes) -> bytes | None:
        # What was started leaves a mark that holds the id of an execution or nothing (calls.py, rerun.py).
        return None if len(value) <= _ID_BYTES else self._again(value, contexts.ANSWER)

    def document(self, text: bytes) -> bytes | None:
        """Return a document's text with the values in it resealed, None when none had to be."""
        fresh = text
        for value, context in _sealed_in(msgspec.json.decode(text)):
            again = self._again(b64decode(value), context)
            if again is not None:
                fresh = fresh.replace(value.encode(), b64encode(again))
        return None if fresh is text else fresh

    def _again(self, sealed: bytes, context: bytes) -> bytes | None:
        try:
            return self._vault.reseal(sealed, context)
        except SealBrokenError:
            self.unreadable += 1
            return None


def _sealed_in(value: Any) -> Iterator[tuple[str, bytes]]:
    """Every sealed value in a document, as base64, with its context."""
    if isinstance(value, list):
        for item in value:
            yield from _sealed_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            context = FIELDS.get(name)
            if context is not None and isinstance(item, str):
                yield item, context
            else:
                yield from _sealed_in(item)


def _text_of(mark: _Mark) -> str:
    return b64encode(msgspec.msgpack.encode(mark), b"-_").decode()


def _mark_from(text: str | None) -> _Mark:
    if text is None:
        return _Mark()
    try:
        mark = msgspec.msgpack.decode(b64decode(text, b"-_", validate=True), type=_Mark)
    except (Base64Error, ValueError, msgspec.DecodeError) as exc:
        raise InputError(
            "This is not where a walk was.", field="since", expected="next of an answer"
        ) from exc
    if not 0 <= mark.table < len(_TABLES):
        raise InputError("This is not where a walk was.", field="since", expected="next of an answer")
    return mark
