"""Do what a recording says, in a browser (MX-14 to MX-16).

Pairs run from the last to the first, each once. When a decisive action fails (opening a page, waiting for something,
taking something out of it) its pair is tried again, and the run fails when it has failed more than ``max_repeats``
times; when any other action fails, that is logged and the robot goes on. With ``matching`` set to ``where``, the pair
that runs next is the last one whose ``where`` holds, and the run ends when none does.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from hookline.core.robots.extraction import Captured
from hookline.core.robots.where import PageState, matches, selectors_of
from hookline.model.executions import Failure
from hookline.runners.robot.reading import read_list, read_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from hookline.core.robots.recording import Action, Pair, Recording

_GOTO_MS: Final = 15_000
_MOST_ROUNDS: Final = 1_000
_MOST_SCREENSHOTS: Final = 100

_MOST_WINDOWS: Final = 50
"""That a page may open in one run; each is closed at once."""

_MATCH_SECONDS: Final = 5.0
"""How long a page may take until a pair's ``where`` holds."""

_LOOK_SECONDS: Final = 0.25

_SCHEMES: Final = frozenset({"http", "https", "about"})
_HUMP: Final = re.compile(r"([A-Z]+)")
_CALL: Final = re.compile(r"^[A-Za-z]+\.[A-Za-z_]+: ")


class Reports(Protocol):
    """Where a run tells how it goes."""

    def tell(self, level: str, text: str) -> None: ...
    def move(self, percent: int, label: str) -> None: ...
    def shot(self, file: str, name: str) -> None: ...
    def why(self, host: str) -> str | None:
        """Why the last connection to a host could not be made, None when it could."""


