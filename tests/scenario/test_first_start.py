"""The first start of ``hookline serve``: its admin key is shown, and what hinders it is said in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

APP = "from hookline import App\n\napp = App()\n"


def serve(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``hookline serve`` as a user does, without a key of their own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hookline", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={name: text for name, text in os.environ.items() if not name.startswith("HOOKLINE_")},
    )


def refused(folder: Path, *arguments: str) -> list[str]:
    """Start, and return the lines that say why not, without the log."""
    with serve(folder, *arguments) as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    return [line for line in said.splitlines() if not line.startswith("{")]


def shown_at_start(folder: Path) -> str:
    """Start on a free port, stop, and return what was printed."""
    with serve(folder, "app.py", "--port", "0") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    return first + rest


def test_the_key_is_shown_by_the_first_start_that_succeeds(tmp_path: Path) -> None:
    """A start that fails makes no key: nobody would ever see it."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen on" in refused(tmp_path, "app.py", "--port", str(taken.getsockname()[1]))[0]
    assert not (tmp_path / "hookline.db").exists()
    refused(tmp_path, "missing.py", "--port", "0")
    refused(tmp_path, "broken.py", "--port", "0")

    assert "admin key  hlk_" in shown_at_start(tmp_path)
    assert "admin key" not in shown_at_start(tmp_path)


def test_a_database_in_no_folder_is_refused(tmp_path: Path) -> None:
    """A mistyped path must not begin an empty database."""
    (said,) = refused(tmp_path, "--database", f"sqlite:///{tmp_path}/nowhere/hookline.db", "--port", "0")

    assert "in a folder that exists" in said
    assert not (tmp_path / "nowhere").exists()


def test_a_first_start_says_nothing_of_its_schema(tmp_path: Path) -> None:
    with serve(tmp_path, "--port", "0") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)

    assert "migrated" not in log


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("missing.py", "expected a Python file; there is none at 'missing.py'"),
        ("noapp.py", "expected one App, or one named 'app' in 'noapp.py'; there is none"),
        ("app.py:shop", "expected an App named 'shop' in 'app.py'; there is none"),
    ],
)
def test_a_wrong_place_of_the_app_is_said_once(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "noapp.py").write_text("x = 1\n")

    assert refused(tmp_path, place, "--port", "0") == [f"hookline: the app could not be loaded: {why}"]


def test_an_error_in_the_users_code_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = 1 / 0\n")
    said = refused(tmp_path, "app.py", "--port", "0")

    assert said[0] == "hookline: the app could not be loaded: ZeroDivisionError: division by zero"
    assert "    x = 1 / 0" in said
