"""Every page is typed as it is printed: its commands succeed, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import TUTORIAL, blocks, follow, named, pages, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.nodes import NodeProcess

TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    page
    for path in TESTS.rglob("test_*.py")
    for page in re.findall(r'follow\(\s*"([\w/-]+)"', path.read_text(encoding="utf-8"))
}
"""Pages that a test types and looks closer at."""
APART = {"how-to/run-on-several-machines"}
"""Typed over PostgreSQL, with several nodes and nginx: test_several_machines.py."""
TYPED = [
    page
    for page in pages()
    if page not in ELSEWHERE | APART and (blocks(page, "run") or blocks(page, "serve"))
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """The server of pages that have no app of their own."""
    with running(TUTORIAL, tmp_path_factory.mktemp("shared")) as node:
        yield node


@pytest.mark.timeout(120)
@pytest.mark.needs("curl", "openssl")
@pytest.mark.parametrize("page", TYPED)
def test_a_page_works_as_it_is_printed(page: str, shared: NodeProcess, tmp_path: Path) -> None:
    is_own = "app.py" in named(page, "file") or blocks(page, "serve")

    followed = follow(page, tmp_path, node=None if is_own else shared)

    assert '"success":false' not in "".join(text for block, text in followed.printed if not block.name)
