"""Render jobs as they really run: what is seen and heard in the videos, and what goes wrong (PF, P21)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from films import Picture, clip, data_url, is_near, loudness, pictures, png, run_ffmpeg, tone

from hookline.core.addresses import AddressPolicy
from hookline.errors import SettingError
from hookline.model.executions import Artifact, JournalEntry
from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import Failed, Killed, Lost, RunJob, Succeeded, TimedOut
from hookline.runners.render.assets import FetchLimits
from hookline.runners.render.programs import Programs
from hookline.runners.render.runner import RenderRunner
from hookline.runners.render.workshop import PREFIX, Limits, Workshop
from hookline.senders.http import HttpSender
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hookline.ports.runner import Outcome

pytestmark = pytest.mark.asyncio

WIDTH, HEIGHT = 160, 90
WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)

SEED = {
    "width": 1920,
    "height": 1080,
    "webhook_uri": "https://your-server.com/webhooks/phantomflow",
    "scenes": [
        {
            "duration": 5,
            "elements": [{"type": "text", "text": "Hello World", "font_size": 48, "position": "center"}],
        }
    ],
}


class Watching:
    """A listener that keeps what a render tells, and its video."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.video = folder / "kept.mp4"
        self.credits = 0.0
        self.journal: list[JournalEntry] = []
        self.progress: list[dict[str, Any]] = []
        self.began = asyncio.Event()
        self.moved = asyncio.Event()

    async def started(self, *, at: datetime) -> None:
        assert at.tzinfo is UTC
        self.began.set()

    async def recorded(self, entries: Any, logs: Any, credits: float, emits: Any) -> None:  # noqa: A002
        assert not [*logs, *emits]
        self.journal += entries
        self.credits += credits

    async def progressed(self, fields: bytes) -> None:
        self.progress.append(msgspec.json.decode(fields))
        self.moved.set()

    async def produced(self, file: Path | int, name: str, content_type: str) -> Artifact:
        assert (name, content_type) == ("movie.mp4", "video/mp4")
        assert isinstance(file, Path)
        shutil.copyfile(file, self.video)
        return Artifact(
            execution_id=new_key(),
            name=name,
            content_type=content_type,
            size=os.stat(file).st_size,  # noqa: PTH116 -- a moment's work
            digest="",
            blob_id="",
            created_at=datetime.now(UTC),
        )


class Studio:
    """A runner, and short ways to use it."""

    def __init__(self, runner: RenderRunner, folder: Path) -> None:
        self.runner = runner
        self.folder = folder
        self.watching = Watching(folder)

    def job(self, movie: Any, **rest: Any) -> RunJob:
        return RunJob(
            execution_id=new_key(),
            kind=Kind.RENDER,
            automation_id="movie",
            input=msgspec.json.encode(movie),
            **rest,
        )

    async def render(self, movie: Any, **rest: Any) -> Outcome:
        return await self.runner.run(self.job(movie, **rest), self.watching)

    async def seen(self, *elements: dict[str, Any], **scene: Any) -> list[Picture]:
        """Every picture of a small movie of one scene."""
        outcome = await self.render(small(*elements, **scene))
        assert isinstance(outcome, Succeeded), outcome
        return pictures(self.watching.video, WIDTH, HEIGHT)

    async def failed(self, *elements: dict[str, Any]) -> str:
        outcome = await self.render(small(*elements))
        assert isinstance(outcome, Failed), outcome
        assert outcome.failure.code == "RENDER_FAILED"
        assert not workshops()
        return outcome.failure.message


def small(*elements: dict[str, Any], **scene: Any) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 10,
        "scenes": [{"duration": 1, "elements": elements, **scene}],
    }


def workshops() -> list[str]:
    return [place.name for place in Path(tempfile.gettempdir()).iterdir() if place.name.startswith(PREFIX)]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary folders of this test alone, so that what is left can be seen."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def fetching() -> FetchLimits:
    return FetchLimits(file_bytes=100_000, seconds=20)


