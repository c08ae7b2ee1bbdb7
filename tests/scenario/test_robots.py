"""Robots over HTTP, on both stores: stored, run in a real browser, told in Maxun's dialects (MX), their files kept."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bucket import bucket, objects
from programs import chromium
from robot_site import Site, robot_site
from world import call, every_event, terminal_events, until, world

from hookline.runners.robot.processes import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World

    from hookline.testing.postgres import PostgresServer

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    chromium()
    with robot_site() as found:
        yield found


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("robots")
    database = f"sqlite:///{folder / 'hookline.db'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = server.fresh_database()
    with world(database, folder) as found:
        yield found


def shop(site: Site, *more: dict[str, Any]) -> dict[str, Any]:
    """Texts, two lists and a picture, as the seed's example has them."""
    row = {"listSelector": "li.item", "fields": {"Name": ".name", "Price": ".price"}, "limit": 1}
    return {
        "workflow": [
            *({"where": {}, "what": [action]} for action in more),
            {
                "where": {"url": f"{site.url}/list"},
                "what": [
                    {"action": "scrapeList", "args": [row]},
                    {"action": "scrapeList", "args": [row | {"limit": 1}]},
                    {"action": "screenshot", "args": [{"fullPage": True}], "name": "The list"},
                ],
            },
            {"where": {}, "what": [{"action": "goto", "args": [f"{site.url}/list"]}]},
            {
                "where": {"url": f"{site.url}/"},
                "what": [
                    {
                        "action": "scrapeSchema",
                        "args": [{"Product Name": ".title", "Price": "#price", "Rating": ".rating"}],
                    }
                ],
            },
            {"where": {"url": "about:blank"}, "what": [{"action": "goto", "args": [f"{site.url}/"]}]},
        ]
    }


def robot(one: World, recording: dict[str, Any], **fields: Any) -> str:
    body = {"name": "Test Robot", "recording": recording, "pause_ms": 0, "max_repeats": 0, **fields}
    made = one("POST", "/api/v1/robots", body)
    assert made.status == 201, made
    return str(made.json["id"])


def run(one: World, robot_id: str, body: object = None) -> str:
    started = one("POST", f"/api/v1/robots/{robot_id}/runs", body)
    assert (started.status, started.json["status"]) == (202, "queued"), started
    return str(started.json["execution_id"])


def like(found: Any, wanted: Any, place: str = "") -> None:
    """Assert the same keys and types, as far as the wanted value shows them."""
    assert type(found) is type(wanted) or found is None, f"{place}: {found!r} for {wanted!r}"
    if isinstance(wanted, dict):
        assert list(found) == list(wanted), place
        for name, value in wanted.items():
            like(found[name], value, f"{place}.{name}")
    if isinstance(wanted, str):
        for shape in (TIME, UUID):
            assert shape.fullmatch(wanted) is None or shape.fullmatch(found), (
                f"{place}: {found!r} for {wanted!r}"
            )


@pytest.fixture(scope="module")
def execution(one: World, site: Site) -> dict[str, Any]:
    """One run that has succeeded, with a webhook in each of Maxun's dialects."""
    robot_id = robot(one, shop(site))
    only = {"kind": "robot", "id": robot_id}
    one.webhook("/maxun", ["robot.*"], dialect="maxun", automation=only)
    one.webhook("/maxun-src", ["robot.*"], dialect="maxun-src", automation=only)
    return one.ended(run(one, robot_id), within=60)


def test_a_real_run_is_told_as_the_seed_has_it(one: World, execution: dict[str, Any]) -> None:
    """MX-2 to MX-4, MX-12, MX-X5, and MX-X4: never both captures and an error."""
    assert execution["status"] == "succeeded", execution
    (seed,) = one.inbox.wait("/maxun")
    body = json.loads(seed.body)
    like(body, EXAMPLE)
    data = body["data"]
    assert body["event_type"] == "run_completed"
    assert data["status"] == "success"
    assert data["robot_name"] == "Test Robot"
    assert data["run_id"] == execution["id"].removeprefix("exec_")
    assert data["extracted_data"] == {
        "captured_texts": [
            {"Product Name": "MacBook Pro 16-inch M3 Max", "Price": "$3,999.00", "Rating": "4.8/5 stars"}
        ],
        "captured_lists": {
            "list_0": [{"Name": "Laptop 1", "Price": "$100.00"}],
            "list_1": [{"Name": "Laptop 1", "Price": "$100.00"}],
        },
        "total_rows": 5,
        "captured_texts_count": 3,
        "captured_lists_count": 2,
        "screenshots_count": 1,
    }
    assert "error" not in data
    (source,) = one.inbox.wait("/maxun-src")
    told = json.loads(source.body)["data"]
    assert told["extracted_data"]["captured_texts"] == {"Texts": data["extracted_data"]["captured_texts"]}
    assert "total_rows" not in told["extracted_data"]
    assert told["metadata"]["browser_id"] == data["metadata"]["browser_id"] is not None


