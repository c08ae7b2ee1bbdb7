"""A real server with things to look at, and a real browser to look at them with."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from browser_bed import SCRIPT, Visitor, paths_of
from kinds_bed import fill
from playwright.sync_api import sync_playwright
from world import until, world

from hookline.testing.receivers import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser
    from world import World

    from hookline.testing.receivers import Received


def answer(request: Received) -> Reply:
    return Reply(status=500 if request.target == b"/bad" else 200, body=f"seen {SCRIPT}".encode())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A node with a webhook that works, one that fails, an execution and an event, all of them hostile to pages."""
    folder = tmp_path_factory.mktemp("site")
    database = f"sqlite:///{folder}/hookline.db"
    with world(database, folder, answers=answer, HOOKLINE_UNSAFE_SCRIPTS="true") as one:
        one.webhook("/good", ["*"], name=f"Good {SCRIPT}")
        one.webhook("/bad", ["*"], name="Bad", dialect="phantombuster")
        one.ended(one.start("orders", {"order_id": SCRIPT, "amount": 3}))
        one("POST", "/api/v1/events", {"type": "order.paid", "data": {"html": SCRIPT}})
        made = one.trigger("orders", name=f"In {SCRIPT}", profile="native")
        one("POST", urlsplit(made["url"]).path, {"html": SCRIPT}, key="wrong")
        until(lambda: one.get("/api/v1/deliveries?state=exhausted")["deliveries"])
        until(lambda: one.get("/api/v1/requests?refused=true")["requests"])
        yield one


@pytest.fixture(scope="module")
def pages(site: World) -> dict[str, str]:
    """Every page, by its name, with something of every kind to look at."""
    return paths_of(site) | fill(site)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that Playwright installed."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        yield started
        started.close()


@pytest.fixture
def stranger(site: World, browser: Browser) -> Iterator[Visitor]:
    context = browser.new_context()
    yield Visitor(site, context)
    context.close()


@pytest.fixture
def visitor(stranger: Visitor) -> Visitor:
    """Signed in with the admin key."""
    stranger.sign_in()
    return stranger
