"""One file for each group of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.web.pages import (
    alerts,
    automations,
    conversations,
    deliveries,
    events,
    executions,
    instances,
    jobs,
    organizations,
    overview,
    replays,
    robots,
    scripts,
    settings,
    triggers,
    webhooks,
)

if TYPE_CHECKING:
    from hookline.web.pages.base import Page

PAGES: Final[tuple[Page, ...]] = (
    *overview.PAGES,
    *executions.PAGES,
    *automations.PAGES,
    *conversations.PAGES,
    *jobs.PAGES,
    *robots.PAGES,
    *scripts.PAGES,
    *deliveries.PAGES,
    *webhooks.PAGES,
    *events.PAGES,
    *replays.PAGES,
    *triggers.PAGES,
    *instances.PAGES,
    *alerts.PAGES,
    *settings.PAGES,
    *organizations.PAGES,
)
