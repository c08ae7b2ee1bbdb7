"""Somebody with a browser, and every page there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page
    from world import World

SCRIPT = "<script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>"
"""What a page must show as text, wherever it comes from."""


class Visitor:
    """Somebody with a browser. faults: what the console complained of, such as a policy that was broken."""

    def __init__(self, site: World, context: BrowserContext) -> None:
        self.origin = f"http://127.0.0.1:{site.nodes[0].port}"
        self.context = context
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on(
            "console", lambda m: self.faults.append(m.text) if m.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def go(self, path: str) -> Page:
        self.page.goto(self.origin + path)
        return self.page

    def sign_in(self, key: str = ADMIN_KEY) -> Page:
        self.go("/login")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        return self.page

    def is_unharmed(self) -> bool:
        """Nothing that came from outside ran."""
        return not self.page.evaluate("window.stolen")


def keep(page: Page, name: str) -> None:
    """Keep a picture of a page where ``HOOKLINE_PICTURES`` says, to be looked at."""
    folder = os.environ.get("HOOKLINE_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # As high as the page is: a chart is empty for a moment when its window changes while it is photographed.
        size = page.viewport_size or {"width": 1280, "height": 720}
        height = max(size["height"], page.evaluate("document.documentElement.scrollHeight"))
        page.set_viewport_size({"width": size["width"], "height": height})
        page.wait_for_timeout(100)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(size)


def paths_of(site: World) -> dict[str, str]:
    """Every page there is, with something on it."""
    exhausted: dict[str, Any] = site.get("/api/v1/deliveries?state=exhausted")["deliveries"][0]
    execution = site.get("/api/v1/executions")["executions"][0]
    webhook = site.get("/api/v1/webhooks")["webhooks"][0]
    event = site.get("/api/v1/events")["events"][-1]
    trigger = site.get("/api/v1/triggers")["triggers"][0]
    request = site.get("/api/v1/requests?refused=true")["requests"][0]
    return {
        "overview": "/",
        "executions": "/ui/executions",
        "execution": f"/ui/executions/{execution['id']}",
        "deliveries": "/ui/deliveries",
        "delivery": f"/ui/deliveries/{exhausted['id']}",
        "webhooks": "/ui/webhooks",
        "webhook": f"/ui/webhooks/{webhook['id']}",
        "webhook-new": "/ui/webhooks/new",
        "events": "/ui/events",
        "event": f"/ui/events/{event['id']}",
        "replays": "/ui/replays",
        "triggers": "/ui/triggers",
        "trigger": f"/ui/triggers/{trigger['id']}",
        "trigger-new": "/ui/triggers/new",
        "requests": "/ui/requests",
        "request": f"/ui/requests/{request['id']}",
        "instances": "/ui/instances",
        "settings": "/ui/settings",
        "alerts": "/ui/alerts",
        "automations": "/ui/automations",
        "automation": "/ui/automations/workflow/orders",
        "organizations": "/ui/organizations",
        "event-types": "/ui/event-types",
        "conversations": "/ui/conversations",
        "conversation-new": "/ui/conversations/new",
        "jobs": "/ui/jobs",
        "job-new": "/ui/jobs/new",
        "job-secret": "/ui/jobs/secret",
        "robots": "/ui/robots",
        "robot-new": "/ui/robots/new",
        "scripts": "/ui/scripts",
        "script-new": "/ui/scripts/new",
        "script-agent-new": "/ui/script-agents/new",
        "webhook-edit": f"/ui/webhooks/{webhook['id']}/edit",
    }
