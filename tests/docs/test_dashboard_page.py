"""docs/how-to/use-the-dashboard.md, its commands run as they are printed, and its link opened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pages import follow, running
from world import call

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """A key is made, a link signs in, and a webhook that is not there is tried against the event just published."""
    with running("how-to/use-the-dashboard", tmp_path, "hookline serve") as node:
        said = follow("how-to/use-the-dashboard", tmp_path, node=node).said
        link = json.loads(said["link"])
        parts = urlsplit(link["url"])
        opened = call(node.port, "GET", f"{parts.path}?{parts.query}", key=None)

    assert "hlk_" in said["key"]
    assert (opened.status, link["role"]) == (303, "viewer")
    assert "set-cookie" in {name.lower() for name in opened.headers}
