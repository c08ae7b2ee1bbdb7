"""The pages on presets say what the code does; their snippets run as they are printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pages import follow, json_values, named, source

from hookline.core.inbound import NOT_YET, PRESETS, scheme_from, sign
from hookline.core.inbound.definition import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = source("how-to/verify-providers")
SNIPPETS = named("how-to/verify-providers", "snippet")
TESTS = named("how-to/test-your-handler", "snippet")


def test_the_table_of_presets_is_what_the_code_does() -> None:
    """Lists in prose are tested: prose rots first."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \| (\w+) \|$", PAGE, flags=re.MULTILINE)

    assert [row[0] for row in rows] == list(PRESETS)
    for name, places, tolerance, ids, handshake in rows:
        scheme = PRESETS[name]
        assert re.findall(r"`([^`]+)`", places) == [str(source) for source in scheme.signature]
        assert tolerance == (f"{scheme.tolerance_seconds} s" if scheme.tolerance_seconds else "none")
        assert re.findall(r"`([^`]+)`", ids) == [str(source) for source in scheme.dedupe_id]
        assert handshake == (scheme.handshake or "none")


def test_every_field_of_a_scheme_and_every_refused_preset_is_named() -> None:
    for name in [*FIELDS, *NOT_YET]:
        assert f"`{name}`" in PAGE, name


def test_the_scheme_of_the_page_verifies() -> None:
    definition = json.loads(SNIPPETS["own"])

    scheme = scheme_from(definition)

    assert sign(scheme, definition["secret"], now=datetime.now(UTC)).headers[-1][0] == "x-acme-signature"


@pytest.mark.needs("curl", "openssl")
def test_the_printed_commands_make_a_trigger_that_github_could_call(tmp_path: Path) -> None:
    """Followed in one shell: accepted, recognized, refused."""
    followed = follow("how-to/verify-providers", tmp_path, then="hookline requests list --refused --json")
    told = json_values(followed.said["send"])
    (kept,) = json.loads(followed.said["then"])

    assert told[0].keys() == {"execution_id", "status"}
    assert told[1]["execution_id"] == told[0]["execution_id"]
    assert told[2]["error"]["code"] == "UNAUTHORIZED"
    assert kept["status"] == 401


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text("\n\n".join(TESTS.values()))
    captured = {
        "received_at": "2026-01-15T12:00:00.000Z",
        "method": "POST",
        "url": "https://hooks.example.com/trigger/AAAAAAAAAAAAAAAAAAAAAA==",
        "headers": [["Content-Type", "application/json"], ["X-Hub-Signature-256", "sha256=00"]],
        "scheme": {"preset": "github"},
    }
    (tmp_path / "odd_order").mkdir()
    (tmp_path / "odd_order" / "request.json").write_text(json.dumps(captured))
    (tmp_path / "odd_order" / "body").write_bytes(b"{}")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "hookline.testing.pytest_plugin", "test_page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
