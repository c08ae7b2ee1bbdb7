"""``hookline listen``: live events reach a local program worded and signed as a webhook's (CONTRACT section 1)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import call, until, world

from hookline.receiver import verify
from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World

    from hookline.testing.receivers import Received

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOKLINE = Path(sys.executable).with_name("hookline")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("listen")
    with world(f"sqlite:///{folder / 'hookline.db'}", folder) as found:
        yield found


def _command(one: World, *arguments: str) -> subprocess.Popen[str]:
    environ = {"HOOKLINE_URL": f"http://127.0.0.1:{one.nodes[0].port}", "HOOKLINE_API_KEY": ADMIN_KEY}
    return subprocess.Popen(
        [HOOKLINE, "listen", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _publish(one: World, type_: str, data: Any) -> None:
    call(one.nodes[0].port, "POST", "/api/v1/events", {"type": type_, "data": data})


def _published_and_received(one: World, path: str) -> list[Received]:
    """It listens from some moment on: publish until one came."""
    _publish(one, "order.paid", {"n": 1})
    return one.inbox.at(path)


def test_matching_events_are_forwarded_signed_with_the_secret_that_was_given(one: World) -> None:
    path = "/agenticflow"
    listening = _command(
        one,
        "--forward",
        one.inbox.origin + path,
        "--events",
        "order.*",
        "--secret",
        SECRET,
        "--json",
    )
    try:
        _publish(one, "other.thing", {"n": 2})
        request = until(lambda: _published_and_received(one, path), within=20)[0]
        assert listening.stdout is not None
        line = json.loads(listening.stdout.readline())
    finally:
        listening.terminate()
        listening.communicate(timeout=10)

    event = verify(request.body, dict(request.headers), SECRET)
    assert event["data"] == {"n": 1}
    assert (line["type"], line["status"], line["error"]) == ("order.paid", 200, None)
    assert all(b"other.thing" not in received.body for received in one.inbox.at(path))


def test_a_run_is_told_as_a_webhook_of_the_dialect_is_told(one: World) -> None:
    """CONTRACT section 5: started and step events are not, a failed run is a failure, with what the run knows."""
    one.webhook("/live", ["*"], dialect="phantombuster")
    listening = _command(
        one, "--forward", one.inbox.origin + "/listened", "--dialect", "phantombuster", "--secret", SECRET
    )
    try:
        until(lambda: _published_and_received(one, "/listened"), within=20)
        one.ended(one.start("orders", {"amount": 7}))
        one.ended(one.start("raises", {}))
        runs = until(lambda: _runs(one.inbox.at("/listened")), lambda found: len(found) == 2)
    finally:
        listening.terminate()
        listening.communicate(timeout=10)

    live = until(lambda: _runs(one.inbox.at("/live")), lambda found: len(found) == 2)
    assert runs == live
    assert {json.loads(body)["exitCode"] for _, body in runs.values()} == {0, 1}
    for request in one.inbox.at("/listened"):
        assert verify(request.body, dict(request.headers), SECRET)


def _runs(received: list[Received]) -> dict[str, tuple[str, bytes]]:
    """Event's id to what came of it, of the events of runs."""
    told = {}
    for request in received:
        headers = {name.lower(): value for name, value in request.headers}
        if "hookline-sequence" in headers:
            told[headers["webhook-id"]] = (headers["hookline-event"], request.body)
    return told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--forward", "ftp://here/"), "http://"),
        (("--forward", "http://localhost:1/", "--dialect", "nonsense"), "dialect"),
        (("--forward", "http://localhost:1/", "--events", " , "), "--events"),
        (("--forward", "http://localhost:1/", "--secret", "whsec_%%%"), "secret"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(one: World, arguments: tuple[str, ...], words: str) -> None:
    ended = _command(one, *arguments)
    _, error = ended.communicate(timeout=20)

    assert ended.returncode != 0
    assert words in error
    assert "Traceback" not in error
