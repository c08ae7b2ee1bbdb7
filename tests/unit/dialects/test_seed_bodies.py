"""The bodies that the PhantomBuster, Maxun and PhantomFlow seeds print, against what we send."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from ended_runs import RENDER, ROBOT, ROBOT_FACTS, RUN, SCRIPT, published, terminal
from golden import ENDINGS, Case, body

from hookline.dialects.maxun import captures
from hookline.model.executions import RenderFacts

FINISHED = {
    "agentId": "5027055349780535",
    "agentName": "Test Script",
    "script": "test_script_50516785467.js",
    "scriptOrg": "phantombuster",
    "branch": "test-branch-0545107204",
    "launchDuration": 121,
    "runDuration": 1850,
    "resultObject": {},
    "exitMessage": "finished",
    "exitCode": 0,
}
"""PB's printed success."""


def worded(dialect: str, case: str | Case, **options: Any) -> dict[str, Any]:
    text = body(dialect, ENDINGS[case] if isinstance(case, str) else case, options)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def shape(value: Any) -> Any:
    """Keys in order, and the JSON type of each value."""
    return {key: shape(child) for key, child in value.items()} if isinstance(value, dict) else type(value)


# --- PhantomBuster ------------------------------------------------------------------------------------------


def test_a_finished_script_is_the_seeds_printed_success() -> None:
    """PB-3, PB-4: ten keys in order, same types; agentId a text of 16 digits. No envelope, nothing else."""
    told = worded("phantombuster", "script-finished")

    assert list(told) == list(FINISHED)
    assert {key: told[key] for key in told if key not in {"agentId", "resultObject"}} == {
        key: FINISHED[key] for key in FINISHED if key not in {"agentId", "resultObject"}
    }
    assert isinstance(told["agentId"], str)
    assert len(told["agentId"]) == 16


def test_a_failed_script_is_the_seeds_printed_failure() -> None:
    """PB-6: finished, exit code 1, no result object."""
    told = worded("phantombuster", "script-exit-1")

    assert {key: told[key] for key in list(told)[5:]} == {
        "launchDuration": 93,
        "runDuration": 1034,
        "resultObject": None,
        "exitMessage": "finished",
        "exitCode": 1,
    }


@pytest.mark.parametrize(
    ("case", "message", "code"),
    [
        ("script-finished", "finished", 0),
        ("script-exit-1", "finished", 1),
        ("script-killed", "killed", 137),
        ("script-global-timeout", "global timeout", 137),
        ("script-org-timeout", "org timeout", 137),
        ("script-agent-timeout", "agent timeout", 137),
        ("script-lost", "unknown", 137),
        ("workflow-completed", "finished", 0),
        ("workflow-failed", "finished", 1),
        ("message-failed", "agent timeout", 137),
        ("robot-failed", "finished", 1),
        ("render-failed", "finished", 1),
    ],
)
def test_each_end_has_its_exit_message(case: str, message: str, code: int) -> None:
    """PB-5, PB-7: one of six texts; a code that is 0 for success alone."""
    told = worded("phantombuster", case)

    assert (told["exitMessage"], told["exitCode"]) == (message, code)
    assert code == 0 or told["resultObject"] is None


@pytest.mark.parametrize(
    ("output", "as_object", "as_text"),
    [
        (b'{"a": 1.0}', {"a": 1}, '{"a":1}'),
        (b'"text"', "text", '"text"'),
        (b"[]", [], "[]"),
        (b"0", 0, "0"),
        (b"false", False, "false"),
        (b"null", None, None),
    ],
)
def test_the_result_object_is_an_object_or_its_json_text(output: bytes, as_object: Any, as_text: Any) -> None:
    """PB-X1: the table says string, the examples show an object; null when unset in both."""
    execution = msgspec.structs.replace(SCRIPT, output=output)
    case = Case(terminal(execution), execution)

    assert worded("phantombuster", case)["resultObject"] == as_object
    assert worded("phantombuster", case, result_object="object")["resultObject"] == as_object
    assert worded("phantombuster", case, result_object="json-string")["resultObject"] == as_text


def test_todays_payload_has_a_container_id_behind_the_name() -> None:
    """PB-12: in version 2, not in the seed's."""
    assert list(worded("phantombuster", "script-finished", version=2))[:4] == [
        "agentId",
        "agentName",
        "containerId",
        "script",
    ]
    assert "containerId" not in worded("phantombuster", "script-finished", version=1)


# --- Maxun --------------------------------------------------------------------------------------------------

SUCCESS = {
    "event_type": str,
    "timestamp": str,
    "webhook_id": str,
    "data": {
        "robot_id": str,
        "run_id": str,
        "robot_name": str,
        "status": str,
        "started_at": str,
        "finished_at": str,
        "extracted_data": {
            "captured_texts": list,
            "captured_lists": {"list_1": list, "list_0": list},
            "total_rows": int,
            "captured_texts_count": int,
            "captured_lists_count": int,
            "screenshots_count": int,
        },
        "metadata": {"browser_id": str, "user_id": type(None)},
    },
}
FAILURE = {
    "event_type": str,
    "timestamp": str,
    "webhook_id": str,
    "data": {
        "robotId": str,
        "runId": str,
        "robotName": str,
        "status": str,
        "error": {"message": str, "type": str, "stack": str},
        "metadata": {"browserId": str, "userId": type(None)},
    },
}


