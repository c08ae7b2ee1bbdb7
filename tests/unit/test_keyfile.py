"""The key beside a SQLite database: made once, kept for its owner, changed without losing a secret."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from hookline.config import Settings
from hookline.errors import SettingError
from hookline.keyfile import (
    change_kept_key,
    forget_previous_key_file,
    previous_secret_key_of,
    secret_key_of,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_on_sqlite_the_secret_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(database=f"sqlite:///{tmp_path}/a.db")

    first = secret_key_of(settings)

    kept = tmp_path / "a.db.key"
    assert secret_key_of(settings) == first
    assert kept.read_text().strip() == first.get_secret_value()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_database_whose_key_file_is_gone_is_refused_instead_of_sealed_with_another(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"rows")

    with pytest.raises(SettingError, match=r"a\.db\.key must be the key that sealed a\.db"):
        secret_key_of(Settings(database=f"sqlite:///{tmp_path}/a.db"))


def test_on_postgresql_the_secret_key_must_be_given() -> None:
    with pytest.raises(
        SettingError, match="HOOKLINE_SECRET_KEY must be at least 16 characters on PostgreSQL"
    ):
        secret_key_of(Settings(database="postgresql://db/hookline"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database=f"sqlite:///{tmp_path}/a.db")


def keys(settings: Settings) -> tuple[str, str | None]:
    previous = previous_secret_key_of(settings)
    present = secret_key_of(settings).get_secret_value()
    return present, None if previous is None else previous.get_secret_value()


def test_a_changed_key_keeps_the_one_before_until_it_is_forgotten(settings: Settings, tmp_path: Path) -> None:
    first, _ = keys(settings)
    change_kept_key(settings)
    second, previous = keys(settings)
    change_kept_key(settings)  # begun again: the change under way goes on
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.key*")}
    again = keys(settings)
    forget_previous_key_file(settings)

    assert previous == first != second
    assert again == (second, first)
    assert keys(settings) == (second, None)
    assert modes == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["a.db.key"]


@pytest.mark.parametrize("calls", range(12))
def test_a_crash_at_any_step_loses_no_key(
    settings: Settings, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file operation may be the last; the first key opens what it sealed until the end, and the change ends."""
    first, _ = keys(settings)
    left = calls

    def failing(name: str) -> None:
        real = getattr(os, name)

        def once(*arguments: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, once)

    for name in ("open", "fsync", "replace"):
        failing(name)
    with contextlib.suppress(KeyboardInterrupt):
        change_kept_key(settings)
    monkeypatch.undo()
    assert first in keys(settings)
    change_kept_key(settings)
    second, previous = keys(settings)

    assert previous == first != second