@pytest_asyncio.fixture
async def studio(tmp_path: Path, fetching: FetchLimits) -> AsyncIterator[Studio]:
    sender = HttpSender(AddressPolicy(("127.0.0.1/32",)))
    runner = RenderRunner(Programs(), sender, parallel=1, fetching=fetching)
    await runner.start()
    yield Studio(runner, tmp_path)
    await runner.close(0)
    await sender.close()
    assert not workshops()


# --- what is seen and heard -----------------------------------------------------------------------------------


async def test_the_seeds_own_movie_shows_hello_world_in_the_centre(studio: Studio) -> None:
    """PF-1: its frames show "Hello World" in the middle and nothing elsewhere; 5 s cost 5 credits (PF-X3)."""
    outcome = await studio.render(SEED)

    assert isinstance(outcome, Succeeded), outcome
    output = msgspec.json.decode(outcome.output)
    assert (output["duration_seconds"], output["width"], output["height"]) == (5.0, 1920, 1080)
    assert studio.watching.credits == 5
    frame = _frame_of(studio.watching.video, 1920, 1080)
    assert frame.brightest(960 - 200, 540 - 40, 960 + 200, 540 + 40) > 240
    assert frame.brightest(0, 0, 1920, 540 - 60) < 20
    assert frame.brightest(0, 540 + 60, 1920, 1080) < 20
    assert frame.brightest(0, 0, 960 - 250, 1080) < 20
    assert frame.brightest(960 + 250, 0, 1920, 1080) < 20


