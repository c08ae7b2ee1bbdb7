"""Every page: accessible, sound on a telephone and on a wide screen, small, and deaf to what comes from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from browser_bed import Visitor, keep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response
    from world import World

_MOST_BYTES = 150_000


def serious(found: dict[str, Any]) -> list[str]:
    """What axe-core calls serious or critical."""
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("part", range(4))
def test_axe_finds_nothing_serious_and_nothing_from_outside_runs(
    site: World, pages: dict[str, str], visitor: Visitor, part: int
) -> None:
    """In light and dark; texts of events, names and receivers are text on every page."""
    page = visitor.page
    faults = {}
    for name, path in [*pages.items(), ("login", "/login")][part::4]:
        page.emulate_media(color_scheme="light")
        visitor.go(path)
        page.wait_for_selector("main")
        found = serious(Axe().run(page).response)
        keep(page, f"{name}-light")
        page.emulate_media(color_scheme="dark")
        # Only colours can differ; the checker is in the page by now.
        found += serious(page.evaluate("axe.run({runOnly: ['color-contrast']})"))
        keep(page, f"{name}-dark")
        faults[name] = found
        assert visitor.is_unharmed(), name

    assert {name: found for name, found in faults.items() if found} == {}
    assert visitor.faults == []


@pytest.mark.parametrize("width", [360, 2560])
def test_no_page_is_wider_than_its_screen(
    site: World, pages: dict[str, str], browser: Browser, width: int
) -> None:
    """A telephone never scrolls sideways."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    visitor = Visitor(site, context)
    visitor.sign_in()
    too_wide = {}
    for name, path in pages.items():
        visitor.go(path)
        taken = visitor.page.evaluate("document.documentElement.scrollWidth")
        if taken > width:
            too_wide[name] = taken
        keep(visitor.page, f"{name}-{width}")
    context.close()

    assert too_wide == {}


def answers_of(page: Page) -> list[Response]:
    """What a page is answered from now on."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 -- a list's method cannot be wrapped
    return answers


def test_a_page_is_small_and_asks_nobody_else(site: World, pages: dict[str, str], visitor: Visitor) -> None:
    """With everything that it loads, and without what a browser has kept."""
    here = f"127.0.0.1:{site.nodes[0].port}"
    sizes: dict[str, int] = {}
    hosts = set()
    for name, path in pages.items():
        page = visitor.context.new_page()
        visitor.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
        answers = answers_of(page)
        page.goto(f"http://{here}{path}")
        # What is live never ends, and a film is as long as it is: neither is the page.
        read = [one for one in answers if "live=1" not in one.url and "/artifacts/" not in one.url]
        hosts |= {one.url.split("/")[2] for one in answers if one.url.startswith("http")}
        sizes[name] = sum(len(one.body()) for one in read if one.status == 200)
        page.close()

    assert {name: size for name, size in sizes.items() if size > _MOST_BYTES} == {}
    assert hosts == {here}
