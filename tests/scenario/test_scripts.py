"""Script agents on real nodes over both stores: launched, run, ended for each of their reasons, told as PB-3 says."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from script_bed import processes_with
from world import World, database_of, until, world

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.timeout(120)

PB_KEYS = [
    "agentId", "agentName", "script", "scriptOrg", "branch", "launchDuration", "runDuration", "resultObject",
    "exitMessage", "exitCode",
]  # fmt: skip
SLEEPS = "import time\nprint('ready')\ntime.sleep(60)"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running node over each store, whose processes may run for eight seconds."""
    folder = tmp_path_factory.mktemp("scripts")
    with world(database_of(request, folder), folder, HOOKLINE_MAX_RUN_SECONDS="8") as found:
        yield found


class Agent:
    """An agent with a webhook of its own."""

    def __init__(
        self, one: World, slug: str, source: str, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> None:
        self.one, self.slug, self.headers = one, slug, headers or {}
        self.hook = f"/{slug}"
        made = self.call("POST", "/api/v1/scripts", {"slug": slug, "source": source})
        assert made.status == 201, made
        self.script = made.json
        body = {"script": slug, "name": f"Agent of {slug}", "webhook": one.inbox.origin + self.hook, **fields}
        made = self.call("POST", "/api/v1/script-agents", body)
        assert made.status == 201, made
        self.view = made.json
        self.place = f"/api/v1/script-agents/{made.json['id']}"

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers: dict[str, Any] = dict(self.headers)
        return self.one(method, path, body, **headers)

    def launch(self, body: object = None) -> str:
        launched = self.call("POST", f"{self.place}/launch", body)
        assert (launched.status, launched.json["status"]) == (202, "queued"), launched
        return str(launched.json["execution_id"])

    def until_said(self, execution_id: str, text: str) -> None:
        until(
            lambda: self.call("GET", f"/api/v1/executions/{execution_id}/logs").json["logs"],
            lambda lines: any(line["text"] == text for line in lines),
            within=20,
        )

    def ended(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = until(
            lambda: self.call("GET", f"/api/v1/executions/{execution_id}").json,
            lambda execution: execution["completed_at"] is not None,
            within=25,
        )
        return found

    def told(self, count: int = 1) -> dict[str, Any]:
        """The body of its latest webhook."""
        body: dict[str, Any] = json.loads(self.one.inbox.wait(self.hook, count, within=25)[count - 1].body)
        return body


def test_an_agent_runs_and_its_webhook_is_the_seeds(one: World) -> None:
    """PB-1 to PB-4, PB-6: key for key; the agent's number is the one that it was made with."""
    source = "from hookline_agent import *\nset_result_object({'seen': get_argument()})\nprint('done')"
    agent = Agent(one, "test_script_50516785467.py", source, argument={"city": "Zürich"})
    execution = agent.ended(agent.launch())
    body = agent.told()

    assert list(body) == PB_KEYS
    assert (body["agentId"], len(body["agentId"])) == (agent.view["id"], 16)
    assert int(body["agentId"]) < 2**53
    assert body == {
        "agentId": agent.view["id"],
        "agentName": "Agent of test_script_50516785467.py",
        "script": "test_script_50516785467.py",
        "scriptOrg": "default",
        "branch": "main",
        "launchDuration": execution["launch_duration_ms"],
        "runDuration": execution["run_duration_ms"],
        "resultObject": {"seen": {"city": "Zürich"}},
        "exitMessage": "finished",
        "exitCode": 0,
    }
    assert (execution["status"], execution["automation"]["kind"]) == ("succeeded", "script")
    assert execution["run_duration_ms"] > 0


def test_a_launch_brings_its_own_argument_and_any_json(one: World) -> None:
    """PB-13, in our words: an object or a text, for this launch alone; twice or too large is refused."""
    agent = Agent(
        one, "echo.js", "const a = require('hookline_agent'); a.setResultObject(a.getArgument())", argument=7
    )
    bodies = ({"argument": {"a": [1, None]}}, {"input": "text"}, {"argument": None}, None)
    seen = [agent.ended(agent.launch(body))["output"] for body in bodies]
    place = f"{agent.place}/launch"
    both = agent.call("POST", place, {"argument": 1, "input": 1})
    large = agent.call("POST", place, {"argument": "x" * (1 << 20)})
    nobody = one("POST", place, {}, key=None)

    assert seen == [{"a": [1, None]}, "text", None, 7]
    assert [answer.status for answer in (both, large, nobody)] == [400, 413, 401]


def test_a_script_that_fails_is_finished_without_a_result(one: World) -> None:
    """PB-6: exitMessage "finished", exitCode 1, resultObject null."""
    agent = Agent(one, "fails.py", "import hookline_agent as a\na.set_result_object(1)\nraise SystemExit(1)")
    execution = agent.ended(agent.launch())
    body = agent.told()

    assert execution["status"] == "failed"
    assert (body["exitMessage"], body["exitCode"], body["resultObject"]) == ("finished", 1, None)


def test_a_stop_by_the_api_is_killed(one: World) -> None:
    """PB-7; one terminal event, whoever asks how often."""
    agent = Agent(one, "stopped.py", SLEEPS)
    execution_id = agent.launch()
    agent.until_said(execution_id, "ready")
    for _ in range(3):
        agent.call("POST", f"/api/v1/executions/{execution_id}/cancel")
    execution = agent.ended(execution_id)
    body = agent.told()

    assert execution["status"] == "killed"
    assert (body["exitMessage"], body["exitCode"]) == ("killed", 143)
    assert len(one.inbox.at(agent.hook)) == 1


def test_limits_of_agent_and_server_end_a_run_by_their_names(one: World) -> None:
    """PB-7: agent timeout, global timeout; kill -9 is 137. PB-14: ``time_seconds`` is an agent's executionTimeLimit,
    and what PhantomBuster has as status and endType is the status and its error's ``limit``.
    """
    short = Agent(one, "short.py", SLEEPS, limits={"time_seconds": 1})
    long = Agent(one, "long.py", SLEEPS, limits={"time_seconds": 600})
    ids = short.launch(), long.launch()
    ends = short.ended(ids[0]), long.ended(ids[1])

    assert [end["status"] for end in ends] == ["timed_out", "timed_out"]
    assert [end["error"]["limit"] for end in ends] == ["agent", "global"]
    assert (short.told()["exitMessage"], short.told()["exitCode"]) == ("agent timeout", 137)
    assert (long.told()["exitMessage"], long.told()["exitCode"]) == ("global timeout", 137)


def test_the_quota_of_an_organization_ends_a_run_and_then_refuses_the_next(one: World) -> None:
    """PB-7: org timeout. Another organization goes on."""
    made = one("POST", "/api/v1/organizations", {"name": "Thrifty"})
    quota = {"run_quota": {"seconds": 1, "window_seconds": 3600}}
    changed = one("PATCH", f"/api/v1/organizations/{made.json['id']}", quota)
    headers = {"Hookline_Organization": made.json["id"]}
    agent = Agent(one, "thrifty.py", SLEEPS, headers=headers)
    first = agent.ended(agent.launch())
    second = agent.ended(agent.launch())
    bodies = [agent.told(1), agent.told(2)]

    assert changed.json["run_quota"] == quota["run_quota"]
    assert [first["status"], second["status"]] == ["timed_out", "timed_out"]
    assert [body["exitMessage"] for body in bodies] == ["org timeout", "org timeout"]
    assert [body["scriptOrg"] for body in bodies] == ["thrifty", "thrifty"]
    assert second["started_at"] is None


def test_what_was_read_can_be_written_back_and_a_script_named_by_its_id(one: World) -> None:
    agent = Agent(one, "round.py", "print(1)")
    script = agent.call("GET", f"/api/v1/scripts/{agent.script['id']}").json
    same = agent.call("PUT", f"/api/v1/scripts/{agent.script['id']}", script)
    shown = agent.call("GET", agent.place).json
    again = agent.call("PUT", agent.place, shown)
    by_id = agent.call("POST", "/api/v1/script-agents", {"script": agent.script["id"]})

    assert (same.status, same.json["version"]) == (200, 1)
    assert (again.status, again.json) == (200, shown)
    assert (by_id.json["script"], by_id.json["branch"]) == ("round.py", "main")


def test_a_replay_runs_the_newest_version_with_the_same_argument(one: World) -> None:
    agent = Agent(
        one, "versions.py", "import hookline_agent as a; a.set_result_object(['old', a.get_argument()])"
    )
    first = agent.launch({"argument": 1.0})
    agent.ended(first)
    newer = "import hookline_agent as a; a.set_result_object(['new', a.get_argument()])"
    put = agent.call("PUT", f"/api/v1/scripts/{agent.script['id']}", {"source": newer})
    replay = agent.call("POST", f"/api/v1/executions/{first}/replay").json
    versions = agent.call("GET", f"/api/v1/scripts/{agent.script['id']}/versions").json["versions"]
    old = agent.call("GET", f"/api/v1/scripts/{agent.script['id']}/versions/1").json

    assert put.json["version"] == 2
    assert agent.ended(first)["output"] == ["old", 1.0]
    assert agent.ended(replay["execution_id"])["output"] == ["new", 1.0]
    assert [one["version"] for one in versions] == [2, 1]
    assert "'old'" in old["source"]


def test_a_trigger_launches_an_agent_too(one: World) -> None:
    """A URL of its own, answered with the result."""
    source = "import hookline_agent as a; a.set_result_object({'got': a.get_argument()})"
    agent = Agent(one, "triggered.py", source)
    made = one.trigger(agent.view["id"], "script", profile="native", synchronous=True)
    path = "/" + made["url"].split("/", 3)[3]
    answer = one("POST", path, {"order": 7}, key=made["token"])

    assert (answer.status, answer.json) == (200, {"got": {"order": 7}})


def test_a_caller_is_called_back_when_a_script_has_ended(one: World) -> None:
    """`callback_url` of a trigger works for scripts as for workflows: the terminal event, signed."""
    agent = Agent(one, "calls_back.py", "import hookline_agent as a; a.set_result_object(a.get_argument())")
    made = one.trigger(agent.view["id"], "script", profile="native", callbacks=True)
    path = "/" + made["url"].split("/", 3)[3]
    callback = one.inbox.origin + "/called-back"
    answer = one("POST", path, {"n": 1}, key=made["token"], Hookline_Callback=callback)
    (request,) = one.inbox.wait("/called-back", within=20)
    data = json.loads(request.body)["data"]

    assert answer.status == 202
    assert (data["execution_id"], data["output_data"]) == (answer.json["execution_id"], {"n": 1})
    assert (data["script"], data["exit_code"]) == ("calls_back.py", 0)


def test_files_that_a_script_leaves_are_kept_and_told(one: World) -> None:
    """Listed, read by key and by the link of the terminal event; another organization sees none of it (P14)."""
    source = "from hookline_agent import artifacts_dir\n(artifacts_dir() / 'report.csv').write_text('a,b')"
    agent = Agent(one, "leaves_files.py", source)
    one.webhook("/files", ["script.*"], automation={"kind": "script", "id": agent.view["id"]})
    execution_id = agent.launch()
    place = f"/api/v1/executions/{execution_id}/artifacts"
    agent.ended(execution_id)
    agent.told()
    _, ended = one.inbox.wait("/files", 2, within=20)
    (told,) = json.loads(ended.body)["data"]["artifacts"]
    (listed,) = one.get(place)["artifacts"]
    by_key = one("GET", f"{place}/report.csv")
    by_link = one("GET", "/" + told["url"].split("/", 3)[3], key=None)
    other = one("POST", "/api/v1/organizations", {"name": "Curious"}).json["id"]
    foreign = [one("GET", path, Hookline_Organization=other) for path in (place, f"{place}/report.csv")]

    assert told == {name: value for name, value in listed.items() if name != "created_at"}
    assert (told["name"], told["content_type"], told["size"]) == ("report.csv", "text/csv", 3)
    assert (by_key.status, by_key.body, by_link.status, by_link.body) == (200, b"a,b", 200, b"a,b")
    assert by_link.headers["content-disposition"] == 'attachment; filename="report.csv"'
    assert [answer.status for answer in foreign] == [404, 404]


def test_another_organization_sees_neither_script_nor_agent(one: World) -> None:
    """P14: foreign and missing look the same; the same slug is free there."""
    agent = Agent(one, "mine.py", "print(1)")
    made = one("POST", "/api/v1/organizations", {"name": "Other"})
    headers = {"Hookline_Organization": made.json["id"]}
    answers = [
        one(method, path, body, **headers)
        for method, path, body in (
            ("GET", agent.place, None),
            ("PUT", agent.place, {"name": "x"}),
            ("DELETE", agent.place, None),
            ("POST", f"{agent.place}/launch", None),
            ("GET", f"/api/v1/scripts/{agent.script['id']}", None),
            ("GET", f"/api/v1/scripts/{agent.script['id']}/versions/1", None),
            ("PUT", f"/api/v1/scripts/{agent.script['id']}", {"source": ""}),
            ("DELETE", f"/api/v1/scripts/{agent.script['id']}", None),
        )
    ]
    foreign = one("POST", "/api/v1/script-agents", {"script": "mine.py"}, **headers)
    own = one("POST", "/api/v1/scripts", {"slug": "mine.py", "source": "print(2)"}, **headers)

    assert [answer.status for answer in answers] == [404] * 8
    assert (foreign.status, foreign.json["error"]["code"]) == (400, "SCRIPT_UNKNOWN")
    assert own.status == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "../x.py", "source": ""}, "slug"),
        ({"slug": "x.sh", "source": ""}, "slug"),
        ({"slug": "x.py", "source": "", "branch": "a b"}, "branch"),
        ({"slug": "x.py", "source": "\0"}, "source"),
        ({"slug": "x.py", "source": "x" * 600_000}, "source"),
        ({"slug": "x.py"}, "source"),
    ],
)
def test_a_script_that_cannot_be_is_refused(one: World, body: dict[str, str], field: str) -> None:
    answer = one("POST", "/api/v1/scripts", body)

    assert (answer.status, answer.json["error"]["details"]["field"]) == (400, field)