def test_a_finished_run_has_the_seeds_shape() -> None:
    """MX-2, MX-3, MX-4, MX-X3: nested under data as in the example; we know no user number."""
    told = worded("maxun", "robot-completed")

    assert shape(told) == SUCCESS
    assert list(told["data"]) == list(SUCCESS["data"])  # type: ignore[call-overload]
    assert told["timestamp"] == told["data"]["finished_at"] == "2025-05-29T15:53:15.595Z"
    assert told["data"]["started_at"] == "2025-05-29T15:52:30.595Z"


def test_a_failed_run_has_the_seeds_shape() -> None:
    """MX-5, MX-X2, MX-X3: camelCase, error nested, no times."""
    told = worded("maxun", "robot-failed")

    assert shape(told) == FAILURE
    assert list(told["data"]) == list(FAILURE["data"])  # type: ignore[call-overload]
    assert told["data"]["error"] == {
        "message": "Timeout exceeded while waiting for element",
        "type": "TimeoutError",
        "stack": "TimeoutError: ...\n at async Page.waitForSelector...",
    }


def test_a_success_says_success_and_only_a_test_says_test() -> None:
    """MX-6, MX-X1, MX-11: the example's "test" status is a test send with the event's name edited."""
    for dialect in ("maxun", "maxun-src"):
        said = {
            case: (told["event_type"], told["data"]["status"])
            for case in ENDINGS
            for told in [worded(dialect, case)]
        }
        test = worded(dialect, "test")["data"]

        assert said.pop("test") == ("webhook_test", "test")
        assert set(said.values()) == {("run_completed", "success"), ("run_failed", "failed")}
        assert test["metadata"]["test_mode"] is True
        assert test["run_id"] == "110c4dae-c39b-4b30-a932-eff1022e4bb0"
        assert (test["started_at"], test["finished_at"]) == (
            "2025-05-29T15:52:30.595Z",
            "2025-05-29T15:53:15.595Z",
        )


def test_snake_case_on_success_camel_case_on_failure_snake_in_both_at_the_source() -> None:
    """MX-X2."""
    for dialect, case, name in (
        ("maxun", "robot-completed", "robot_id"),
        ("maxun", "robot-failed", "robotId"),
        ("maxun-src", "robot-completed", "robot_id"),
        ("maxun-src", "robot-failed", "robot_id"),
    ):
        plain, dual = worded(dialect, case)["data"], worded(dialect, case, dual_keys=True)["data"]

        assert next(iter(plain)) == next(iter(dual)) == name
        assert dual["robot_id"] == dual["robotId"] == plain[name]
        assert dual["run_id"] == dual["runId"]
        assert dual["robot_name"] == dual["robotName"]
        assert dual["metadata"]["browser_id"] == dual["metadata"]["browserId"]
        assert list(plain) == list(dual)[: len(plain)]


@pytest.mark.parametrize("dialect", ["maxun", "maxun-src"])
@pytest.mark.parametrize("case", ENDINGS)
def test_never_both_captures_and_an_error(dialect: str, case: str) -> None:
    """MX-X4."""
    data = worded(dialect, case)["data"]

    assert ("extracted_data" in data) is not ("error" in data)


def test_the_counts_read_as_the_example_does() -> None:
    """MX-X5: text fields, rows over all lists, their sum; screenshots as the run says."""
    extracted = worded("maxun", "robot-completed")["data"]["extracted_data"]

    assert {key: value for key, value in extracted.items() if key.endswith(("count", "rows"))} == {
        "total_rows": 5,
        "captured_texts_count": 3,
        "captured_lists_count": 2,
        "screenshots_count": 5,
    }
    rows = msgspec.structs.replace(
        ROBOT,
        output=b'{"captured_texts":[{"a":"1"},{"a":"2","b":"3"}],"captured_lists":{"x":[{},{}],"y":[{}]}}',
    )
    more = worded("maxun", Case(terminal(rows, ROBOT_FACTS), rows))["data"]["extracted_data"]
    assert (more["captured_texts_count"], more["captured_lists_count"], more["total_rows"]) == (3, 3, 6)


def test_the_sources_own_shape() -> None:
    """MX-12: texts by name, crawls and searches, no total; on failure partial_data_extracted and times."""
    done = worded("maxun-src", "robot-completed")["data"]["extracted_data"]
    failed = worded("maxun-src", "robot-failed")["data"]

    assert list(done) == [
        "captured_texts",
        "captured_lists",
        "crawl_data",
        "search_data",
        "captured_texts_count",
        "captured_lists_count",
        "screenshots_count",
    ]
    assert list(done["captured_texts"]) == ["Products"]
    assert failed["partial_data_extracted"] is True
    assert failed["finished_at"].endswith("Z")


