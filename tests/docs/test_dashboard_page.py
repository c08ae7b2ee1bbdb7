"""docs/how-to/use-the-dashboard.md, its commands run as they are printed, and its link opened."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-the-dashboard.md"
COMMANDS = dict(
    re.findall(
        r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
)


def opened(url: str) -> tuple[int, str | None]:
    """Status and cookie of a page."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("set-cookie")
    finally:
        connection.close()


@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """A key is made, a link signs in, and a webhook that is not there is tried against the event just published."""
    node = NodeProcess(database=f"sqlite:///{tmp_path}/page.db", folder=tmp_path)
    node.start()
    try:
        said = {name: _said(command, node.port) for name, command in COMMANDS.items()}
        link = json.loads(said["link"])
        status, cookie = opened(link["url"])
    finally:
        node.stop()

    assert "hlk_" in said["key"]
    assert (status, link["role"]) == (303, "viewer")
    assert cookie is not None
    tried = json.loads(said["try"].splitlines()[-1])
    assert (tried["looked_at"], tried["matched"]) == (1, 1)


def _said(command: str, port: int) -> str:
    done = subprocess.run(
        ["bash", "-euc", command],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOOKLINE_URL": f"http://127.0.0.1:{port}",
            "HOOKLINE_API_KEY": ADMIN_KEY,
            "no_proxy": "*",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