def test_a_script_in_use_stays_and_an_agent_takes_its_webhook_along(one: World) -> None:
    agent = Agent(one, "kept.py", "print(1)")
    again = one("POST", "/api/v1/scripts", {"slug": "kept.py", "source": "print(2)"})
    refused = one("DELETE", f"/api/v1/scripts/{agent.script['id']}")
    changed = one("PUT", agent.place, {"limits": {"memory_mb": 128}, "max_parallelism": 3})
    gone = one("DELETE", agent.place)
    webhook = one("GET", f"/api/v1/webhooks/{agent.view['webhook']['id']}")
    deleted = one("DELETE", f"/api/v1/scripts/{agent.script['id']}")

    assert (again.status, again.json["error"]["code"]) == (409, "SCRIPT_EXISTS")
    assert (refused.status, refused.json["error"]["code"]) == (409, "SCRIPT_IN_USE")
    assert changed.json["limits"] == {"time_seconds": 900, "memory_mb": 128, "disk_mb": 64, "processes": 64}
    assert "secret" not in changed.json["webhook"]
    assert (gone.status, webhook.status, deleted.status) == (204, 404, 204)


def test_an_agents_webhook_that_cannot_be_is_named_and_one_that_was_deleted_is_made_anew(one: World) -> None:
    """PB-1; the field is the caller's own, not that of the webhook behind it."""
    agent = Agent(one, "renewed.py", "print(1)")
    refused = one("PUT", agent.place, {"webhook": "http://10.0.0.1/"})
    one("DELETE", f"/api/v1/webhooks/{agent.view['webhook']['id']}")
    without = one.get(agent.place)["webhook"]
    made = one("PUT", agent.place, {"webhook": agent.one.inbox.origin + agent.hook})
    agent.ended(agent.launch())

    assert (refused.status, refused.json["error"]["details"]["field"]) == (400, "webhook")
    assert without is None
    assert made.json["webhook"]["secret"].startswith("whsec_")
    assert agent.told()["agentName"] == "Agent of renewed.py"


def test_a_node_that_is_killed_leaves_no_process_and_the_run_is_unknown(one: World) -> None:
    """PB-7: lost worker → "unknown", told once, after the next start. No orphan, whatever the script did."""
    source = """
import os, subprocess, time
subprocess.Popen(["sleep", "4713.5"], start_new_session=True)
print("ready")
time.sleep(60)
"""
    agent = Agent(one, "orphan_4713.py", source)
    execution_id = agent.launch()
    agent.until_said(execution_id, "ready")
    until(lambda: processes_with("4713.5"))
    os.kill(one.nodes[0].pid, signal.SIGKILL)
    one.nodes[0].kill()
    until(lambda: processes_with("4713.5") + processes_with("orphan_4713.py"), lambda found: not found)
    one.nodes[0].start()
    execution = agent.ended(execution_id)
    body = agent.told()

    assert execution["status"] == "lost"
    assert (body["exitMessage"], body["exitCode"], body["script"]) == ("unknown", 137, "orphan_4713.py")
    assert len(one.inbox.at(agent.hook)) == 1