@pytest.mark.parametrize(
    ("result", "texts", "lists"),
    [
        (None, {}, {}),
        ({}, {"Texts": [{}]}, {}),
        ({"a": 1}, {"Texts": [{"a": 1}]}, {}),
        ("x", {"Texts": [{"value": "x"}]}, {}),
        ([1, {"a": 2}], {}, {"list_0": [{"value": 1}, {"a": 2}]}),
        ({"captured_texts": None}, {}, {}),
        ({"captured_texts": []}, {}, {}),
        ({"captured_texts": "x"}, {"Texts": [{"value": "x"}]}, {}),
        ({"captured_texts": {"A": {"a": 1}}}, {"A": [{"a": 1}]}, {}),
        ({"captured_lists": [1, 2]}, {}, {"list_0": [1, 2]}),
        ({"search_data": {"q": 1}}, {}, {}),
    ],
)
def test_a_result_of_any_shape_is_read_as_captures(result: Any, texts: Any, lists: Any) -> None:
    """CONTRACT section 5: a published event is a success with its data as the result."""
    captured = captures(result)

    assert (captured.texts, captured.lists) == (texts, lists)


def test_the_configuration_is_named_in_every_body() -> None:
    """MX-10: webhook_id is the configuration's, so it is no key to dedupe by; ``webhook-id`` is."""
    assert worded("maxun", "published")["webhook_id"] == worded("maxun", "robot-failed")["webhook_id"]


# --- PhantomFlow --------------------------------------------------------------------------------------------


def test_a_completed_job_is_the_seeds() -> None:
    """PF-3: number of seconds, whole credits."""
    assert worded("phantomflow", "render-completed") == {
        "job_id": "110c4dae-0000-7000-8000-eff1022e4bb0",
        "status": "completed",
        "output_url": "https://cdn.example.com/output/a1b2c3d4.mp4",
        "duration_seconds": 15.2,
        "credits_used": 16,
    }


def test_a_failed_job_is_the_seeds() -> None:
    """PF-3, PF-7: the other case's keys are absent; exit code and cause reach the receiver."""
    assert worded("phantomflow", "render-failed") == {
        "job_id": "110c4dae-0000-7000-8000-eff1022e4bb0",
        "status": "failed",
        "error": {
            "code": "RENDER_FAILED",
            "message": "FFmpeg exited with code 1: Invalid video source URL",
        },
    }


@pytest.mark.parametrize("case", ENDINGS)
def test_every_end_has_the_seeds_keys_in_order(case: str) -> None:
    """PF-3."""
    told = worded("phantomflow", case)
    keys = [key for key in told if key != "metadata"]

    if told["status"] == "completed":
        assert keys == ["job_id", "status", "output_url", "duration_seconds", "credits_used"]
    else:
        assert keys == ["job_id", "status", "error"]
        assert list(told["error"]) == ["code", "message"]


def test_a_jobs_own_metadata_is_echoed() -> None:
    """PF-11: the correlation field that users look for; absent without one."""
    assert worded("phantomflow", "render-completed-with-metadata")["metadata"] == {"order": 17}
    assert "metadata" not in worded("phantomflow", "render-completed")


def test_two_published_events_have_two_job_ids() -> None:
    """PF-5: receivers dedupe by job_id, so each event needs its own."""
    one = published({})
    other = msgspec.structs.replace(one, key=b"k" * 16)

    assert worded("phantomflow", Case(one))["job_id"] != worded("phantomflow", Case(other))["job_id"]


@pytest.mark.parametrize(
    ("data", "url", "seconds", "used"),
    [
        (
            {"output_url": "https://x.test/a", "duration_seconds": 1.5, "credits_used": 2},
            "https://x.test/a",
            1.5,
            2,
        ),
        ({"url": "http://x.test/b", "credits_used": 0.2}, "http://x.test/b", None, 1),
        ("https://x.test/c", "https://x.test/c", None, None),
        ({"output_url": "ftp://x.test", "duration_seconds": "9", "credits_used": True}, None, None, None),
        ([1], None, None, None),
    ],
)
def test_a_published_event_may_bring_the_facts_itself(data: Any, url: Any, seconds: Any, used: Any) -> None:
    """CONTRACT section 5: output_url the result's URL; what does not exist is null."""
    told = worded("phantomflow", Case(published(data)))

    assert (told["output_url"], told["duration_seconds"], told["credits_used"]) == (url, seconds, used)


def test_a_result_without_a_url_is_at_its_execution() -> None:
    """CONTRACT section 5."""
    assert worded("phantomflow", "workflow-completed")["output_url"] == (
        "https://hooks.example.com/api/v1/executions/exec_110c4dae-0000-7000-8000-eff1022e4bb0"
    )
    execution = msgspec.structs.replace(RUN, output=b'{"url":"https://x.test/report"}')
    named = worded("phantomflow", Case(terminal(execution), execution))
    assert named["output_url"] == "https://x.test/report"


def test_a_render_without_facts_still_ends() -> None:
    """CONTRACT section 5: facts that do not exist are null."""
    told = worded("phantomflow", Case(terminal(RENDER, RenderFacts()), RENDER))

    assert told["duration_seconds"] is None
    assert told["status"] == "completed"
    assert told["output_url"].endswith(told["job_id"])
