"""docs/how-to/write-a-durable-workflow.md, run as it is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pages import follow, running

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "how-to/write-a-durable-workflow"


@pytest.mark.timeout(120)
@pytest.mark.needs("curl")
def test_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    """Issue 5, point 5: steps that are tried again, side by side and for a limited time; a child, a wait, a cancel."""
    with running(PAGE, tmp_path) as node:
        followed = follow("how-to/write-a-durable-workflow", tmp_path, node=node)
        runs = node.api.call("GET", "/api/v1/executions")["executions"]
        first = [run for run in runs if run["automation"]["id"] == "order"][-1]
        ended = node.api.call("GET", f"/api/v1/executions/{first['id']}")
        of_child = [run for run in runs if run["automation"]["id"] == "ship"]
        failed = node.api.call("GET", f"/api/v1/executions/{of_child[-1]['id']}/steps")["unfinished"]

    assert ended["output"] == {"state": "delivered", "parcel": {"carrier": "our own van"}, "by": "Ada"}
    assert '"name":"stock of pen"' in followed.output
    assert [(step["name"], step["status"], len(step["failed_tries"])) for step in failed] == [
        ("book the carrier", "failed", 2)
    ]
    assert sorted(run["status"] for run in of_child) == ["killed", "succeeded"]