def _frame_of(video: Path, width: int, height: int) -> Picture:
    raw = run_ffmpeg(
        *("-ss", "2", "-i", str(video), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    )
    return Picture(width, height, raw)


async def test_backgrounds_follow_each_other_and_no_picture_is_lost(studio: Studio) -> None:
    movie = {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 10,
        "background": "red",
        "scenes": [{"duration": 0.35}, {"duration": 0.3, "background": "#0000FF"}, {"duration": 0.35}],
    }

    outcome = await studio.render(movie)

    assert isinstance(outcome, Succeeded)
    shown = [picture.at(80, 45) for picture in pictures(studio.watching.video, WIDTH, HEIGHT)]
    assert [
        ("red" if is_near(one, RED) else "blue" if is_near(one, BLUE) else str(one)) for one in shown
    ] == [
        *["red"] * 4,
        *["blue"] * 2,
        *["red"] * 4,
    ]
    assert loudness(studio.watching.video) == []


async def test_a_text_that_looks_like_a_command_is_only_drawn(studio: Studio) -> None:
    """Whatever it says, it is read from a file, without expansion."""
    text = "%{pts}':fontcolor=red,drawbox=0:0:iw:ih:red@1:fill[v];[0:v]\\"

    shown = await studio.seen({"type": "text", "text": text, "font_size": 8, "color": "white"})

    assert shown[5].brightest(0, 30, WIDTH, 60) > 150
    assert is_near(shown[5].at(2, 2), BLACK)


async def test_a_text_is_where_and_when_it_is_wanted(studio: Studio) -> None:
    shown = await studio.seen(
        {"type": "text", "text": "HHH", "font_size": 30, "position": "bottom-right", "start": 0.5},
    )

    assert shown[2].brightest(0, 0, WIDTH, HEIGHT) < 20
    assert shown[7].brightest(100, 50, WIDTH, HEIGHT) > 200
    assert shown[7].brightest(0, 0, WIDTH, 45) < 20


async def test_a_text_fades_in(studio: Studio) -> None:
    shown = await studio.seen({"type": "text", "text": "HHH", "font_size": 40, "fade": {"in": 1}})

    first, middle, last = (shown[place].brightest(0, 0, WIDTH, HEIGHT) for place in (0, 5, 9))
    assert first < 30
    assert first + 40 < middle < last - 40


async def test_a_picture_is_placed_sized_and_laid_over_what_is_below(studio: Studio) -> None:
    shown = await studio.seen(
        {
            "type": "image",
            "src": data_url(png(10, 10)),
            "position": {"x": 20, "y": "50%"},
            "size": {"width": 40, "height": 20},
            "fit": "fill",
        },
        {
            "type": "shape",
            "size": {"width": 10, "height": 10},
            "color": "blue",
            "position": {"x": 30, "y": 50},
        },
    )

    picture = shown[5]
    assert is_near(picture.at(25, 60), RED)
    assert is_near(picture.at(35, 55), BLUE)
    assert is_near(picture.at(10, 60), BLACK)
    assert is_near(picture.at(70, 60), BLACK)
    assert is_near(picture.at(25, 40), BLACK)


async def test_an_image_stays_although_its_file_moves(studio: Studio) -> None:
    """Of a GIF, or of a film that is used as an image, the first picture is shown to the end."""
    gif = run_ffmpeg("-f", "lavfi", "-i", "color=c=blue:s=16x16:r=10:d=0.2", "-f", "gif", "pipe:1")
    shown = await studio.seen(
        {"type": "image", "src": data_url(gif, "image/gif"), "position": "left", "size": {"width": 60}},
        {"type": "image", "src": data_url(clip(), "video/mp4"), "position": "right", "size": {"width": 60}},
        duration=2,
    )

    # A GIF without a palette of its own has few blues.
    assert [is_near(shown[place].at(30, 45), BLUE, by=50) for place in (0, 10, 19)] == [True] * 3
    assert [is_near(shown[place].at(130, 45), BLUE) for place in (0, 10, 19)] == [True] * 3


async def test_opacity_and_fades_let_through_what_is_below(studio: Studio) -> None:
    shown = await studio.seen(
        {
            "type": "shape",
            "size": {"width": "50%", "height": "100%"},
            "color": "red",
            "position": "left",
            "opacity": 0.5,
        },
        {"type": "shape", "size": {"width": 40, "height": 40}, "position": "right", "fade": {"out": 1}},
        background="black",
    )

    assert is_near(shown[5].at(40, 45), (128, 0, 0))
    assert shown[0].at(140, 45)[0] > shown[5].at(140, 45)[0] + 60 > shown[9].at(140, 45)[0] + 120


async def test_an_ellipse_is_round(studio: Studio) -> None:
    shown = await studio.seen(
        {"type": "shape", "shape": "ellipse", "size": {"width": 160, "height": 90}, "color": "white"}
    )

    assert is_near(shown[5].at(80, 45), WHITE)
    assert is_near(shown[5].at(3, 3), BLACK)
    assert is_near(shown[5].at(156, 86), BLACK)


async def test_a_film_is_seen_and_heard_while_it_lasts(studio: Studio) -> None:
    """The clip lasts a second: it begins after half of one, and the movie goes on without it."""
    async with Receiver(default=Reply(body=clip())) as server:
        shown = await studio.seen(
            {"type": "video", "src": server.url, "size": {"width": 160}, "start": 0.5}, duration=2
        )

    assert [is_near(picture.at(80, 45), BLUE) for picture in shown] == [
        *[False] * 5,
        *[True] * 10,
        *[False] * 5,
    ]
    heard = loudness(studio.watching.video)
    assert max(heard[:4]) < 0.01
    assert min(heard[7:13]) > 0.05
    assert max(heard[17:]) < 0.01


async def test_sounds_are_mixed_at_their_volume(studio: Studio) -> None:
    source = data_url(tone(), "audio/mpeg")
    await studio.seen({"type": "audio", "src": source})
    alone = max(loudness(studio.watching.video))
    await studio.seen({"type": "audio", "src": source, "volume": 0.5})
    softer = max(loudness(studio.watching.video))
    await studio.seen({"type": "audio", "src": source}, {"type": "audio", "src": source})
    doubled = max(loudness(studio.watching.video))

    assert softer == pytest.approx(alone / 2, rel=0.2)
    assert doubled == pytest.approx(alone * 2, rel=0.2)


async def test_pictures_sounds_and_films_of_two_scenes_come_to_an_end(studio: Studio) -> None:
    """Silence that had no end of its own kept FFmpeg from the pictures: such a movie was rendered for ever."""
    first = [
        {
            "type": "image",
            "src": data_url(png(40, 20), "image/png"),
            "opacity": 0.5,
            "start": 0.5,
            "duration": 1,
        },
        {"type": "text", "text": "One", "font_size": 12, "fade": 0.3},
        {"type": "shape", "shape": "ellipse", "size": {"width": 20, "height": 20}, "color": "#00FF0080"},
        {"type": "audio", "src": data_url(tone(), "audio/mpeg"), "volume": 0.5},
    ]
    film = {"type": "video", "src": data_url(clip(seconds=3), "video/mp4"), "volume": 0.2}
    scenes = [
        {"duration": 2, "elements": first},
        {"duration": 2, "transition": {"type": "fade", "duration": 0.5}, "elements": [film]},
    ]
    movie = {"width": 640, "height": 360, "fps": 20, "quality": "low", "scenes": scenes}

    outcome = await studio.render(movie, timeout_ms=30_000)

    assert isinstance(outcome, Succeeded), outcome
    assert len(pictures(studio.watching.video, 640, 360)) == 80


async def test_a_transition_takes_over_from_the_last_picture_and_adds_no_time(studio: Studio) -> None:
    movie = {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 10,
        "scenes": [
            {"duration": 1, "background": "red"},
            {"duration": 1, "background": "blue", "transition": {"type": "wipeleft", "duration": 0.6}},
        ],
    }

    outcome = await studio.render(movie)

    assert isinstance(outcome, Succeeded)
    shown = pictures(studio.watching.video, WIDTH, HEIGHT)
    assert len(shown) == 20
    assert is_near(shown[9].at(80, 45), RED)
    assert is_near(shown[13].at(5, 45), RED)
    assert is_near(shown[13].at(155, 45), BLUE)
    assert is_near(shown[19].at(5, 45), BLUE)


async def test_a_video_that_is_rendered_again_is_charged_once(studio: Studio) -> None:
    """A node may die between the credits and the end: the next process finds them in the journal."""
    first = await studio.render(small())
    again = await studio.render(small(), journal=tuple(studio.watching.journal), attempt=2)

    assert isinstance(first, Succeeded)
    assert isinstance(again, Succeeded)
    assert studio.watching.credits == 1


async def test_progress_rises_to_a_hundred_percent(studio: Studio) -> None:
    """PF-6."""
    await studio.seen()

    told = studio.watching.progress
    assert told[-1] == {"percent": 100.0, "frame": 10, "frames": 10, "eta_seconds": 0.0}
    assert [one["percent"] for one in told] == sorted(one["percent"] for one in told)


# --- what goes wrong ------------------------------------------------------------------------------------------


async def test_a_movie_that_nobody_checked_is_checked_here(studio: Studio) -> None:
    outcome = await studio.render({"scenes": [{"duration": 0}]})

    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "RENDER_FAILED"
    assert "scenes.0.duration" in outcome.failure.message


async def test_a_picture_of_10_to_the_5_squared_is_refused_by_its_header(studio: Studio) -> None:
    """It would take 30 GB decoded; the file has a hundred bytes."""
    huge = data_url(png(1, 1, claims=(100_000, 100_000)))

    said = await studio.failed({"type": "image", "src": huge})

    assert said == (
        "FFmpeg exited with code 1: scenes.0.elements.0.src: Picture size 100000x100000 is invalid"
    )


async def test_a_corrupt_film_fails_with_code_and_cause(studio: Studio) -> None:
    """PF-7."""
    said = await studio.failed({"type": "video", "src": data_url(clip()[:300], "video/mp4")})

    assert said.startswith("FFmpeg exited with code ")
    assert "scenes.0.elements.0.src: " in said
    assert "hookline-render" not in said


def as_video(content: bytes) -> dict[str, Any]:
    return {"type": "video", "src": data_url(content, "video/mp4")}


async def test_a_playlist_is_no_film(studio: Studio) -> None:
    """P21: formats that open other files are not read at all."""
    for content in (
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    ):
        said = await studio.failed(as_video(content))

        assert "of a format that is read here" in said


async def test_a_sound_is_no_picture(studio: Studio) -> None:
    said = await studio.failed({"type": "image", "src": data_url(tone(), "image/png")})

    assert said == "FFmpeg exited with code 1: scenes.0.elements.0.src: there is no picture in it"


async def test_a_font_that_is_missing_is_named(studio: Studio) -> None:
    said = await studio.failed({"type": "text", "text": "x", "font_family": "No Such Sans"})

    assert said == "scenes.0.elements.0.font_family: there is no font 'No Such Sans' on this server."


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(status=404), "The receiver answered 404."),
        (Reply(body=b"x" * 100_001), "The file was not taken: it is larger than 100000 bytes."),
        (Reply.endless(), "The file was not taken: it is larger than 100000 bytes."),
    ],
)
async def test_a_file_that_does_not_come_fails_the_job(studio: Studio, reply: Reply, why: str) -> None:
    async with Receiver(default=reply) as server:
        said = await studio.failed({"type": "image", "src": server.url})

    assert said == f"scenes.0.elements.0.src could not be fetched: {why}"


