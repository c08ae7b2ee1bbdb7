"""The example shop does what its comments say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hookline.model.states import Kind
from hookline.ports.runner import Suspended

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOP = Path(__file__).parents[3] / "examples" / "orders" / "app.py"


async def test_an_order_is_paid(new_runs: Any) -> None:
    runs = await new_runs(SHOP, warm=1)
    order = {"order_id": "A-1001", "items": [{"sku": "tea", "price": 4.5, "count": 2}]}
    outcome, kept = await runs.run("orders", order)

    assert json.loads(outcome.output) == {
        "order_id": "A-1001",
        "status": "paid",
        "total": 12.0,
        "charge_id": "ch_A-1001",
    }
    assert [emit.type for emit in kept.emits] == ["order.paid"]
    assert kept.credits == 1.5


async def test_an_order_may_wait_for_approval(new_runs: Any) -> None:
    runs = await new_runs(SHOP, warm=1)
    outcome, _ = await runs.run("orders", {"needs_approval": True})

    assert isinstance(outcome, Suspended)
    assert outcome.wait_name == "approved"


async def test_support_answers_and_settles(new_runs: Any) -> None:
    runs = await new_runs(SHOP, warm=1)
    answer, _ = await runs.run("support", {"message": "Where is it?"}, kind=Kind.AGENT)
    settled, _ = await runs.run("support", {"message": "Thank you"}, kind=Kind.AGENT)

    assert "Where is it?" in json.loads(answer.output)
    assert answer.resolution is None
    assert json.loads(settled.resolution)["type"] == "solved"
