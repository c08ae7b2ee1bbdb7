"""The overview: how the organization fares, in one look."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hookline.web.pages.base import Page
from hookline.web.visit import View

if TYPE_CHECKING:
    from hookline.web.visit import Visit

_LATEST: Final = 6
_TROUBLED: Final = 4
WINDOWS: Final = ("15m", "1h", "6h", "24h", "7d")


async def overview(visit: Visit) -> View:
    wanted = visit.query("window", "1h")
    window = wanted if wanted in WINDOWS else "1h"
    stats = await visit.desk.get("/api/v1/stats", window=window)
    executions = await visit.desk.get("/api/v1/executions", limit=_LATEST)
    deliveries = await visit.desk.get("/api/v1/deliveries", limit=_LATEST)
    troubled = await visit.desk.get("/api/v1/deliveries", limit=_TROUBLED, state="exhausted")
    context = {
        "stats": stats,
        "window": window,
        "windows": WINDOWS,
        "chart": chart(stats),
        "executions": executions["executions"],
        "deliveries": deliveries["deliveries"],
        "exhausted": troubled["deliveries"],
        "is_new": not executions["executions"] and not deliveries["deliveries"],
    }
    return View(template="overview.html", context=context)


def chart(stats: dict[str, Any]) -> dict[str, Any]:
    """The series as the charts read it: every step of the window has a point; those without traffic are 0, and have no
    latency. first, step: of the points, in seconds.
    """
    step = stats["step_seconds"]
    first, last = (int(datetime.fromisoformat(stats[name]).timestamp()) for name in ("since", "until"))
    points = {int(datetime.fromisoformat(point["at"]).timestamp()): point for point in stats["series"]}
    times = list(range(first // step * step, last + 1, step))
    return {
        "first": times[0],
        "step": step,
        "successful": [points.get(at, {}).get("successful", 0) for at in times],
        "failed": [points.get(at, {}).get("failed_attempts", 0) for at in times],
        **{name: [_latency(points.get(at), name) for at in times] for name in ("p50", "p95")},
    }


def _latency(point: dict[str, Any] | None, name: str) -> int | None:
    found: int | None = None if point is None else point["latency_ms"][name]
    return found


PAGES: Final = (Page("/", overview),)