@pytest.mark.parametrize("fetching", [FetchLimits(seconds=0.3)])
@pytest.mark.parametrize(
    ("reply", "why"),
    [(Reply.hang(), "No answer within 0.3 s."), (Reply.drip(), "The answer had not ended after 0.3 s.")],
)
async def test_a_server_that_hangs_fails_the_job_in_time(studio: Studio, reply: Reply, why: str) -> None:
    async with Receiver(default=reply) as server:
        said = await studio.failed({"type": "image", "src": server.url})

    assert said.startswith("scenes.0.elements.0.src could not be fetched: ")
    assert why.partition(" 0.3")[0] in said


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("http://10.0.0.1/x.png", "is not allowed"),
        ("http://169.254.169.254/latest/meta-data/", "never a target"),
    ],
)
async def test_a_private_address_is_never_asked(studio: Studio, source: str, why: str) -> None:
    """P11: files of movies come through the one dial site."""
    said = await studio.failed({"type": "image", "src": source})

    assert said.startswith("scenes.0.elements.0.src")
    assert why in said


async def test_a_source_that_is_named_twice_is_fetched_once(studio: Studio) -> None:
    async with Receiver(default=Reply(body=png(8, 8))) as server:
        await studio.seen(
            {"type": "image", "src": server.url}, {"type": "image", "src": server.url, "start": 0.5}
        )

    assert len(server.received) == 1


