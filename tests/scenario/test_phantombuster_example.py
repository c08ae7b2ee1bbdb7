"""examples/phantombuster: its commands, in their order, against a real server and its own receiver."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(120)

EXAMPLE = Path(__file__).parents[2] / "examples" / "phantombuster"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


@pytest.fixture
def receiver() -> Iterator[Any]:
    server = runpy.run_path(str(EXAMPLE / "receiver.py"))["Receiver"](0, "MY_SECRET_KEY")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def until(holds: Callable[[], object], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_command_of_the_page_works(receiver: Any, tmp_path: Path) -> None:
    """PB-1 to PB-7, PB-15: launched, followed, changed and stopped; each end is told to the page's receiver."""
    node = NodeProcess(database=f"sqlite:///{tmp_path}/p.db", folder=tmp_path, app=None)
    node.start()
    try:
        done = subprocess.run(
            ["bash", "-euc", "\n".join(COMMANDS.values())],
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
                "HOOKLINE_API_KEY": ADMIN_KEY,
                "RECEIVER": f"http://127.0.0.1:{receiver.server_port}",
                "EXAMPLE": str(EXAMPLE),
                "NO_COLOR": "1",
                "no_proxy": "*",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: len(receiver.taken) == 4)
    finally:
        assert node.stop() == 0
    bodies = receiver.taken

    assert list(COMMANDS) == ["make", "launch", "follow", "change", "stop"]
    assert [body["script"] for body in bodies] == ["scrape.py", "scrape.py", "scrape.js", "slow.py"]
    assert [body["exitMessage"] for body in bodies] == ["finished"] * 3 + ["killed"]
    assert [body["resultObject"] for body in bodies] == [
        {"words": {"Hello": 3}, "total": 3},
        {"words": {"One": 3, "Two": 2}, "total": 5},
        {"words": {"Hello": 3}, "total": 3},
        None,
    ]
    assert len({body["agentId"] for body in bodies}) == 1
    assert "One: 3 words" in done.stdout
    assert '"percent":100.0' in done.stdout
    assert 'event: end\ndata: {"status":"succeeded"}' in done.stdout
