"""Metrics: every figure moves with what it counts, and none names anybody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import until, world

from hookline.api.metrics import FIGURES
from hookline.testing.receivers import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world import World

    from hookline.testing.receivers import Received


def answer(request: Received) -> Reply:
    return Reply(status=500 if request.target == b"/bad" else 200)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("metrics")
    with world(f"sqlite:///{folder}/hookline.db", folder, answers=answer, HOOKLINE_LOG_LEVEL="info") as found:
        yield found


def figures(one: World) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    text = one("GET", "/metrics", key=None).body.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_happens_is_counted(one: World) -> None:
    """Attempts by outcome, what became of deliveries, executions by kind and end, commits, requests by route."""
    one.webhook("/good", ["workflow.execution.completed"])
    one.webhook("/bad", ["workflow.execution.completed"], dialect="phantombuster")
    before = figures(one)

    one.ended(one.start("orders", {"amount": 1}))
    one("GET", "/api/v1/nowhere")
    one("POST", "/webhooks/workflows/orders", {}, key=None)

    def moved(*place: str) -> float:
        return figures(one).get(place, 0) - before.get(place, 0)

    until(lambda: moved("hookline_attempts_total", "http_error") == 1)
    until(lambda: moved("hookline_attempts_total", "delivered") == 1)
    assert moved("hookline_attempt_results_total", "succeeded") == 1
    assert moved("hookline_attempt_results_total", "exhausted") == 1
    assert moved("hookline_attempt_seconds_count") == 2
    assert moved("hookline_delivery_seconds_count") == 1
    assert moved("hookline_executions_ended_total", "workflow", "succeeded") == 1
    assert moved("hookline_run_seconds_count") == 1
    assert moved("hookline_launch_seconds_count") == 1
    assert moved("hookline_commit_writes_count") >= 3
    assert moved("hookline_commit_seconds_sum") > 0
    assert moved("hookline_requests_total", "/api/v1", "4xx") == 1
    assert moved("hookline_requests_total", "/webhooks/workflows/{workflow_id}", "4xx") == 1
    assert figures(one)["hookline_lease_losses_total",] == 0
    assert figures(one)["process_resident_memory_bytes",] > 10_000_000


def test_what_is_in_hand_is_shown_while_it_is(one: World) -> None:
    """Runner states: an execution is running, then it is not."""
    execution_id = one.start("slow", 5)
    place = ("hookline_node_executions", "workflow", "running")
    until(lambda: figures(one).get(place) == 1)
    assert figures(one)["hookline_runner_processes", "alone", "busy"] == 1
    one("POST", f"/api/v1/executions/{execution_id}/cancel")
    one.ended(execution_id)
    until(lambda: figures(one).get(place, 0) == 0)


def test_every_declared_figure_is_told_and_no_other(one: World) -> None:
    """docs/reference/metrics.md is made from the declarations: a scrape must hold just these."""
    text = one("GET", "/metrics", key=None).body.decode()
    told = {family.name for family in text_string_to_metric_families(text)}

    assert {name for name in told if not name.startswith("process_")} == {figure.name for figure in FIGURES}


def test_no_label_names_a_tenant(one: World) -> None:
    """P13: ids, names and URLs of anybody are nowhere in it."""
    webhook = one.webhook("/other", ["order.paid"])
    text = one("GET", "/metrics", key=None).body.decode()
    assert webhook["id"] not in text
    assert one.inbox.origin not in text
    assert "org_" not in text


def test_an_attempt_has_one_line_in_the_log(one: World) -> None:
    """Issue 6, point 4: whoever reads only the log sees how each went, and nothing of what was sent."""
    one.webhook("/good", ["log.*"])
    one.webhook("/bad", ["log.*"], dialect="phantombuster")
    one("POST", "/api/v1/events", {"type": "log.now", "data": {"canary": 1}})
    deliveries = until(
        lambda: one.get("/api/v1/deliveries?event_type=log.now")["deliveries"], lambda found: len(found) == 2
    )
    made = {delivery["id"] for delivery in deliveries}

    def told() -> list[dict[str, Any]]:
        found = [line for line in lines(one.nodes[0].log) if line["event"] == "attempt"]
        return [line for line in found if line["delivery"] in made]

    found = until(told, lambda found: len(found) >= 2)
    assert {(line["outcome"], line["status"], line["state"]) for line in found} == {
        ("delivered", 200, "succeeded"),
        ("http_error", 500, "exhausted"),
    }
    assert sorted(line["delivery"] for line in found) == sorted(made)
    assert all(one.inbox.origin not in str(line) for line in found)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
