"""The demo's movie: a render job, its progress on the server, its end told as PhantomFlow tells it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from hookline.cli.demo.errors import DemoError
from hookline.cli.demo.narrator import brief

if TYPE_CHECKING:
    from hookline.cli.demo.story import Demo

_WAIT_SECONDS: Final = 60.0
"""Longest wait for a video that takes about one second."""

MOVIE: Final[dict[str, Any]] = {
    "width": 640,
    "height": 360,
    "background": "#102030",
    "scenes": [
        {
            "duration": 2,
            "elements": [
                {"type": "text", "text": "Hello World", "font_size": 48, "position": "center", "fade": 0.5}
            ],
        },
        {
            "duration": 1,
            "transition": "wipeleft",
            "background": "#F0F0E8",
            "elements": [
                {
                    "type": "shape",
                    "shape": "ellipse",
                    "size": {"width": 120, "height": 120},
                    "color": "#C04020",
                }
            ],
        },
    ],
}


def missing() -> str | None:
    """Say what to do before a movie can be rendered here, None for nothing."""
    from hookline.runners.render.programs import HOW_TO_GET, HOW_TO_GET_FONTS, Programs

    programs = Programs()
    if programs.choose_ffmpeg().lack is not None:
        return HOW_TO_GET
    return HOW_TO_GET_FONTS if programs.find_font(None) is None else None


async def show(demo: Demo) -> None:
    """Render it, and look at the video that the webhook names."""
    await demo.register("phantomflow", ("render.job.completed", "render.job.failed"))
    wanted = demo.ledger.terminal + 1
    job = await demo.call(
        "POST", "/api/jobs", MOVIE, note=lambda got: f"job {brief(got['job_id'])}, {got['status']}"
    )
    demo.ledger.accept(f"exec_{job['job_id']}", "render", "movie")
    await demo.until_ended(wanted, seconds=_WAIT_SECONDS)
    found = await demo.call(
        "GET",
        f"/api/jobs/{job['job_id']}",
        note=lambda got: (
            f"{got['status']}, {got.get('duration_seconds')} s, {got.get('credits_used')} credits"
        ),
    )
    video = await asyncio.to_thread(demo.fetch, found["output_url"])
    if video[4:8] != b"ftyp":
        raise DemoError("the video behind output_url is no MP4 file")
    demo.narrator.note("ok", f"the video behind output_url: MP4, {len(video) // 1024} KB")
