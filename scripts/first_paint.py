#!/usr/bin/env python3
"""Measure when a browser first shows something of each page of the dashboard, on loopback: Chromium's own paint timing.

A server over a temporary database with some hundred executions and deliveries; every page is opened several times with
an empty cache. Prints the median and the slowest of each page; exit code 1 when a median is above the limit. Absolute
times say something on a quiet machine only, so no test asserts them.

    python3 scripts/first_paint.py [--times 5] [--limit-ms 300]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser_bed import Visitor, paths_of  # noqa: E402
from kinds_bed import fill  # noqa: E402
from world import World, until, world  # noqa: E402

_RUNS = 200
_FIRST_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""


def filled(site: World) -> dict[str, str]:
    """Enough for full pages: two webhooks, one of which fails, and a few hundred runs. Returns every page's path."""
    site.webhook("/good", ["*"], name="Good")
    site.webhook("/bad", ["order.*"], name="Bad", dialect="phantombuster", url="http://127.0.0.1:9/")
    for number in range(_RUNS):
        site.start("orders", {"order_id": number, "amount": number})
    site("POST", "/api/v1/events", {"type": "order.paid", "data": {}})
    made = site.trigger("orders", name="In", profile="native")
    site("POST", "/trigger/" + made["url"].split("/trigger/")[1], {}, key="wrong")
    until(lambda: site.get("/api/v1/deliveries?state=exhausted")["deliveries"], within=60)
    until(lambda: site.get("/api/v1/requests?refused=true")["requests"])
    until(lambda: not site.get("/api/v1/executions?status=queued")["executions"], within=120)
    return paths_of(site) | fill(site)


def first_paint(page: Page, url: str) -> float:
    """Milliseconds from the beginning of the navigation to the first text or picture."""
    page.goto(url)
    page.wait_for_function(_FIRST_PAINT)
    return float(page.evaluate(_FIRST_PAINT))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--times", type=int, default=5)
    arguments.add_argument("--limit-ms", type=float, default=300)
    given = arguments.parse_args()
    slow = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = f"sqlite:///{folder}/hookline.db"
        with world(database, Path(folder), HOOKLINE_UNSAFE_SCRIPTS="true") as site:
            paths = filled(site)
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox"] if os.geteuid() == 0 else [],
            )
            visitor = Visitor(site, chromium.new_context())
            visitor.sign_in()
            page = visitor.page
            visitor.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
            print(f"{'page':22} {'median ms':>10} {'slowest ms':>11}")
            for name, path in paths.items():
                taken = [first_paint(page, visitor.origin + path) for _ in range(given.times)]
                median = statistics.median(taken)
                slow += [name] if median > given.limit_ms else []
                print(f"{name:22} {median:10.0f} {max(taken):11.0f}")
            chromium.close()
    if slow:
        print(f"above {given.limit_ms:.0f} ms: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
