"""Start one Chromium for one run, with nothing but the relay to reach the network by.

A fresh profile in the run's folder, its own sandbox on, an unprivileged user where we are root. What would go around
the proxy is off: QUIC, WebRTC's own sockets, name lookups, the exception for loopback. So are downloads and
whatever a browser does for people.
"""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import async_playwright

from hookline.runners.robot.messages import Ready
from hookline.runners.robot.processes import sessions_under

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, BrowserType

    from hookline.runners.robot.messages import Setup

_ENTER: Final = Path(__file__).with_name("enter.py")
_START_MS: Final = 30_000

_WIDTH, _HEIGHT = 1280, 720
"""Of the window, in pixels."""

_NO_SANDBOX: Final = ("No usable sandbox!", "without --no-sandbox is not supported")
"""What Chromium says where the kernel gives it no user namespaces, or it is root and cannot be anybody else."""

_SWITCHES: Final = (
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    # The proxy resolves; a name that the browser looks up itself would tell the name server what a page says.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-component-update",
    "--disable-speech-api",
    "--disable-notifications",
    "--mute-audio",
    # A page of a thousand frames must not become a thousand processes.
    "--renderer-process-limit=8",
    "--js-flags=--max-old-space-size=512",
)


class StartError(Exception):
    """The browser does not start. The text is for people."""


@asynccontextmanager
async def running_browser(setup: Setup, port: int) -> AsyncIterator[tuple[BrowserContext, Ready]]:
    """A browser with one empty context, and what is to be known of it. port: of the relay. Raises StartError."""
    async with async_playwright() as playwright:
        browser, is_sandboxed = await _launch(playwright.chromium, setup, port)
        sessions = sessions_under(os.getpid())
        if not sessions:
            raise StartError("Chromium ended as soon as it had started.")
        try:
            context = await browser.new_context(
                accept_downloads=False, service_workers="block", viewport={"width": _WIDTH, "height": _HEIGHT}
            )
            yield (
                context,
                Ready(
                    sessions=sorted(sessions),
                    browser_id=str(uuid.uuid4()),
                    version=browser.version,
                    is_sandboxed=is_sandboxed,
                ),
            )
        finally:
            await browser.close()


async def _launch(chromium: BrowserType, setup: Setup, port: int) -> tuple[Browser, bool]:
    """Start it with its sandbox, or without where this machine allows it none."""
    try:
        program = _program(setup, setup.chromium or chromium.executable_path)
        try:
            return await _start(chromium, setup, port, program, sandbox=True), True
        except PlaywrightError as exc:
            if not any(words in exc.message for words in _NO_SANDBOX):
                raise
        return await _start(chromium, setup, port, program, sandbox=False), False
    except (PlaywrightError, OSError) as exc:
        message = exc.message if isinstance(exc, PlaywrightError) else str(exc)
        raise StartError(f"Chromium does not start: {message.partition(chr(10))[0]}") from exc


async def _start(chromium: BrowserType, setup: Setup, port: int, program: str, *, sandbox: bool) -> Browser:
    home = str(Path(setup.folder) / "home")
    return await chromium.launch(
        executable_path=program,
        headless=True,
        chromium_sandbox=sandbox,
        args=[*_SWITCHES],
        proxy={"server": f"http://127.0.0.1:{port}", "bypass": "<-loopback>"},
        env={"HOME": home, "TMPDIR": home, "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        timeout=_START_MS,
    )


def _program(setup: Setup, chromium: str) -> str:
    """Write what Playwright starts in place of the browser; return its path."""
    user = "-" if setup.user is None else str(setup.user)
    path = Path(setup.folder) / "chromium"
    words = shlex.join([sys.executable, "-I", str(_ENTER), user, chromium])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    path.chmod(0o700)
    return str(path)
