"""Which key seals secrets at rest: the operator's, or on SQLite one that is made and kept beside the database.

``FILE.key`` holds the key, readable by its owner alone. While another takes over from it (``hookline keys
rotate-secret``) the one before is in ``FILE.key.previous``, and both open what they sealed:

| files | means |
|---|---|
| ``.key`` | the usual state |
| ``.key``, ``.key.next`` | a new key was made and is not in use; it is taken when the change is begun again |
| ``.key`` and ``.key.previous`` alike, ``.key.next`` | the new key is about to take its place |
| ``.key`` and ``.key.previous`` differ | secrets are being resealed |

Each step is one durable rename or write, so a crash leaves one of these. Nothing here opens a database.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from pydantic import SecretStr

from hookline.config import expected_of
from hookline.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.config import Settings

_LEAST_CHARACTERS = 16


def secret_key_of(settings: Settings) -> SecretStr:
    """Return the key that seals secrets at rest; on SQLite make and keep one where there is none.

    Raises SettingError: absent on PostgreSQL, unreadable, or missing beside a database sealed with one.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    if not settings.is_sqlite:
        expected = expected_of("secret_key")
        raise SettingError(
            f"HOOKLINE_SECRET_KEY must be {expected} on PostgreSQL, the same on every node, got nothing",
            field="secret_key",
            expected=expected,
            received="nothing",
        )
    path = _key_path(settings)
    try:
        return _kept_key(path, settings.sqlite_path)
    except OSError as error:
        raise _unusable(path, error) from error


def previous_secret_key_of(settings: Settings) -> SecretStr | None:
    """Return the key that the present one takes over from, None when no change is under way. Raises SettingError."""
    if settings.secret_key_previous is not None or settings.secret_key is not None or not settings.is_sqlite:
        return settings.secret_key_previous
    path = _beside(_key_path(settings), ".previous")
    try:
        return SecretStr(_read(path)) if path.exists() else None
    except OSError as error:
        raise _unusable(path, error) from error


def change_kept_key(settings: Settings) -> None:
    """Put a new key into the file, the one before beside it; go on where a crash ended the same. The caller holds the
    database's lock. Raises SettingError.
    """
    path = _key_path(settings)
    following, previous = _beside(path, ".next"), _beside(path, ".previous")
    try:
        if previous.exists() and _read(previous) != _read(path):
            return
        if not following.exists():
            _write_whole(following, secrets.token_urlsafe(32) + "\n")
        if not previous.exists():
            _write_whole(previous, _read(path) + "\n")
        following.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


def forget_previous_key_file(settings: Settings) -> None:
    """Remove the key that was taken over from: nothing sealed with it is left."""
    path = _key_path(settings)
    _beside(path, ".previous").unlink(missing_ok=True)
    _sync_folder(path.parent)


def _key_path(settings: Settings) -> Path:
    return settings.sqlite_path.with_name(settings.sqlite_path.name + ".key")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _kept_key(path: Path, database: Path) -> SecretStr:
    if path.exists():
        return SecretStr(_read(path))
    if database.exists() and database.stat().st_size > 0:
        raise SettingError(
            f"{path} must be the key that sealed {database.name}, got no such file: put it back beside the "
            "database, or set HOOKLINE_SECRET_KEY to what it held",
            field="secret_key",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = secrets.token_urlsafe(32)
    _write_durably(path, text + "\n")
    return SecretStr(text)


def _read(path: Path) -> str:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if len(text) < _LEAST_CHARACTERS:
        raise SettingError(
            f"{path} must hold at least {_LEAST_CHARACTERS} characters, got {len(text)}", field="secret_key"
        )
    return text


def _write_durably(path: Path, text: str) -> None:
    # Readable by its owner from its first moment, and on disk before anything is sealed with it. Never over another: of
    # two first starts at once, one is refused.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _write_whole(path: Path, text: str) -> None:
    """Write it under another name until it is whole: half a key after a crash would look like one."""
    partial = _beside(path, ".partial")
    partial.unlink(missing_ok=True)
    _write_durably(partial, text)
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, error: OSError) -> SettingError:
    return SettingError(
        f"{path} must be a file that can be read, or made: {error.strerror}", field="secret_key"
    )
