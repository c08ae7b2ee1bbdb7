"""``/api/v1/stats``: an organization at a glance."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from hookline.api.reply import AtSite, Reader, reply
from hookline.api.statistics import stats_view, window_of

router = APIRouter(prefix="/api/v1", tags=["system"])

_CEILING: Final = 10_000
"""Numbers stop here: the answer must stay cheap in the worst hour."""


@router.get("/stats", summary="Deliveries over a window, what waits, and how executions stand")
async def overview(
    site: AtSite,
    caller: Reader,
    window: Annotated[str, Query(description="Such as 15m, 24h or 7d; 7d at most.", max_length=8)] = "1h",
) -> Response:
    store, until = site.services.store, site.services.clock.now()
    length = min(window_of(window), timedelta(days=7))
    since = until - length
    minutes = await store.traffic(caller.organization_id, since=since, until=until)
    census = await store.census(caller.organization_id, since=since, ceiling=_CEILING)
    return reply(
        {"window": window, "counts_end_at": _CEILING}
        | stats_view(minutes, since=since, until=until)
        | {
            "deliveries": {"pending": census.pending, "held": census.held},
            "executions": dict(sorted(census.executions.items())),
        }
    )
