"""A real server, real sockets: one run told in every dialect, verified as a receiver would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from world import World, world

from hookline.dialects import NAMES
from hookline.model.ids import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPECTED = dict.fromkeys(("phantombuster", "maxun", "maxun-src", "phantomflow"), 1)
CONTENT_TYPES = {"cloudevents": "application/cloudevents+json"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dialects")
    with world(f"sqlite:///{folder}/hookline.db", folder) as made:
        yield made


def test_one_run_is_told_in_every_dialect_signed_and_in_its_own_words(one: World) -> None:
    """CONTRACT section 5."""
    secrets = {
        name: one.webhook(f"/{name}", ["workflow.execution.*"], dialect=name)["secret"] for name in NAMES
    }
    execution_id = one.start("orders", {"order": 17})
    execution = one.ended(execution_id)
    bodies: dict[str, Any] = {}
    for name in NAMES:
        found = one.inbox.wait(f"/{name}", EXPECTED.get(name, 2))
        for request in found:
            headers = {key.lower(): value for key, value in request.headers}
            Verifier(secrets[name]).verify(request.body, headers)
            assert headers["content-type"] == CONTENT_TYPES.get(name, "application/json")
        assert len(found) == EXPECTED.get(name, 2)
        bodies[name] = json.loads(found[-1].body)
    job_id = execution_id.removeprefix("exec_")

    assert parse("execution", job_id) is not None
    assert bodies["phantombuster"]["resultObject"] == execution["output"]
    assert bodies["phantombuster"]["launchDuration"] == execution["launch_duration_ms"]
    assert bodies["phantombuster"]["runDuration"] == execution["run_duration_ms"]
    assert bodies["maxun"]["data"]["run_id"] == bodies["phantomflow"]["job_id"] == job_id
    assert bodies["maxun"]["data"]["started_at"] == execution["started_at"]
    assert bodies["phantomflow"]["output_url"].endswith(f"/api/v1/executions/{execution_id}")
    assert bodies["phantomflow"]["output_url"].startswith("http://127.0.0.1:")
    assert {bodies["cloudevents"]["type"], bodies["standard"]["type"]} <= {
        "workflow.execution.started",
        "workflow.execution.completed",
    }
    assert bodies["raw"]["execution_id"] == execution_id


@pytest.mark.parametrize("name", NAMES)
def test_any_published_json_arrives_in_every_dialect(one: World, name: str) -> None:
    """CONTRACT section 5: dialects word every event and never refuse."""
    one.webhook(f"/any-{name}", [f"any.{name}"], dialect=name)
    for data in (b"null", b"[]", b'{"captured_texts":7,"error":[]}', b'"\\u0000"', b"1e300", b"9" * 40):
        body = b'{"type":"any.%b","data":%b}' % (name.encode(), data)
        assert one("POST", "/api/v1/events", body).status == 202

    assert len(one.inbox.wait(f"/any-{name}", 6)) == 6
