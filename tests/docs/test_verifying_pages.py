"""The pages on presets say what the code does; their snippets run as they are printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookline.cli import main
from hookline.core.inbound import NOT_YET, PRESETS, scheme_from, sign
from hookline.core.inbound.definition import FIELDS
from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.samples import SAMPLES

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGE = (HOW_TO / "verify-stripe-github-slack.md").read_text(encoding="utf-8")
TESTS = (HOW_TO / "test-your-handler.md").read_text(encoding="utf-8")
SNIPPET = re.compile(r"^<!-- snippet: (\w+) -->\n```\w+\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


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
    definition = json.loads(dict(SNIPPET.findall(PAGE))["own"])

    scheme = scheme_from(definition)

    assert sign(scheme, definition["secret"], now=datetime.now(UTC)).headers[-1][0] == "x-acme-signature"


@pytest.mark.needs("curl", "openssl")
def test_the_printed_commands_make_a_trigger_that_github_could_call(tmp_path: Path) -> None:
    """Followed in one shell: accepted, recognized, refused."""
    commands = re.findall(r"^<!-- run: \w+ -->\n```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    app = ROOT / "examples" / "orders" / "app.py"
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path, app=app)
    node.start()
    try:
        where = {"HOOKLINE_URL": f"http://127.0.0.1:{node.port}", "HOOKLINE_API_KEY": ADMIN_KEY}
        done = subprocess.run(
            ["bash", "-ec", "\n".join(commands)],
            env={**where, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        kept = node.api.call("GET", "/api/v1/requests?refused=true")["requests"]
    finally:
        assert node.stop() == 0
    told = [json.loads(text) for text in done.stdout.partition("\n")[2].replace("}{", "}\n{").splitlines()]

    assert told[0].keys() == {"execution_id", "status"}
    assert told[1]["execution_id"] == told[0]["execution_id"]
    assert told[2]["error"]["code"] == "UNAUTHORIZED"
    assert [one["status"] for one in kept] == [401]


def test_verify_says_what_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = SAMPLES["stripe"]
    request = sign(PRESETS["stripe"], sample.secret, now=datetime.now(UTC), body=sample.body)
    (tmp_path / "headers.txt").write_text("".join(f"{name}: {value}\n" for name, value in request.headers))
    (tmp_path / "body.json").write_text(json.dumps(json.loads(sample.body)).replace('": ', '":  '))
    command = f"verify --secret {sample.secret} --headers {tmp_path}/headers.txt --body {tmp_path}/body.json"

    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--preset", "stripe"])

    assert caught.value.code == 1
    assert capsys.readouterr().out == dict(SNIPPET.findall(PAGE))["says"]


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text("\n\n".join(text for _, text in SNIPPET.findall(TESTS)))
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
