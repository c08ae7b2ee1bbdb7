"""The tutorial and the README's example, followed word by word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.processes import free_port

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "how-to" / "getting-started.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL))


def node_with(app: str, folder: Path) -> NodeProcess:
    path = folder / "app.py"
    path.write_text(app, encoding="utf-8")
    return NodeProcess(database=f"sqlite:///{folder}/hookline.db", folder=folder, app=path)


def typed(command: str, node: NodeProcess) -> str:
    """Run a command line as printed, with its output as a program would read it."""
    done = subprocess.run(
        ["sh", "-ec", f"{command} --json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
            "HOOKLINE_API_KEY": ADMIN_KEY,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(text: str, beginning: str) -> str:
    """Return the one printed command that begins so, without its comment."""
    (found,) = re.findall(rf"^{re.escape(beginning)}.*$", text, re.MULTILINE)
    return str(found).partition("   #")[0]


def test_the_tutorial_ends_with_a_verified_event(tmp_path: Path) -> None:
    port = free_port()
    node = node_with(FILES["app.py"], tmp_path)
    (tmp_path / "receiver.py").write_text(FILES["receiver.py"].replace("9000", str(port)), encoding="utf-8")
    node.start()
    create = command(TUTORIAL, "hookline webhooks create").replace("9000", str(port))
    webhook = json.loads(typed(create, node))
    receiver = subprocess.Popen(
        [sys.executable, "receiver.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WEBHOOK_SECRET": webhook["secret"]},
    )
    try:
        wait_for_port(port)
        typed(command(TUTORIAL, "hookline trigger"), node)
        assert receiver.stdout is not None
        lines = [receiver.stdout.readline().strip() for _ in range(2)]
    finally:
        receiver.kill()
        receiver.communicate()
        assert node.stop() == 0

    begun = "received: workflow.execution.started None"
    assert begun in lines
    assert begun in TUTORIAL
    promised = "received: workflow.execution.completed {'order_id': 17, 'receipt': 'receipt-17'}"
    assert promised in lines
    assert promised in TUTORIAL


def test_the_readmes_example_runs(tmp_path: Path) -> None:
    (app,) = re.findall(r"^```python\n(# app\.py\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    node = node_with(app, tmp_path)
    node.start()
    try:
        typed(command(README, "hookline webhooks create"), node)
        execution = json.loads(typed(command(README, "hookline trigger"), node))
    finally:
        assert node.stop() == 0

    assert execution["output"] == {"paid": True, "receipt": "receipt-17"}


def wait_for_port(port: int) -> None:
    """Return once somebody listens there. Raises TimeoutError."""
    import socket

    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nobody listens on {port}")