class RunFailedError(Exception):
    """The run is over. failure: as its event tells it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Interpreter:
    """One run of one recording. folder: where screenshots go, to be fetched from there."""

    def __init__(
        self,
        context: BrowserContext,
        recording: Recording,
        reports: Reports,
        folder: Path,
        *,
        matching: str,
        pause_ms: int,
        max_repeats: int,
    ) -> None:
        self._context = context
        self._recording = recording
        self._reports = reports
        self._folder = folder
        self._matches_where = matching == "where"
        self._pause = pause_ms / 1000
        self._max_repeats = max_repeats
        self._page: Page
        self._done: set[str] = set()
        self._actions_done = 0
        self._windows = 0
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.captured = Captured()

    def __repr__(self) -> str:
        return f"Interpreter({len(self._done)} of {len(self._recording.pairs)} pairs done, {self.captured!r})"

    async def run(self) -> None:
        """Run it to its end. Raises RunFailedError."""
        try:
            self._page = await self._context.new_page()
            self._page.on("crash", lambda _: self._end("The page crashed."))
            self._page.on("close", lambda _: self._end("The browser ended."))
            self._context.on("page", self._close_window)
            await self._run_until_the_end()
        except PlaywrightError as exc:
            raise RunFailedError(self._failure(exc, "the browser")) from exc

    async def _run_until_the_end(self) -> None:
        """Run the pairs, for as long as there is a page."""
        work = asyncio.create_task(self._run_pairs())
        either: set[asyncio.Future[Any]] = {work, self._gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
            why = self._gone.result()
            raise RunFailedError(Failure(code="FAILED", message=why, type="Error", stack=f"Error: {why}"))
        work.result()

    def _end(self, why: str) -> None:
        """The page is gone. why: one sentence."""
        if not self._gone.done():
            self._gone.set_result(why)

    async def _run_pairs(self) -> None:
        left = list(self._recording.pairs)
        failures = 0
        for _ in range(_MOST_ROUNDS):
            pair = await self._next(left)
            if pair is None:
                return
            before = self.captured.copy()
            try:
                await self._run_pair(pair)
            except _ActionFailedError as exc:
                failures += 1
                if failures > self._max_repeats or self._is_gone:
                    raise RunFailedError(
                        self._failure(exc.error, exc.action.place, exc.action.name)
                    ) from exc.error
                self.captured = before
                self._reports.tell(
                    "warning", f"{exc.action.place} failed and is tried again: {_first(exc.error)}"
                )
                continue
            failures = 0
            left.remove(pair)
            self._done.add(pair.id)
        raise RunFailedError(Failure(code="FAILED", message="The robot went round in circles.", type="Error"))

    async def _next(self, left: list[Pair]) -> Pair | None:
        """The pair to run now; None when the run is over."""
        if not left or not self._matches_where:
            return left[-1] if left else None
        asked = {selector for pair in left for selector in selectors_of(pair.where)}
        until = asyncio.get_running_loop().time() + _MATCH_SECONDS
        while True:
            state = await self._state(asked)
            for pair in reversed(left):
                if matches(pair.where, state):
                    return pair
            if asyncio.get_running_loop().time() >= until:
                self._reports.tell(
                    "info", f"no condition holds on {self._page.url}: {len(left)} pairs were not run"
                )
                return None
            await asyncio.sleep(_LOOK_SECONDS)

    async def _state(self, asked: set[str]) -> PageState:
        present = set()
        for selector in asked:
            try:
                if await self._page.locator(selector).count():
                    present.add(selector)
            except PlaywrightError:
                continue  # the page is going elsewhere, or the selector is none: it is not there now
        cookies = {str(each.get("name")): str(each.get("value")) for each in await self._context.cookies()}
        return PageState(
            url=self._page.url, selectors=frozenset(present), cookies=cookies, done=frozenset(self._done)
        )

    # --- one pair, one action ---

    async def _run_pair(self, pair: Pair) -> None:
        done_before = self._actions_done
        try:
            for action in pair.what:
                self._move(action)
                await self._run_action(action)
                self._actions_done += 1
        except _ActionFailedError:
            self._actions_done = done_before
            raise

    async def _run_action(self, action: Action) -> None:
        try:
            await self._act(action)
        except PlaywrightError as exc:
            if action.is_decisive or self._is_gone:
                raise _ActionFailedError(action, exc) from exc
            self._reports.tell(
                "warning", f"{action.place} ({action.name}) failed and was left out: {_first(exc)}"
            )
        self._check_place(action)

    async def _act(self, action: Action) -> None:
        if action.schema is not None:
            self.captured.add_texts(action.label, await read_schema(self._page, action.schema))
        elif action.list is not None:
            rows = await read_list(self._page, action.list)
            self.captured.add_list(action.label, rows)
            self._reports.tell("info", f"{action.place}: {len(rows)} rows")
        elif action.name == "screenshot":
            await self._shoot(action)
        else:
            await self._call(action)
            await asyncio.sleep(self._pause)

    async def _call(self, action: Action) -> None:
        arguments, options = list(action.arguments), {}
        if arguments and isinstance(arguments[-1], dict) and action.name != "setViewportSize":
            options = {_snake(name): value for name, value in arguments.pop().items()}
        match action.name:
            case "scroll":
                for _ in range(arguments[0] if arguments else 1):
                    await self._page.evaluate("window.scrollBy(0, window.innerHeight)")
            case "wait" | "waitForTimeout":
                await asyncio.sleep(arguments[0] / 1000)
            case "flag":
                self._reports.tell("info", " ".join(["flag", *arguments]))
            case "goto":
                self._reports.tell("info", f"goto {arguments[0]}")
                await self._page.goto(arguments[0], **{"timeout": _GOTO_MS, **options})
            case _:
                await self._method(action.name)(*arguments, **options)

    def _method(self, name: str) -> Callable[..., Awaitable[Any]]:
        """A method of the page. The recording was checked against the list of those that may be called."""
        found: Any = self._page
        for part in name.split("."):
            found = getattr(found, _snake(part))
        method: Callable[..., Awaitable[Any]] = found
        return method

    async def _shoot(self, action: Action) -> None:
        if self.captured.screenshots >= _MOST_SCREENSHOTS:
            raise PlaywrightError(f"A run takes {_MOST_SCREENSHOTS} screenshots at most")
        options = next((each for each in action.arguments if isinstance(each, dict)), {})
        name = action.label or next((each for each in action.arguments if isinstance(each, str)), None)
        file = f"shot-{self.captured.screenshots}-{self._actions_done}.png"
        wanted = {_snake(key): value for key, value in options.items() if key != "quality"}
        await self._page.screenshot(**{**wanted, "type": "png", "path": self._folder / file})
        self._reports.shot(file, self.captured.next_screenshot(name))

    # --- what goes wrong ---

    @property
    def _is_gone(self) -> bool:
        """There is no page any more to try anything with."""
        return self._gone.done() or self._page.is_closed()

    def _check_place(self, action: Action) -> None:
        """A page must not lead the robot to what is no page of the web."""
        scheme = urlsplit(self._page.url).scheme
        if scheme in _SCHEMES:
            return
        told = f"The page went to a {scheme}: address, which a robot may not visit."
        if scheme == "chrome-error":
            told = "A page that was led to could not be opened."
        stack = f"Error: {told}\n    at {action.place}"
        raise RunFailedError(Failure(code="FAILED", message=told, type="Error", stack=stack))

    def _failure(self, error: PlaywrightError, place: str, name: str | None = None) -> Failure:
        kind = "TimeoutError" if isinstance(error, PlaywrightTimeoutError) else "Error"
        text = _CALL.sub("", error.message.strip())
        message = _told(text)
        if self._is_gone:
            message = self._gone.result() if self._gone.done() else "The browser ended."
        host = _host_of(text)
        reason = None if host is None else self._reports.why(host)
        if reason is not None:
            message = f"{message}: {reason}"
        where = f"    at async Page.{name} ({place})" if name else f"    at {place}"
        return Failure(code="FAILED", message=message, type=kind, stack=f"{kind}: {text}\n{where}")

    def _move(self, action: Action) -> None:
        total = sum(len(pair.what) for pair in self._recording.pairs)
        percent = min(99, 100 * self._actions_done // total)
        self._reports.move(percent, f"{action.place} {action.name}")

    async def _close_window(self, page: Page) -> None:
        """A robot has one window; what a page opens beside it is closed."""
        if page is not self._page:
            self._windows += 1
            if self._windows > _MOST_WINDOWS:
                self._end("The page opens windows without end.")
                return
            self._reports.tell("info", f"a window that the page opened was closed: {page.url[:200]}")
            await page.close()


class _ActionFailedError(Exception):
    def __init__(self, action: Action, error: PlaywrightError) -> None:
        super().__init__(action.place)
        self.action = action
        self.error = error


def _snake(name: str) -> str:
    """Playwright's name in Python of one in JavaScript: ``waitForURL`` is ``wait_for_url``."""
    return _HUMP.sub(lambda match: "_" + match[1].lower(), name)


def _first(error: PlaywrightError) -> str:
    return _told(_CALL.sub("", error.message.strip()))


def _told(text: str) -> str:
    """The library's message in one sentence, with what it waited for."""
    head, _, log = text.partition("\nCall log:")
    head = head.strip().partition("\n")[0].rstrip(".")
    waited = next((line.strip().lstrip("- ") for line in log.splitlines() if "waiting for" in line), None)
    return f"{head} while {waited}" if waited else head


def _host_of(text: str) -> str | None:
    """The host of the page that could not be opened, of ``net::ERR_… at URL``."""
    match = re.search(r"net::ERR_\w+ at (\S+)", text)
    return urlsplit(match[1]).hostname if match else None