# --- being ended from outside ---------------------------------------------------------------------------------

LONG = {
    "width": 1280,
    "height": 720,
    "scenes": [{"duration": 600, "elements": [{"type": "text", "text": "x"}]}],
}


def processes_in(folder: Path) -> list[int]:
    """The processes whose working folder is a workshop of this test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = str((entry / "cwd").readlink())
            except OSError:
                continue
            if place.startswith(str(folder / PREFIX)):
                found.append(int(entry.name))
    return sorted(found)


def surroundings(pid: int) -> tuple[bytes, list[str], str]:
    """A process's environment, its network devices and its standard input."""
    place = Path(f"/proc/{pid}")
    devices = [line.partition(":")[0].strip() for line in (place / "net/dev").read_text().splitlines()[2:]]
    return (place / "environ").read_bytes(), devices, str((place / "fd/0").readlink())


async def under_way(studio: Studio, **rest: Any) -> tuple[RunJob, asyncio.Task[Outcome]]:
    job = studio.job(LONG, **rest)
    task = asyncio.create_task(studio.runner.run(job, studio.watching))
    async with asyncio.timeout(20):
        await studio.watching.moved.wait()
    return job, task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- processes are not ours to wait for
            await asyncio.sleep(0.02)


@pytest.fixture
def leaves_nothing(studio: Studio) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await until(lambda: not processes_in(studio.folder))
        assert not workshops()

    return check


