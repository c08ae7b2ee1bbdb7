"""What is kept of requests: accepted ones whole, refused ones with the reason, never a credential.

A refused request is kept under its trigger when that is known; else, some a second only, under the installation's
first organization, since an unknown caller must not fill anyone's database. A trigger may ask that none is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.api.call import MOST_KEPT_BYTES
from hookline.api.errors import status_of
from hookline.core.redact import redact_path, redact_query
from hookline.engine.manage.start import default_organization
from hookline.errors import HooklineError, StorageError, UnroutableError
from hookline.model.executions import TriggerRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.api.call import Call, Gatekeeper
    from hookline.api.services import Site
    from hookline.model.configuration import Stored, Trigger
    from hookline.model.ids import Key

MOST_PATH: Final = 1_024
MOST_QUERY: Final = 4_096
"""Bytes of a URL's path and of its query that are kept."""


def record_of(
    call: Call,
    organization_id: Key,
    *,
    status: int,
    reason: str | None = None,
    most_bytes: int | None = None,
    body_blob: str | None = None,
) -> TriggerRequest:
    """Return the request for the record. most_bytes: of its body, None for all.  body_blob: what has the body, None
    for what it was taken in to.
    """
    scope = call.request.scope
    path = (scope.get("raw_path") or call.request.path.encode()).decode("latin-1")
    return TriggerRequest(
        id=call.request_id,
        organization_id=organization_id,
        trigger_id=call.trigger.id if call.trigger is not None else None,
        execution_id=None,
        received_at=call.received_at,
        method=call.request.method,
        path=redact_path(path)[:MOST_PATH],
        query=redact_query(scope.get("query_string", b"").decode("latin-1"))[:MOST_QUERY],
        headers=call.headers,
        body=call.body if most_bytes is None else call.body[:most_bytes],
        remote_address=call.remote_address,
        status=status,
        reason=reason,
        body_size=call.body_size,
        body_blob=call.kept.id
        if body_blob is None and call.kept is not None and reason is None
        else body_blob,
    )


def _keeps_refused(call: Call) -> bool:
    return call.trigger is None or bool(call.trigger.document.settings.get("keep_refused", True))


async def keep_refused(
    site: Site,
    gatekeeper: Gatekeeper,
    call: Call,
    error: HooklineError,
    explain: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Keep a refused request with its reason, if there is room for one more.

    explain: says more than the error's message, at a cost that is paid for a few kept ones only.
    """
    if isinstance(error, StorageError | UnroutableError) or not _keeps_refused(call):
        return  # nothing can be kept now, and the caller was told to come again; or it is kept already
    trigger = call.trigger
    source = b"" if trigger is None else trigger.id
    room = gatekeeper.room_for(source, len(call.body), site.services.clock.elapsed())
    if room is None:
        return
    if trigger is not None:
        organization_id: Key | None = trigger.organization_id
    else:
        organization_id = await default_organization(site.services.store)
    if organization_id is not None:
        words = await explain() if explain is not None and room.is_explained else error.message
        reason = f"{error.code}: {words}"
        record = record_of(
            call, organization_id, status=status_of(error), reason=reason, most_bytes=room.body_bytes
        )
        await site.services.keep_request(record)


async def keep_unroutable(
    site: Site, call: Call, found: Stored[Trigger], error: UnroutableError
) -> str | None:
    """Keep a request that names no flow that is here, all of it, to be routed again (PR-X8). Returns the blob that is
    kept for it, None for none. Raises StorageError: its sender must come again.

    However many there are, they are kept: the trigger's rate bounds them, as it does those that start something.
    """
    if not _keeps_refused(call):
        return None
    blob = await _blob_of(site, call)
    record = record_of(
        call,
        found.organization_id,
        status=status_of(error),
        reason=error.reason,
        most_bytes=MOST_KEPT_BYTES if blob is None else 0,
        body_blob=blob,
    )
    await site.services.keep_request(record, is_owed=True)
    return blob


async def _blob_of(site: Site, call: Call) -> str | None:
    """Return the blob that has the body; None for one that its row has room for, and where nothing else is kept."""
    blobs = site.services.blobs
    if call.kept is not None or blobs is None or len(call.body) <= MOST_KEPT_BYTES:
        return None if call.kept is None else call.kept.id
    sink = await blobs.sink()
    try:
        await sink.write(call.body)
        return (await sink.finish()).id
    except BaseException:
        await sink.abort()
        raise
