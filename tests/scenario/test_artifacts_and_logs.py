"""What a run leaves behind, over HTTP: its files, by key or by link, and its log and progress while it goes on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from api_bed import PUBLIC_URL, Api, serving
from asgi import Client
from engine_bed import ORDERS

from hookline.blobs.files import FileBlobs
from hookline.engine.clock import SystemClock
from hookline.ports.runner import LogDraft, Succeeded
from hookline.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

CONTENT = bytes(range(256)) * 4_000


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    yield store
    await store.close()


class Work:
    """Makes two files, logs, tells how far it came, and waits to be told to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go_on = asyncio.Event()
        self.url = ""

    async def __call__(self, _: RunJob, listener: RunListener) -> Outcome:
        made = self.folder / "made"
        made.write_bytes(CONTENT)
        self.url = (await listener.produced(made, "video.mp4", "video/mp4")).url
        made.write_bytes(b"<script>alert(1)</script>")
        await listener.produced(made, "page.html", "text/html")
        line = LogDraft(at=SystemClock().now(), stream="stdout", level="info", text="half way")
        await listener.recorded([], [line], 0.0, [])
        await listener.progressed(b'{"percent":50,"label":"half way"}')
        await self.go_on.wait()
        return Succeeded(output=b"1")


class Scene:
    def __init__(self, api: Api, work: Work, place: str) -> None:
        self.api, self.work, self.place = api, work, place

    async def until_logged(self, lines: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(8):
            while True:
                found: list[dict[str, Any]] = (await self.api.admin("GET", f"{self.place}/logs")).json["logs"]
                if len(found) >= lines:
                    return found
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def scene(store: SqliteStore, tmp_path: Path) -> AsyncIterator[Scene]:
    work = Work(tmp_path)
    async with serving(store, work={ORDERS: work}, blobs=FileBlobs(tmp_path / "blobs")) as api:
        started = await api.admin("POST", "/api/v1/workflows/orders/executions")
        scene = Scene(api, work, f"/api/v1/executions/{started.json['execution_id']}")
        await scene.until_logged(2)
        yield scene
        work.go_on.set()


def frames(body: bytes) -> list[dict[str, str]]:
    """Read server-sent events, without the comments that keep the line open."""
    parts = [part for part in body.decode().split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts]


async def test_files_are_listed_with_what_is_known_of_them(scene: Scene) -> None:
    listed = (await scene.api.admin("GET", f"{scene.place}/artifacts")).json["artifacts"]
    strange = await scene.api.admin("GET", f"{scene.place}/artifacts/other.txt")

    assert [(one["name"], one["content_type"], one["size"]) for one in listed] == [
        ("page.html", "text/html", 25),
        ("video.mp4", "video/mp4", len(CONTENT)),
    ]
    assert strange.status == 404


async def test_a_file_is_read_with_a_key_in_whole_and_in_part(scene: Scene) -> None:
    place = f"{scene.place}/artifacts/video.mp4"
    whole = await scene.api.admin("GET", place)
    head = await scene.api.admin("HEAD", place)
    part = await scene.api.admin("GET", place, headers={"Range": "bytes=300000-300009"})
    beyond = await scene.api.admin("GET", place, headers={"Range": "bytes=9000000-"})
    known = await scene.api.admin("GET", place, headers={"If-None-Match": whole.headers["etag"]})
    changed = await scene.api.admin("GET", place, headers={"Range": "bytes=0-1", "If-Range": '"other"'})

    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    assert (part.status, part.body) == (206, CONTENT[300_000:300_010])
    assert part.headers["content-range"] == f"bytes 300000-300009/{len(CONTENT)}"
    assert (beyond.status, beyond.json["error"]["code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert (known.status, known.body) == (304, b"")
    assert (changed.status, changed.body) == (200, CONTENT)


async def test_a_link_needs_no_key_and_cannot_be_turned_into_another(scene: Scene) -> None:
    """PF: the output of a render by a signed link that expires."""
    anyone = Client(scene.api.front)
    path = scene.work.url.removeprefix(PUBLIC_URL)
    good = await anyone("GET", path, headers={"Range": "bytes=-4"})
    forged = [
        await anyone("GET", path.replace("video.mp4", "page.html")),
        await anyone("GET", path.replace("expires=1", "expires=2")),
        await anyone("GET", path.split("?")[0]),
    ]

    assert path.startswith("/artifacts/exec_")
    assert (good.status, good.body) == (206, CONTENT[-4:])
    assert [(answer.status, answer.json["error"]["code"]) for answer in forged] == [(403, "LINK_INVALID")] * 3


async def test_what_a_run_made_does_not_act_as_a_page_of_ours(scene: Scene) -> None:
    page = await scene.api.admin("GET", f"{scene.place}/artifacts/page.html")

    assert page.headers["content-disposition"] == 'attachment; filename="page.html"'
    assert page.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_another_organization_finds_no_file_and_no_log(scene: Scene) -> None:
    """P12: foreign and missing look the same."""
    made = await scene.api.admin("POST", "/api/v1/organizations", {"name": "Other"})
    headers = {"Hookline-Organization": made.json["id"]}
    for place in ("/artifacts", "/artifacts/video.mp4", "/logs/follow", "/logs"):
        answer = await scene.api.admin("GET", scene.place + place, headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (404, "NOT_FOUND")


async def test_the_log_is_followed_from_a_position_to_the_end(scene: Scene) -> None:
    """PB-15: output with positions, while it runs; whoever was cut off goes on after the last it has."""
    first = await scene.until_logged(2)
    reading = asyncio.create_task(scene.api.admin("GET", f"{scene.place}/logs/follow"))
    await asyncio.sleep(0)
    scene.work.go_on.set()
    async with asyncio.timeout(8):
        seen = frames((await reading).body)
        again = await scene.api.admin(
            "GET", f"{scene.place}/logs/follow", headers={"Last-Event-ID": str(first[0]["position"])}
        )

    assert [frame["event"] for frame in seen] == ["stdout", "progress", "end"]
    assert json.loads(seen[1]["data"])["fields"] == {"percent": 50, "label": "half way"}
    assert json.loads(seen[2]["data"]) == {"status": "succeeded"}
    assert frames(again.body) == seen[1:]
