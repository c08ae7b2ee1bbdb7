"""Read records out of a page: one of a schema, or those of a list through all its pages (MX-16)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from hookline.core.robots.extraction import FieldRule, ListRule, Pagination, Record, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.async_api import Page

_SCRIPT: Final = Path(__file__).with_name("page_script.js").read_text(encoding="utf-8").partition("(roots")
_READ: Final = "(roots" + _SCRIPT[2]
_READ_DOCUMENT: Final = f"(rules) => ({_READ})([document], rules)"
_READ_ELEMENTS: Final = f"(elements, rules) => ({_READ})(elements, rules)"

_LOOK_SECONDS: Final = 0.1
"""Between two looks at a page that is changing."""

_NUDGE: Final = 150
"""Pixels: more than any margin within which a page calls itself scrolled to the end."""

_MOST_PAGES: Final = 1000


class Patience:
    """How long to wait for a page, in seconds. element: for what is asked for.  scroll, click: for more of a list."""

    element = 10.0
    scroll = 2.0
    click = 10.0


async def read_schema(page: Page, fields: Mapping[str, FieldRule]) -> Record:
    """Return one record; fields that do not come are null. Raises TimeoutError when none of them comes."""
    record: Record = {}
    async for _ in _looks(Patience.element):
        record = await _evaluated(page, _READ_DOCUMENT, fields)
        if all(value is not None for value in record.values()):
            return record
    if all(value is None for value in record.values()):
        first = next(iter(fields.values())).selector
        raise PlaywrightTimeoutError(
            f"Page.waitForSelector: Timeout {Patience.element * 1000:.0f}ms exceeded.\n"
            f'Call log:\n  - waiting for locator("{first}")'
        )
    return record


async def read_list(page: Page, rule: ListRule) -> list[Record]:
    """Return the records of a list, at most its limit. Raises TimeoutError when there is no list."""
    await page.wait_for_selector(
        _for_playwright(rule.selector), state="attached", timeout=Patience.element * 1000
    )
    rows = Rows(rule.limit, is_growing=rule.pagination is not Pagination.CLICK_NEXT)
    shown = await _elements(page, rule)
    rows.add(shown)
    for _ in range(_MOST_PAGES):
        if rows.is_full or rule.pagination is Pagination.NONE or not await _go_on(page, rule):
            break
        shown = await _changed(page, rule, shown)
        if rows.add(shown) == 0:
            break
    return rows.rows


async def _go_on(page: Page, rule: ListRule) -> bool:
    """Ask for more of the list; False when there is nothing left to ask with."""
    if not rule.pagination.has_button:
        is_up = rule.pagination is Pagination.SCROLL_UP
        # A little back first: a page that is at its end already would not see another scroll to it.
        await page.evaluate(f"window.scrollBy(0, {_NUDGE if is_up else -_NUDGE})")
        await asyncio.sleep(_LOOK_SECONDS)
        await page.evaluate(
            f"window.scrollTo(0, {'0' if is_up else 'document.documentElement.scrollHeight'})"
        )
        return True
    button = page.locator(_for_playwright(rule.next)).first
    try:
        if not await button.is_visible() or not await button.is_enabled():
            return False
        if await button.get_attribute("aria-disabled") == "true":
            return False
        await button.click(timeout=Patience.click * 1000)
    except PlaywrightTimeoutError:
        return False  # it went away, or something lies over it for good
    return True


async def _changed(page: Page, rule: ListRule, before: list[Record]) -> list[Record]:
    """Wait until the list shows something else, and no longer than is sensible; return what it shows."""
    shown = before
    async for _ in _looks(Patience.click if rule.pagination.has_button else Patience.scroll):
        shown = await _elements(page, rule)
        if shown and shown != before:
            break
    return shown


async def _elements(page: Page, rule: ListRule) -> list[Record]:
    selector = rule.selector
    try:
        found: Any = await page.eval_on_selector_all(
            _for_playwright(selector), _READ_ELEMENTS, _rules(rule.fields)
        )
    except PlaywrightError as exc:
        if _is_navigating(exc):
            return []
        raise
    return _records(found, rule.fields)


async def _evaluated(page: Page, script: str, fields: Mapping[str, FieldRule]) -> Record:
    try:
        found = _records(await page.evaluate(script, _rules(fields)), fields)
    except PlaywrightError as exc:
        if not _is_navigating(exc):
            raise
        found = []
    return found[0] if found else dict.fromkeys(fields)


def _rules(fields: Mapping[str, FieldRule]) -> list[list[str]]:
    return [[name, rule.selector, rule.attribute] for name, rule in fields.items()]


def _records(found: Any, fields: Mapping[str, FieldRule]) -> list[Record]:
    """What a page says it has: it may have changed what we call, so only the shape that we asked for is taken."""
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return []
    return [{name: _text(each.get(name)) for name in fields} for each in found]


def _text(value: Any) -> str | None:
    """A text as JSON can hold it: pages may have halves of characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _is_navigating(error: PlaywrightError) -> bool:
    return "Execution context was destroyed" in error.message or "Cannot find context" in error.message


def _for_playwright(selector: str) -> str:
    return f"xpath={selector}" if selector.startswith(("/", "(", "./")) else selector


async def _looks(seconds: float) -> Any:
    """Yield now, and again until so many seconds have passed."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        yield
        if loop.time() >= until:
            return
        await asyncio.sleep(_LOOK_SECONDS)
