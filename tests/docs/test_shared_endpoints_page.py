"""docs/how-to/shared-endpoints.md, followed word by word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hookline.core.inbound import PRESETS, sign
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "shared-endpoints.md").read_text(encoding="utf-8")
(APP,) = re.findall(r"^<!-- file: app.py -->\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SAYS = dict(re.findall(r"^<!-- says: (\w+) -->\n```json\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    return NodeProcess(database=f"sqlite:///{tmp_path}/hookline.db", folder=tmp_path, app=tmp_path / "app.py")


def test_the_signed_flow_of_the_page_takes_what_its_provider_signs(tmp_path: Path) -> None:
    """PR-17: printed app, deployed with a secret, called with Shopify's signature and without."""
    (signed,) = re.findall(r"^<!-- file: signed.py -->\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "signed.py").write_text(signed, encoding="utf-8")
    node = NodeProcess(database=f"sqlite:///{tmp_path}/s.db", folder=tmp_path, app=tmp_path / "signed.py")
    node.start()
    try:
        body = {
            "integration": "shop",
            "customer": {"external_id": "c"},
            "config": {"webhook_secret": "hush"},
        }
        made = node.api.call("POST", "/api/v1/instances", body)
        request = sign(PRESETS["shopify"], "hush", now=datetime.now(UTC), body=b'{"id": 17}')
        answers = [
            urlopen(made["webhook_urls"]["orders"], request.body, dict(headers))
            for headers in (request.headers, ())
        ]
        run = ended(node)
    finally:
        assert node.stop() == 0

    assert answers == [200, 401]
    assert run["output"] == {"order": 17}


def urlopen(url: str, body: bytes, headers: dict[str, str]) -> int:
    """POST a JSON body; return the status."""
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def type_it(folder: Path, port: int, *names: str) -> str:
    """Type the commands of these names into one shell."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOOKLINE_URL": f"http://127.0.0.1:{port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
    }
    done = subprocess.run(
        ["sh", "-ec", "\n".join(COMMANDS[name] for name in names)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ended(node: NodeProcess) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        (run,) = node.api.call("GET", "/api/v1/executions")["executions"]
        if run["status"] == "succeeded":
            found: dict[str, Any] = node.api.call("GET", f"/api/v1/executions/{run['id']}")
            return found
        time.sleep(0.05)
    raise AssertionError("the run did not end")


def test_every_command_of_the_page_does_what_the_page_says(node: NodeProcess, tmp_path: Path) -> None:
    """PR-8, PR-16, PR-17, PR-X8: two customers share a URL; a third one's request is kept."""
    node.start()
    try:
        assert "customer_required" in type_it(tmp_path, node.port, "create")
        one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
        called = json.loads(type_it(tmp_path, node.port, "keep", "call"))
        run = ended(node)
        said = type_it(tmp_path, node.port, "keep", "unroutable")
    finally:
        assert node.stop() == 0

    assert one["invoke_url"] == two["invoke_url"]
    assert set(called) == {"executionId"}
    assert run["output"] == {"order": 17, "for": "customer-2", "in": "us"}
    told, end = json.JSONDecoder().raw_decode(said)
    kept = json.loads(said[end:])["requests"][0]
    assert told == json.loads(SAYS["sender"])
    assert {name: kept[name] for name in ("status", "reason")} == json.loads(SAYS["kept"])
