"""The documents as a site: built without a warning, each page in its navigation, each link followed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from pages import ROOT, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = ROOT / "zensical.toml"


class Page(HTMLParser):
    """What a built page has. anchors: its ids.  links: where it leads.  loads: what a browser fetches for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := of.get(name))}
        if tag == "a" and (target := of.get("href")):
            self.links.add(target)
        elif (target := of.get("src") or of.get("href")) and of.get("rel") not in {
            "canonical",
            "prev",
            "next",
        }:
            self.loads.add(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site by its path, built in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / CONFIG.name).write_bytes(CONFIG.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    built = folder / "site"
    return {path: Page(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}


def test_every_link_of_the_site_leads_somewhere(site: dict[Path, Page]) -> None:
    broken = [
        f"{path.name}: {target}"
        for path, page in site.items()
        if path.name != "404.html"
        for target in page.links
        if not re.match(r"[a-z]+:", target) and not _is_there(site, path, target)
    ]

    assert broken == []


def _is_there(site: dict[Path, Page], path: Path, target: str) -> bool:
    where, _, anchor = unquote(target).partition("#")
    found = (path.parent / where).resolve() if where else path
    found = found / "index.html" if found.is_dir() else found
    return found.exists() and (not anchor or found not in site or anchor in site[found].anchors)


def test_the_site_loads_nothing_from_elsewhere(site: dict[Path, Page]) -> None:
    assert {target for page in site.values() for target in page.loads if "//" in target} == set()


def test_every_page_is_in_the_navigation() -> None:
    listed = set(_pages_of(tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]))
    written = {f"{page}.md" for page in pages() if page != "README" and not page.startswith("decisions/0")}

    assert listed == written


def _pages_of(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    for one in entry.values() if isinstance(entry, dict) else entry:
        yield from _pages_of(one)