async def test_cancel_ends_a_render_and_leaves_nothing(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    job, task = await under_way(studio)

    assert studio.runner.cancel(job.execution_id)
    outcome = await task

    assert isinstance(outcome, Killed)
    assert not studio.runner.cancel(job.execution_id)
    await leaves_nothing()


async def test_the_time_limit_ends_a_render(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    outcome = await studio.render(LONG, timeout_ms=600)

    assert isinstance(outcome, TimedOut)
    assert outcome.failure.limit == "agent"
    await leaves_nothing()


async def test_kill_9_of_ffmpeg_fails_the_job_with_the_cause(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    _, task = await under_way(studio)
    keeper, encoder = processes_in(studio.folder)

    os.kill(encoder, signal.SIGKILL)
    outcome = await task

    assert keeper < encoder
    assert isinstance(outcome, Failed)
    assert outcome.failure.message.startswith("FFmpeg was killed by SIGKILL (out of memory?)")
    await leaves_nothing()


async def test_kill_9_of_the_keeper_ends_ffmpeg_too(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    _, task = await under_way(studio)

    os.kill(processes_in(studio.folder)[0], signal.SIGKILL)
    outcome = await task

    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "RENDER_FAILED"
    await leaves_nothing()


async def test_a_stopping_node_gives_up_what_runs_and_starts_nothing_more(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    """What waits was not started, so starting it again is free; what runs may be run again from its beginning."""
    _, task = await under_way(studio)
    waiting = asyncio.create_task(studio.render(LONG))
    await asyncio.sleep(0)

    await studio.runner.close(0.1)

    first, second = await task, await waiting
    assert isinstance(first, Lost)
    assert first.has_started
    assert isinstance(second, Lost)
    assert not second.has_started
    await leaves_nothing()


async def test_a_task_that_is_cancelled_leaves_nothing(
    studio: Studio, leaves_nothing: Callable[[], Awaitable[None]]
) -> None:
    _, task = await under_way(studio)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await leaves_nothing()


async def test_ffmpeg_has_no_network_and_none_of_the_nodes_environment(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P21."""
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", "a key that no child may see")

    job, task = await under_way(studio)
    environment, devices, inputs = surroundings(processes_in(studio.folder)[1])
    studio.runner.cancel(job.execution_id)
    await task

    assert b"HOOKLINE" not in environment
    assert inputs == "/dev/null"
    assert devices == ["lo"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/root", "/proc/1/environ", "/proc/PARENT/environ", __file__]
)
async def test_a_command_sees_no_file_but_its_own(path: str) -> None:
    """P21: whatever FFmpeg could be talked into, it finds programs and the folder of its own job."""
    path = path.replace("PARENT", str(os.getpid()))
    async with Workshop(Limits()) as workshop:
        (workshop.folder / "own").write_text("mine")
        own = await workshop.run(["/bin/cat", "own"])
        other = await workshop.run(["/bin/ls" if path == "/root" else "/bin/cat", path])

    assert own.status == 0
    assert other.status != 0
    assert "Permission denied" in other.said


async def test_a_command_cannot_write_elsewhere_or_grow_a_file_without_end() -> None:
    async with Workshop(Limits(file_bytes=100_000)) as workshop:
        outside = workshop.folder.parent / "outside"
        elsewhere = await workshop.run(["/bin/cp", "/usr/bin/env", str(outside)])
        endless = await workshop.run(["/bin/dd", "if=/dev/zero", "of=big", "bs=64k", "count=100"])
        found = await workshop.run(["/no/such/program"])

    assert elsewhere.status != 0
    assert not outside.exists()
    assert endless.status != 0
    assert found.status == 127


async def test_without_ffmpeg_it_does_not_start_and_says_what_to_do() -> None:
    runner = RenderRunner(Programs(ffmpeg="/no/such/ffmpeg"), HttpSender(AddressPolicy(())), parallel=1)

    with pytest.raises(SettingError, match=r"hookline\[render\]"):
        await runner.start()


async def test_checks_say_what_is_here(studio: Studio) -> None:
    """For ``hookline doctor``."""
    checks = await studio.runner.check()
    missing = await RenderRunner(
        Programs(ffmpeg="/no/such/ffmpeg", font="/no/such.ttf"), HttpSender(AddressPolicy(())), parallel=1
    ).check()

    assert [(one.name, one.is_met) for one in checks] == [("ffmpeg", True), ("font", True)]
    assert [(one.name, one.is_met) for one in missing] == [("ffmpeg", False), ("font", False)]
    assert "hookline[render]" in str(missing[0].remedy)


async def test_a_systems_ffmpeg_that_cannot_write_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are built without fonts; the operator's own choice is never replaced."""
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho overlay xfade amix loop geq libx264 aac\n")
    poor.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found, own = Programs().choose_ffmpeg(), Programs(ffmpeg=str(poor)).choose_ffmpeg()

    assert found.place != str(poor)
    assert found.lack is None
    assert (own.place, own.lack) == (str(poor), "it was built without drawtext")