def test_a_real_failure_is_told_as_the_seed_has_it(one: World, site: Site) -> None:
    """MX-5, MX-X2: camelCase and no times in ``maxun``, snake_case in ``maxun-src``."""
    last = {"action": "waitForSelector", "args": ["#not-there", {"timeout": 300}]}
    robot_id = robot(one, shop(site, last))
    only = {"kind": "robot", "id": robot_id}
    one.webhook("/failed", ["robot.*"], dialect="maxun", automation=only)
    one.webhook("/failed-src", ["robot.*"], dialect="maxun-src", automation=only)

    execution = one.ended(run(one, robot_id), within=60)

    assert execution["status"] == "failed"
    (seed,) = one.inbox.wait("/failed")
    body = json.loads(seed.body)
    like(body, FAILED_EXAMPLE)
    assert body["data"]["error"]["type"] == "TimeoutError"
    assert "at async Page.waitForSelector" in body["data"]["error"]["stack"]
    assert "extracted_data" not in body["data"]
    (source,) = one.inbox.wait("/failed-src")
    assert json.loads(source.body)["data"]["partial_data_extracted"] is True


def test_screenshots_are_files_of_the_run_and_progress_is_in_its_log(
    one: World, execution: dict[str, Any]
) -> None:
    id_ = execution["id"]

    (artifact,) = one.get(f"/api/v1/executions/{id_}/artifacts")["artifacts"]
    assert (artifact["name"], artifact["content_type"]) == ("The-list.png", "image/png")
    content = one("GET", f"/api/v1/executions/{id_}/artifacts/The-list.png").body
    assert content.startswith(b"\x89PNG")
    assert len(content) == artifact["size"]
    ends = [each for each in every_event(one) if each["type"] == "robot.run.completed"]
    (end,) = [each for each in ends if each["execution_id"] == id_]
    assert [file["url"] for file in end["data"]["artifacts"]] == [artifact["url"]]
    lines = one.get(f"/api/v1/executions/{id_}/logs?limit=500")["logs"]
    assert any(line["stream"] == "progress" and line["fields"]["percent"] > 0 for line in lines)
    assert any(line["text"].startswith("goto ") for line in lines)


def test_triggers_run_robots_with_what_they_are_sent(one: World, site: Site) -> None:
    """The body of a trigger gives the parameters (MX-14), and may name a callback besides."""
    recording = {
        "workflow": [
            {
                "where": {},
                "what": [
                    {"action": "goto", "args": [{"$param": "url"}]},
                    {"action": "scrapeSchema", "args": [{"Name": ".title"}], "name": "Found"},
                ],
            }
        ]
    }
    robot_id = robot(one, recording)
    trigger = one.trigger(robot_id, kind="robot", name="from outside", profile="native", callbacks=True)

    path = "/" + str(trigger["url"]).split("/", 3)[3]
    body = {"url": f"{site.url}/", "callback_url": f"{one.inbox.origin}/called-back"}
    sent = call(one.nodes[0].port, "POST", path, body, key=str(trigger["token"]))

    assert sent.status == 202, sent
    execution = one.ended(sent.json["execution_id"], within=60)
    assert execution["output"]["captured_texts"] == {"Found": [{"Name": "MacBook Pro 16-inch M3 Max"}]}
    assert json.loads(one.inbox.wait("/called-back")[0].body)["event"] == "robot.run.completed"
    wrong = one.ended(run(one, robot_id, {"input": {"url": f"{site.url}/", "more": 1}}))
    assert wrong["error"]["message"] == "input.more: The parameter 'more' is not asked for."


