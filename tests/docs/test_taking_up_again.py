"""docs/how-to/when-requests-are-refused.md and replay-what-came-in.md, followed word by word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pages import follow, source

from hookline.api import call, records, requests

if TYPE_CHECKING:
    from pathlib import Path


def test_refused_requests_run_when_the_secret_is_mended(tmp_path: Path) -> None:
    """Issue 3, point 7: as the page says, from the 401 to the run."""
    said = follow("how-to/when-requests-are-refused", tmp_path).said

    assert said["create"].count("refused") == 3
    assert "signature_mismatch" in said["explain"]
    assert "it would not run now" in said["explain"]
    assert "3 of 3 refused requests fit now" in said["mend"]
    assert "3 started" in said["mend"]


def test_what_came_in_is_run_again(tmp_path: Path) -> None:
    """Issue 3, point 8: as the page says, with a preview first."""
    said = follow("how-to/replay-what-came-in", tmp_path).said

    assert "3 requests, 10 a second" in said["preview"]
    assert "completed: 3 started, 0 skipped" in said["replay"]
    assert len(re.findall(r"^exec_", said["replay"], re.MULTILINE)) == 6


def test_the_page_knows_the_bounds() -> None:
    page = source("how-to/when-requests-are-refused")

    assert call.MOST_KEPT_BYTES == 1 << 20
    assert call.FEWEST_KEPT_BYTES == 64 * 1024
    assert "up to 1 MiB" in page
    assert "64 KiB" in page
    assert "300 refused requests at once and five a second" in page
    assert records.MOST_QUERY == 4_096
    assert f"0.01 to {requests.MOST_RERUNS_PER_SECOND:,}" in source("how-to/replay-what-came-in")
