"""One file for each group of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.web.pages import (
    deliveries,
    events,
    executions,
    instances,
    overview,
    replays,
    settings,
    triggers,
    webhooks,
)

if TYPE_CHECKING:
    from hookline.web.pages.base import Page

PAGES: Final[tuple[Page, ...]] = (
    *overview.PAGES,
    *executions.PAGES,
    *deliveries.PAGES,
    *webhooks.PAGES,
    *events.PAGES,
    *replays.PAGES,
    *triggers.PAGES,
    *instances.PAGES,
    *settings.PAGES,
)
