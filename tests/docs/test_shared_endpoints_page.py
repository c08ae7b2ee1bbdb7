"""docs/how-to/shared-endpoints.md, followed word by word."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pages import follow, json_values, named
from world import call, until

from hookline.core.inbound import PRESETS, sign
from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path


def test_the_signed_flow_of_the_page_takes_what_its_provider_signs(tmp_path: Path) -> None:
    """PR-17: printed app, deployed with a secret, called with Shopify's signature and without."""
    app = tmp_path / "signed.py"
    app.write_text(named("how-to/shared-endpoints", "file")["signed.py"], encoding="utf-8")
    node = NodeProcess(database=f"sqlite:///{tmp_path}/s.db", folder=tmp_path, app=app)
    node.start()
    try:
        customer = {"integration": "shop", "customer": {"external_id": "c"}}
        made = node.api.call("POST", "/api/v1/instances", customer | {"config": {"webhook_secret": "hush"}})
        path = made["webhook_urls"]["orders"].partition(str(node.port))[2]
        request = sign(PRESETS["shopify"], "hush", now=datetime.now(UTC), body=b'{"id": 17}')
        signed: dict[str, Any] = {name.replace("-", "_"): value for name, value in request.headers}
        unsigned: dict[str, Any] = {}
        answers = [
            call(node.port, "POST", path, request.body, key=None, **headers).status
            for headers in (signed, unsigned)
        ]
        run = until(lambda: _ended(node))
    finally:
        assert node.stop() == 0

    assert answers == [200, 401]
    assert run["output"] == {"order": 17}


def _ended(node: NodeProcess) -> Any:
    runs = node.api.call("GET", "/api/v1/executions?status=succeeded")["executions"]
    return runs and node.api.call("GET", f"/api/v1/executions/{runs[0]['id']}")


def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    """PR-8, PR-16, PR-17, PR-X8: two customers share a URL; a third one's request is kept."""
    wait = "until hookline executions list --status succeeded | grep -q exec_; do sleep 0.1; done"
    show = "hookline executions show $(hookline executions list | grep -oE 'exec_[0-9a-f-]{36}') --json"
    said = follow("how-to/shared-endpoints", tmp_path, then=f"{wait}\n{show}").said
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    (run,) = json_values(said["then"])

    assert "customer_required" in said["create"]
    assert one["invoke_url"] == two["invoke_url"]
    assert run["output"] == {"order": 17, "for": "customer-2", "in": "us"}
