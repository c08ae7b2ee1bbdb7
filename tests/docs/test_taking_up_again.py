"""docs/how-to/when-requests-are-refused.md and replay-what-came-in.md, followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.api import call, records, requests
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
FILE = re.compile(r"^<!-- file: app.py -->\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def followed(name: str, folder: Path) -> dict[str, str]:
    """Serve the page's app, type its commands into one shell, and return what each block printed."""
    page = (PAGES / name).read_text(encoding="utf-8")
    (app,) = FILE.findall(page)
    (folder / "app.py").write_text(app, encoding="utf-8")
    blocks = RUN.findall(page)
    script = "\n".join(f"echo '--- {block}'\n{commands}" for block, commands in blocks)
    node = NodeProcess(database=f"sqlite:///{folder}/hookline.db", folder=folder, app=folder / "app.py")
    node.start()
    try:
        done = subprocess.run(
            ["bash", "-ec", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
                "HOOKLINE_API_KEY": ADMIN_KEY,
            },
        )
    finally:
        assert node.stop() == 0
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.split(r"^--- (\w+)\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_refused_requests_run_when_the_secret_is_mended(tmp_path: Path) -> None:
    """Issue 3, point 7: as the page says, from the 401 to the run."""
    said = followed("when-requests-are-refused.md", tmp_path)

    assert said["create"].count("refused") == 3
    assert "signature_mismatch" in said["explain"]
    assert "it would not run now" in said["explain"]
    assert "3 of 3 refused requests fit now" in said["mend"]
    assert "3 started" in said["mend"]


def test_what_came_in_is_run_again(tmp_path: Path) -> None:
    """Issue 3, point 8: as the page says, with a preview first."""
    said = followed("replay-what-came-in.md", tmp_path)

    assert "3 requests, 10 a second" in said["preview"]
    assert "completed: 3 started, 0 skipped" in said["replay"]
    assert len(re.findall(r"^exec_", said["replay"], re.MULTILINE)) == 6


def test_the_page_knows_the_bounds() -> None:
    page = (PAGES / "when-requests-are-refused.md").read_text(encoding="utf-8")

    assert call.MOST_KEPT_BYTES == 1 << 20
    assert call.FEWEST_KEPT_BYTES == 64 * 1024
    assert "up to 1 MiB" in page
    assert "64 KiB" in page
    assert "300 refused requests at once and five a second" in page
    assert records.MOST_QUERY == 4_096
    replay = (PAGES / "replay-what-came-in.md").read_text(encoding="utf-8")
    assert f"0.01 to {requests.MOST_RERUNS_PER_SECOND:,}" in replay


@pytest.mark.parametrize("name", ["when-requests-are-refused.md", "replay-what-came-in.md"])
def test_the_pages_are_linked_from_the_index(name: str) -> None:
    assert f"docs/how-to/{name}" in (PAGES.parents[1] / "README.md").read_text(encoding="utf-8")