def test_an_aborted_run_sends_its_event_too(one: World, site: Site) -> None:
    """MX-12: Maxun sends nothing then."""
    robot_id = robot(one, shop(site, {"action": "wait", "args": [60_000]}))
    one.webhook("/aborted", ["robot.*"], dialect="maxun", automation={"kind": "robot", "id": robot_id})
    id_ = run(one, robot_id)
    until(lambda: one.get(f"/api/v1/executions/{id_}/artifacts")["artifacts"], within=60)

    assert one("POST", f"/api/v1/executions/{id_}/cancel").status == 202

    assert one.ended(id_)["status"] == "killed"
    (told,) = one.inbox.wait("/aborted")
    body = json.loads(told.body)
    assert (body["event_type"], body["data"]["status"], body["data"]["error"]["type"]) == (
        "run_failed",
        "failed",
        "KILLED",
    )


def test_a_robot_whose_process_is_killed_ends_lost_once(one: World, site: Site) -> None:
    """kill -9 of the robot: the documented state, one terminal event, nothing left."""
    id_ = run(one, robot(one, shop(site, {"action": "wait", "args": [60_000]})))
    until(lambda: one.get(f"/api/v1/executions/{id_}/artifacts")["artifacts"], within=60)
    (pid,) = [each.pid for each in processes() if is_robot_of(one, each.pid)]

    os.kill(pid, signal.SIGKILL)

    assert one.ended(id_)["status"] == "lost"
    assert terminal_events(one, id_) == ["robot.run.failed"]


def test_a_run_whose_node_is_killed_ends_lost_once_and_leaves_nothing(one: World, site: Site) -> None:
    """kill -9 of the node, in the middle of a page."""
    id_ = run(one, robot(one, shop(site, {"action": "wait", "args": [60_000]})))
    until(lambda: one.get(f"/api/v1/executions/{id_}/artifacts")["artifacts"], within=60)
    started = under(one.nodes[0].pid)
    assert any("--user-data-dir=" in command(pid) for pid in started)
    (folder,) = [Path(f"/proc/{pid}/cwd").resolve() for pid in started if is_robot_of(one, pid)]
    assert (folder / "lock").exists()

    one.nodes[0].kill()
    one.nodes[0].start()

    assert one.ended(id_, within=30)["status"] == "lost"
    assert terminal_events(one, id_) == ["robot.run.failed"]
    until(lambda: started & {each.pid for each in processes() if each.state != "Z"}, lambda left: not left)
    until(lambda: not folder.exists())


def under(pid: int) -> set[int]:
    """Everything that a process has started."""
    seen = list(processes())
    family = {pid}
    while more := {each.pid for each in seen if each.parent in family} - family:
        family |= more
    return family - {pid}


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


