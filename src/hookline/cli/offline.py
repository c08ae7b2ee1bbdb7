"""Open the database file itself, for the few commands that must work while no server runs.

The rescue case: the admin key is lost and nobody can ask the server for another. The store takes the file's lock,
so this can never happen beside a running server; on PostgreSQL, and when ``HOOKLINE_URL`` names a server, it is
not tried at all.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hookline.cli.client import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from hookline.cli.client import NoServerError
    from hookline.config import Settings
    from hookline.model.ids import Key
    from hookline.ports import Store

T = TypeVar("T")


def create_key(
    reason: NoServerError, *, name: str, scopes: list[str], expires_at: str | None
) -> dict[str, Any]:
    """Make a key of the installation's first organization. Raises ``reason`` when there is no file to open."""
    from hookline.engine.clock import SystemClock
    from hookline.engine.manage.keys import create_key as make
    from hookline.model.ids import public

    async def act(store: Store, organization_id: Key) -> dict[str, Any]:
        until = None if expires_at is None else datetime.fromisoformat(expires_at)
        stored, text = await make(
            store, organization_id, name=name, scopes=scopes, expires_at=until, now=SystemClock().now()
        )
        return {"id": public("api_key", stored.id), "key": text, "scopes": list(stored.document.scopes)}

    return _with_store(reason, act)


def rotate_secret(reason: NoServerError) -> tuple[int, int, int, str]:
    """Reseal every secret, with a new key where it is kept beside the file. Raises ``reason`` without one.

    Returns rows read, rows resealed, values that no key opens, and what is to be done next.
    """
    from hookline.adapters import open_vault
    from hookline.config import load_settings
    from hookline.engine.clock import SystemClock
    from hookline.engine.manage.start import prepare
    from hookline.engine.reseal import reseal
    from hookline.keyfile import change_kept_key, forget_previous_key_file

    async def act(store: Store, _: Key) -> tuple[int, int, int, str]:
        settings = load_settings()
        is_kept_here = settings.secret_key is None
        if is_kept_here:
            change_kept_key(settings)
        vault = open_vault(settings)
        await prepare(store, vault, clock=SystemClock())
        seen = resealed = unreadable = 0
        since: str | None = None
        while True:
            progress = await reseal(store, vault, since=since, seconds=60)
            seen, resealed = seen + progress.seen, resealed + progress.resealed
            unreadable, since = unreadable + progress.unreadable, progress.next
            if since is None:
                break
        if not is_kept_here:
            return seen, resealed, unreadable, "Take HOOKLINE_SECRET_KEY_PREVIOUS away."
        forget_previous_key_file(settings)
        place = settings.sqlite_path.with_name(settings.sqlite_path.name + ".key")
        return (
            seen,
            resealed,
            unreadable,
            f"The new key is in {place}: keep a copy apart from the database's.",
        )

    return _with_store(reason, act)


def backup(reason: NoServerError, target: Path) -> dict[str, Any]:
    """Copy the database. Raises ``reason`` when there is no file to open, CommandError when no folder to write to."""
    if not target.parent.is_dir():
        raise CommandError(f"there is no folder {target.parent}: make it first")

    async def act(store: Store, _: Key) -> None:
        await store.backup(target)

    _with_store(reason, act)
    return {"target": str(target), "bytes": target.stat().st_size}


def _with_store(reason: NoServerError, act: Callable[[Store, Key], Awaitable[T]]) -> T:
    from hookline.config import load_settings

    settings = load_settings()
    if "HOOKLINE_URL" in os.environ or not settings.is_sqlite or not settings.sqlite_path.exists():
        raise reason
    return asyncio.run(_act(settings, act))


async def _act(settings: Settings, act: Callable[[Store, Key], Awaitable[T]]) -> T:
    from hookline.adapters import open_store
    from hookline.engine.clock import SystemClock
    from hookline.engine.manage.start import default_organization

    store = open_store(settings, SystemClock())
    await store.open()
    try:
        organization_id = await default_organization(store)
        if organization_id is None:
            raise CommandError("the database was never served: start it once with `hookline serve`")
        return await act(store, organization_id)
    finally:
        await store.close()
