"""What a page is, and what lists share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from hookline.web.desk import Refusal, path_of
from hookline.web.visit import Away, View, Visit

_MOST_LINES = 5_000

Answer = Callable[[Visit], Awaitable[View | Away]]


class Page(msgspec.Struct, frozen=True):
    """One address of the dashboard. methods: GET for pages, POST for what their forms do."""

    path: str
    answer: Answer
    methods: Sequence[str] = ("GET",)


async def every_line(visit: Visit, execution_id: str) -> list[dict[str, Any]]:
    """All that a run has logged until now, as far as a page can follow: some thousand lines."""
    lines: list[dict[str, Any]] = []
    found: dict[str, Any] = {"next": ""}
    while found["next"] is not None and len(lines) < _MOST_LINES:
        path = f"{path_of('executions', execution_id)}/logs"
        found = await visit.desk.get(path, limit=500, cursor=found["next"])
        lines += found["logs"]
    return lines


async def webhook_names(visit: Visit, rows: Sequence[dict[str, Any]]) -> dict[str, str | None]:
    """What people call the webhooks that rows are about, by ``webhook_id``; None for those that are gone."""
    names: dict[str, str | None] = {}
    for id_ in {row["webhook_id"] for row in rows} - {None}:
        webhook = await found_or_none(visit, path_of("webhooks", id_))
        names[id_] = None if webhook is None else webhook["name"] or webhook["url"]
    return names


async def found_or_none(visit: Visit, path: str) -> dict[str, Any] | None:
    """What a GET answers; None for 404, such as of what was deleted and is still told of."""
    try:
        found: dict[str, Any] = await visit.desk.get(path)
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        return None
    return found


async def listed(visit: Visit, path: str, word: str, **filters: str) -> dict[str, Any]:
    """One page of a list: its rows under ``rows``, the URL of the next page under ``older``, None for the last."""
    found = await visit.desk.get(path, limit=50, cursor=visit.query("cursor"), **filters)
    cursor = found["next"]
    return {
        "rows": found[word],
        "older": None if cursor is None else visit.url(cursor=cursor),
        "newest": visit.url(cursor=None) if visit.query("cursor") else None,
        "filters": filters,
    }