def is_robot_of(one: World, pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"hookline.robot" in line and one.nodes[0].pid == int(
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        )
    except OSError:
        return False


def test_robots_and_their_runs_are_read_over_the_api(one: World, execution: dict[str, Any]) -> None:
    """MX-13, in our words: a robot, its runs and one run with what it brought home; nobody waits for a run to end."""
    place = f"/api/v1/robots/{execution['automation']['id']}"
    runs = one.get(f"/api/v1/executions?automation={execution['automation']['id']}")["executions"]

    assert one.get(place)["name"] == execution["automation"]["name"] == "Test Robot"
    assert [run["id"] for run in runs] == [execution["id"]]
    assert one.get(f"/api/v1/executions/{execution['id']}")["output"]["captured_texts"]
    assert one("GET", place, key=None).status == 401


def test_robots_are_listed_changed_and_deleted(one: World, site: Site) -> None:
    robot_id = robot(one, shop(site))

    changed = one("PUT", f"/api/v1/robots/{robot_id}", {"name": "Other", "timeout_seconds": 60})

    assert changed.status == 200, changed
    assert (changed.json["name"], changed.json["timeout_seconds"], changed.json["pause_ms"]) == (
        "Other",
        60,
        0,
    )
    assert one.get(f"/api/v1/robots/{robot_id}")["recording"] == shop(site)
    assert robot_id in [each["id"] for each in one.get("/api/v1/robots")["robots"]]
    assert robot_id in [each["id"] for each in one.get("/api/v1/automations")["automations"]]
    assert one("DELETE", f"/api/v1/robots/{robot_id}").status == 204
    assert one("GET", f"/api/v1/robots/{robot_id}").status == 404
    assert one("POST", f"/api/v1/robots/{robot_id}/runs").status == 404


def test_another_organizations_robot_is_a_missing_one(one: World, site: Site) -> None:
    robot_id = robot(one, shop(site))
    other = one("POST", "/api/v1/organizations", {"name": "Other"}).json["id"]

    for method, path in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/runs")]:
        body: dict[str, Any] | None = {} if method in {"PUT", "POST"} else None
        answer = one(method, f"/api/v1/robots/{robot_id}{path}", body, Hookline_Organization=other)
        assert answer.status == 404, (method, answer)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"name": "x"}, "recording", None),
        ({"name": "x", "recording": {"workflow": []}}, "recording.workflow", None),
        (
            {"name": "x", "recording": {"workflow": [{"what": [{"action": "script", "args": ["1"]}]}]}},
            "recording.workflow.0.what.0.action",
            "ACTION_NOT_ALLOWED",
        ),
        (
            {"name": "x", "recording": {"workflow": [{"what": [{"action": "goto", "args": ["file:///x"]}]}]}},
            "recording.workflow.0.what.0.args.0",
            "INVALID_URL",
        ),
        ({"name": "", "recording": {"workflow": [{"what": [{"action": "reload"}]}]}}, "name", None),
        ({"name": "x", "recording": {}, "timeout_seconds": 0}, "timeout_seconds", None),
        ({"name": "x", "recording": {}, "matching": "luck"}, "matching", None),
    ],
)
def test_bad_robots_are_refused_with_the_path(
    one: World, body: dict[str, Any], field: str, code: str | None
) -> None:
    """AF-5."""
    answer = one("POST", "/api/v1/robots", body)

    assert answer.status == 400, answer
    assert answer.json["error"]["details"]["field"] == field
    assert code is None or answer.json["error"]["code"] == code


EXAMPLE: dict[str, Any] = {
    "event_type": "run_completed",
    "timestamp": "2025-05-29T15:53:15.595Z",
    "webhook_id": "",
    "data": {
        "robot_id": "d453def3-800a-4b6c-ba31-854cf8dd8d26",
        "run_id": "110c4dae-c39b-4b30-a932-eff1022e4bb0",
        "robot_name": "Test Robot",
        "status": "success",
        "started_at": "2025-05-29T15:52:30.595Z",
        "finished_at": "2025-05-29T15:53:15.595Z",
        "extracted_data": {
            "captured_texts": [],
            "captured_lists": {"list_0": [], "list_1": []},
            "total_rows": 5,
            "captured_texts_count": 3,
            "captured_lists_count": 2,
            "screenshots_count": 5,
        },
        "metadata": {"browser_id": "d27ace57-75cb-441c-8589-8ba34e52f7d1", "user_id": 108},
    },
}
"""The seed's own, with the status of a real run (MX-X1)."""

FAILED_EXAMPLE: dict[str, Any] = {
    "event_type": "run_failed",
    "timestamp": "2025-05-29T15:53:15.595Z",
    "webhook_id": "",
    "data": {
        "robotId": "d453def3-800a-4b6c-ba31-854cf8dd8d26",
        "runId": "110c4dae-c39b-4b30-a932-eff1022e4bb0",
        "robotName": "Test Robot",
        "status": "failed",
        "error": {
            "message": "Timeout exceeded while waiting for element",
            "type": "TimeoutError",
            "stack": "",
        },
        "metadata": {"browserId": "d27ace57-75cb-441c-8589-8ba34e52f7d1", "userId": 108},
    },
}


def test_files_are_kept_in_a_bucket_where_the_operator_says_so(site: Site, tmp_path: Path) -> None:
    """HOOKLINE_BLOBS: the same routes, the content elsewhere."""
    with (
        bucket() as url,
        world(f"sqlite:///{tmp_path / 'hookline.db'}", tmp_path, HOOKLINE_BLOBS=url) as one,
    ):
        id_ = run(one, robot(one, shop(site)))
        one.ended(id_, within=60)

        content = one("GET", f"/api/v1/executions/{id_}/artifacts/The-list.png").body
        (kept,) = objects(url)
        assert content.startswith(b"\x89PNG")
        assert kept == len(content)
        assert not list(tmp_path.glob("*-blobs"))
