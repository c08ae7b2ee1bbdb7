"""The fixture that users get with Hookline, used as they use it: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from hookline.core.inbound import PRESETS

ROOT = Path(__file__).parents[3]

# What a user writes; the checks of GitHub and Stripe are made without Hookline.
USERS_TESTS = """
import hashlib, hmac, json
from datetime import UTC, datetime, timedelta

import pytest

from hookline.core.inbound import PRESETS, scheme_from, verify


def github_handler(headers, body, secret):
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["x-hub-signature-256"])


def test_my_handler(hookline_signed):
    request = hookline_signed("github", body=b'{"zen": "Keep it logically awesome."}')

    assert github_handler(request.headers, request.body, request.secret)
    assert not github_handler(request.headers, request.body + b" ", request.secret)
    assert request.headers["x-github-event"] == "push"


def test_the_clock_stands_still(hookline_signed, hookline_now):
    request = hookline_signed("stripe")
    stamp = int(hookline_now.timestamp())
    mac = hmac.new(request.secret.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()

    assert request.headers["stripe-signature"] == f"t={stamp},v1={mac}"
    assert request == hookline_signed("stripe")
    assert request.now == hookline_now == datetime(2026, 1, 15, 12, tzinfo=UTC)
    assert hookline_signed("stripe", now=hookline_now - timedelta(hours=1)) != request


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset, hookline_signed):
    request = hookline_signed(preset, headers={"X-Mine": "1"}, message_id="m-1")

    assert request.headers["x-mine"] == "1"
    assert verify(
        PRESETS[preset], [request.secret], method=request.method, url=request.url,
        headers=request.headers, body=request.body, now=request.now,
    ).secret_index == 0
    assert request.secret not in repr(request) or PRESETS[preset].algorithm == "equality"


SCHEMES = [
    *({"preset": preset} for preset in PRESETS),
    {"header": "X-Sig", "secret_transform": "hex"},
    {"header": "X-Sig", "secret_transform": "base64"},
    {"header": "X-Sig", "template": "{id}{timestamp}{url}{body}", "timestamp": "header:x-time", "id": "header:x-id"},
]


@pytest.mark.parametrize("definition", SCHEMES, ids=str)
def test_every_captured_request_is_signed_anew(definition, hookline_signed, hookline_captured, tmp_path):
    came = hookline_signed(definition)
    meta = {
        "received_at": "2026-01-15T12:00:00.000Z", "method": came.method, "url": came.url, "scheme": definition,
        "headers": [["Host", "here"], *came.headers.items()],
    }
    (tmp_path / "request.json").write_text(json.dumps(meta))
    (tmp_path / "body").write_bytes(came.body)

    captured = hookline_captured(tmp_path)
    later = came.now + timedelta(days=30)
    request = hookline_signed(
        captured.scheme, body=captured.body, url=captured.url, method=captured.method,
        headers=captured.unsigned_headers, now=later,
    )

    assert "host" not in request.headers
    assert verify(
        scheme_from(definition), [request.secret], method=request.method, url=request.url,
        headers=request.headers, body=request.body, now=later,
    ).secret_index == 0


def test_an_own_scheme_secret_and_url(hookline_signed):
    definition = {"header": "X-Sig", "template": "{url}{body}"}
    request = hookline_signed(definition, body="text", secret="own", url="https://example.com/x", method="PUT")

    mac = hmac.new(b"own", b"https://example.com/xtext", hashlib.sha256).hexdigest()
    assert request.headers["x-sig"] == mac
    assert (request.method, request.body, request.secret) == ("PUT", b"text", "own")


def test_an_unknown_preset_is_an_error(hookline_signed):
    with pytest.raises(Exception, match="no such preset"):
        hookline_signed("strip")
"""


def test_users_test_their_handlers_with_the_fixture(tmp_path: Path) -> None:
    """Issue 3 point 8: sample requests of every preset, under a fixed clock."""
    (tmp_path / "test_mine.py").write_text(USERS_TESTS)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "hookline.testing.pytest_plugin",
            "test_mine.py",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(PRESETS) + 7} passed" in done.stdout


def test_the_plugin_is_declared_for_pytest() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]

    plugin = import_module(declared["pytest11"]["hookline"])
    assert {"hookline_now", "hookline_signed", "hookline_captured"} <= set(vars(plugin))


@pytest.mark.parametrize(
    "name", ["hookline.api", "hookline.engine", "aiohttp", "fastapi", "hookline.core.inbound"]
)
def test_the_plugin_loads_nothing_until_it_is_used(name: str) -> None:
    """It is loaded by every pytest run of everyone who has Hookline installed."""
    code = f"import sys, hookline.testing.pytest_plugin; print({name!r} in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
