"""examples/phantomflow: the page's own movie, submitted with the README's commands, its end at the page's receiver."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from films import Picture, run_ffmpeg
from world import until

from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "phantomflow"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def receiver() -> Iterator[Any]:
    server = runpy.run_path(str(EXAMPLE / "receiver.py"))["Receiver"](0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("phantomflow")
    node = NodeProcess(database=f"sqlite:///{folder}/p.db", folder=folder)
    node.start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def folder(receiver: Any, tmp_path: Path) -> Path:
    """The example's folder, with the receiver's port of this test in its movies."""
    for name in ("movie.json", "broken.json"):
        text = (EXAMPLE / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(":9902/", f":{receiver.server_port}/"), encoding="utf-8")
    return tmp_path


def typed(name: str, node: NodeProcess, folder: Path, **known: str) -> bytes:
    """Run one of the README's snippets; return what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
        **known,
    }
    return subprocess.run(
        ["sh", "-ec", COMMANDS[name]],
        env=environment,
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def test_the_pages_movie_is_rendered_followed_and_told(
    node: NodeProcess, receiver: Any, folder: Path
) -> None:
    """PF-1 to PF-6."""
    job_id = json.loads(typed("submit", node, folder))["job_id"]
    stream = typed("progress", node, folder, JOB=job_id).decode()
    told = until(lambda: receiver.taken.get(job_id), within=30)
    shown = json.loads(typed("result", node, folder, JOB=job_id))

    assert told is not None
    assert (told["status"], told["duration_seconds"], told["credits_used"]) == ("completed", 5, 5)
    assert re.findall(r"^event: (\w+)$", stream, re.MULTILINE)[-1] == "completed"
    assert shown["status"] == "completed"
    assert typed("video", node, folder, OUTPUT_URL=told["output_url"]) == b"ftyp"
    frame = run_ffmpeg(
        *("-ss", "2", "-i", str(folder / "hello.mp4"), "-frames:v", "1"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"),
    )
    picture = Picture(1920, 1080, frame)
    assert picture.brightest(760, 500, 1160, 580) > 240
    assert picture.brightest(0, 0, 1920, 480) < 20
    shutil.rmtree(folder)


def test_a_film_that_is_not_there_fails_the_job_with_its_path(
    node: NodeProcess, receiver: Any, folder: Path
) -> None:
    """PF-7."""
    job_id = json.loads(typed("broken", node, folder))["job_id"]
    told = until(lambda: receiver.taken.get(job_id), within=30)

    assert told == {
        "job_id": job_id,
        "status": "failed",
        "error": {
            "code": "RENDER_FAILED",
            "message": "scenes.0.elements.0.src could not be fetched: The receiver answered 404.",
        },
        "metadata": {"order": 18},
    }


def test_a_movie_that_cannot_be_is_refused_as_printed(node: NodeProcess, folder: Path) -> None:
    """PF-9."""
    printed = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[-1]

    assert json.loads(typed("refused", node, folder)) == json.loads(printed)


def test_the_movie_is_that_of_the_page() -> None:
    """PF-1: to the letter but for the address."""
    movie = json.loads((EXAMPLE / "movie.json").read_text(encoding="utf-8"))

    assert movie.pop("webhook_uri").endswith("/webhooks/phantomflow")
    assert movie == {
        "width": 1920,
        "height": 1080,
        "scenes": [
            {
                "duration": 5,
                "elements": [{"type": "text", "text": "Hello World", "font_size": 48, "position": "center"}],
            }
        ],
    }
