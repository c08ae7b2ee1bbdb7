"""The command line against a real server: what the documents tell people to type works as printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import until

from hookline.testing import demo_app
from hookline.testing.nodes import ADMIN_KEY, NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RUN = re.compile(r"^<!-- run(?:: \w+)? -->\n```sh\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def environment(node: NodeProcess) -> dict[str, str]:
    """What a user exports, with the installed command on the path."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
    }


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("cli")
    node = NodeProcess(database=f"sqlite:///{folder}/cli.db", folder=folder, app=Path(str(demo_app.__file__)))
    node.start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def hookline(node: NodeProcess) -> Hookline:
    return Hookline(node)


class Hookline:
    """Runs commands as a program would."""

    def __init__(self, node: NodeProcess) -> None:
        self._environment = environment(node)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hookline", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self._environment,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """Run it with --json and return what it printed."""
        return json.loads(self(*arguments, "--json"))


def test_trigger_waits_for_the_result_and_says_it(hookline: Hookline) -> None:
    execution = hookline.json("trigger", "workflow", "orders", "--data", '{"order_id": 7}', "--wait")

    assert execution["status"] == "succeeded"
    assert execution["output"]["order_id"] == 7
    assert "succeeded" in hookline("executions", "show", execution["id"])
    assert "charged" in hookline("executions", "logs", execution["id"])
    assert execution["id"] in hookline("executions", "list", "--status", "succeeded")


def test_a_run_and_an_event_are_explained(hookline: Hookline) -> None:
    """CONTRACT 1: one timeline, and for each webhook the rule."""
    name = hookline.json("webhooks", "create", "https://receiver.example.com/", "--event", "user.*")["id"]
    execution = hookline.json("trigger", "workflow", "orders", "--data", '{"order_id": 8}', "--wait")
    told = hookline.json("explain", execution["id"])
    event = told["events"][-1]
    alone = hookline.json("explain", event["event_id"])

    assert {one["webhook_id"]: one["rule"] for one in event["webhooks"]}[name] == "pattern"
    assert alone["events"] == [event]
    assert alone["timeline"] == told["timeline"]
    assert event["event_id"] in hookline("explain", execution["id"])
    assert "none of its event patterns" in hookline("explain", event["event_id"])


def test_a_story_begins_with_its_request_and_says_what_its_numbers_count(hookline: Hookline) -> None:
    """CONTRACT 1: from the trigger's request on, in lines that a terminal of 80 columns holds."""
    trigger = hookline.json(
        "triggers", "create", "workflow", "orders", "--auth", "token", "--profile", "native"
    )
    sent = hookline.json("triggers", "send", trigger["id"], "--token", trigger["token"], "--data", "{}")
    execution_id = json.loads(sent["body"])["execution_id"]
    until(lambda: hookline.json("executions", "show", execution_id)["completed_at"], within=30)
    lines = hookline("explain", execution_id).splitlines()
    words = [line.split()[1] for line in lines if line[:1].isdigit()]

    assert words[:3] == ["request", "queued", "started"]
    assert "POST /trigger/" in lines[0]
    assert "  after " in lines[2]
    assert lines[2].endswith(" ms")
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("option", ["--event", "--events"])
def test_events_are_named_alike_everywhere(hookline: Hookline, option: str) -> None:
    """One option, once or several times, with one pattern or several; `listen` has both names, too."""
    made = hookline.json(
        *("webhooks", "create", "https://receiver.example.com/", option, "a.*,b.c", option, "d"),
    )
    published = hookline.json("events", "publish", "--type", "of.nobody", "--data", "{}")

    assert made["events"] == ["a.*", "b.c", "d"]
    assert published["status"] == "accepted"


def test_an_unknown_automation_is_said_in_one_line(hookline: Hookline) -> None:
    said = hookline("trigger", "workflow", "nothing", code=1)

    assert said.startswith("hookline: ")
    assert said.count("\n") == 1


def test_a_key_works_until_it_is_revoked(hookline: Hookline) -> None:
    made = hookline.json("keys", "create", "reader", "--scope", "read")

    assert "reader" in hookline("keys", "list")
    assert made["key"] not in hookline("keys", "list", "--json")
    assert "revoked" in hookline("keys", "revoke", made["id"])


def test_a_run_that_has_ended_is_not_cancelled(hookline: Hookline) -> None:
    execution = hookline.json("trigger", "workflow", "orders", "--data", '{"order_id": 8}', "--wait")

    assert "has ended already: succeeded" in hookline("executions", "cancel", execution["id"])


def test_an_id_that_was_published_before_is_said(hookline: Hookline) -> None:
    """CONTRACT: the same id twice is one event."""
    first = hookline("events", "publish", "said.twice", "--data", "1", "--id", "twice")
    second = hookline("events", "publish", "said.twice", "--data", "2", "--id", "twice")

    assert "already" not in first
    assert "There was an event twice already" in second


def test_more_events_are_promised_only_where_there_are_some(hookline: Hookline) -> None:
    for _ in range(3):
        hookline("events", "publish", "counted")
    count = len(hookline.json("events", "list", "--limit", "500")["events"])

    assert "more with --after" in hookline("events", "list", "--limit", str(count - 1))
    assert "more with --after" not in hookline("events", "list", "--limit", str(count))


def test_a_second_rotation_is_ended_with_the_command(hookline: Hookline) -> None:
    webhook = hookline.json("webhooks", "create", "https://example.com/turn", "--event", "turn.*")["id"]
    hookline("webhooks", "rotate", webhook)

    assert f"hookline webhooks rotate {webhook} --finish" in hookline("webhooks", "rotate", webhook, code=1)
    assert "only the newest secret" in hookline("webhooks", "rotate", webhook, "--finish")
    assert "nothing was measured" in hookline("webhooks", "stats", webhook)


def test_the_secret_of_render_jobs_is_shown_by_its_rotation(hookline: Hookline) -> None:
    """P13: once; the end of the rotation shows none."""
    assert hookline.json("jobs", "secret")["secret"].startswith("whsec_")
    assert "`hookline jobs secret --finish`" in hookline("jobs", "secret", code=1)
    assert "whsec_" not in hookline("jobs", "secret", "--finish")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("webhooks", "show", "wh_x"), "`hookline webhooks list`"),
        (("executions", "show", "exec_x"), "`hookline executions list`"),
        (("keys", "revoke", "key_x"), "`hookline keys list`"),
        (("webhooks", "create", "https://example.com/"), "--event 'workflow.*'"),
        (("backup", "/no/such/folder/x.db"), "no folder /no/such/folder"),
    ],
)
def test_a_mistake_says_the_next_step(hookline: Hookline, command: tuple[str, ...], hint: str) -> None:
    assert hint in hookline(*command, code=1)


def test_an_organization_is_made_and_listed(hookline: Hookline) -> None:
    made = hookline.json("orgs", "create", "Acme", "--external-id", "customer-1")

    assert made["external_id"] == "customer-1"
    assert "customer-1" in hookline("orgs", "list")


def test_a_webhook_lives_from_create_to_delete(hookline: Hookline) -> None:
    made = hookline.json("webhooks", "create", "https://example.com/hooks", "--event", "order.*")
    webhook = made["id"]

    assert made["secret"].startswith("whsec_")
    assert "https://example.com/hooks" in hookline("webhooks", "list")
    assert hookline.json("webhooks", "update", webhook, "--name", "renamed")["name"] == "renamed"
    assert "paused" in hookline("webhooks", "pause", webhook)
    assert hookline.json("webhooks", "show", webhook)["status"] == "paused"
    assert "active" in hookline("webhooks", "resume", webhook)
    assert "whsec_" in hookline("webhooks", "rotate", webhook)
    assert "nothing was sent" in hookline("webhooks", "logs", webhook)
    hookline("webhooks", "stats", webhook)
    assert "deleted" in hookline("webhooks", "delete", webhook, "--yes")
    assert hookline("webhooks", "show", webhook, code=1).startswith("hookline: ")


def test_an_event_is_published_delivered_and_sent_again(hookline: Hookline) -> None:
    # Loopback is allowed here and nobody listens on port 9: the delivery stays, and is visible.
    hookline("webhooks", "create", "http://127.0.0.1:9/", "--event", "parcel.*")
    event = hookline.json("events", "publish", "parcel.lost", "--data", '{"n": 1}')
    (delivery,) = hookline.json("deliveries", "list")

    assert event["id"] in hookline("events", "list")
    assert "parcel.lost" in hookline("deliveries", "list")
    assert delivery["id"] in hookline("deliveries", "show", delivery["id"])
    assert "due now" in hookline("deliveries", "retry", delivery["id"])
    hookline("webhooks", "delete", delivery["webhook_id"], "--yes")
    assert "[WEBHOOK_DELETED]" in hookline("deliveries", "retry", delivery["id"], code=1)


def test_what_waits_after_an_outage_is_retried_together(hookline: Hookline) -> None:
    """CONTRACT 3: a mended receiver is sent what still waits, with one command, and a replay names that command."""
    # Loopback is allowed here and nobody listens on port 9: each delivery waits for its next try.
    webhook = hookline.json("webhooks", "create", "http://127.0.0.1:9/", "--event", "outage.*")["id"]
    for _ in range(3):
        hookline("events", "publish", "outage.began")
    listed = ("deliveries", "list", "--webhook", webhook, "--state", "pending")
    until(lambda: [one["attempts_made"] for one in hookline.json(*listed)] == [1, 1, 1])
    ids = [one["id"] for one in hookline.json(*listed)]

    replay = hookline(
        "deliveries", "replay", "--since", "2026-01-01T00:00:00Z", "--webhook", webhook, "--dry-run"
    )
    asked = hookline("deliveries", "retry", "--webhook", webhook, code=1)
    done = hookline("deliveries", "retry", "--webhook", webhook, "--yes")
    until(lambda: [one["attempts_made"] for one in hookline.json(*listed)] == [2, 2, 2])
    named = hookline("deliveries", "retry", ids[0], ids[1], ids[0].replace("dlv_", "wh_"), code=1)
    none = hookline.json("deliveries", "retry", "--webhook", webhook, "--state", "exhausted")
    hookline("webhooks", "pause", webhook)
    paused = hookline("deliveries", "retry", *ids)
    nothing = hookline("deliveries", "retry", "--webhook", webhook)

    assert "3 more still wait for the next try (pending), which no replay sends sooner" in replay
    assert f"`hookline deliveries retry --webhook {webhook}`" in replay
    assert f"Send 3 pending deliveries of {webhook} again now? Add --yes" in asked
    assert "3 deliveries are due now" in done
    assert "2 deliveries are due now" in named
    assert "1 could not be sent again" in named
    assert "3 held until the webhook takes events again" in paused
    assert "0 deliveries are due now" in paused
    assert f"no pending deliveries of {webhook}" in nothing
    assert f"it is paused and what comes is held: `hookline webhooks resume {webhook}`" in nothing
    assert none == {"retried": 0, "held": 0, "refused": []}
    assert "by their ids, or all of one webhook" in hookline("deliveries", "retry", code=1)
    assert "--state goes with --webhook" in hookline("deliveries", "retry", ids[0], "--state", "held", code=1)


def test_an_admin_key_made_for_one_organization_is_warned_of(
    hookline: Hookline, monkeypatch: pytest.MonkeyPatch, node: NodeProcess
) -> None:
    """CONTRACT 1: the scope admin is the server's, so a customer is given write."""
    organization = hookline.json("orgs", "create", "acme")["id"]
    monkeypatch.setenv("HOOKLINE_ORGANIZATION", organization)
    acting = Hookline(node)

    ruling = acting("keys", "create", "customer", "--scope", "admin")
    own = acting("keys", "create", "customer", "--scope", "write")

    assert f"rules the whole server, every organization of it, not {organization} alone" in ruling
    assert "make one with `--scope write`" in ruling
    assert "rules the whole server" not in own
    assert "rules the whole server" not in hookline("keys", "create", "rescue", "--scope", "admin")


def test_a_backup_is_a_database_of_its_own(hookline: Hookline, tmp_path: Path) -> None:
    assert "copied" in hookline("backup", str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3")


def test_doctor_finds_the_server(hookline: Hookline) -> None:
    findings = {finding["subject"]: finding for finding in hookline.json("doctor")}

    assert findings["server"]["level"] == "ok"
    assert "ready on" in findings["server"]["found"]
    assert findings["fsync"]["level"] in {"ok", "warn"}


def test_a_mistyped_event_is_doubted_and_an_own_one_is_not(hookline: Hookline) -> None:
    """Any type may be published, so it is a question and no error."""
    url = "http://127.0.0.1:9/x"
    asked = hookline("webhooks", "create", url, "-e", "workflow.executon.completed", "-e", "workflw.*")
    quiet = hookline("webhooks", "create", url, "-e", "workflow.*", "-e", "order.paid", "-e", "*")

    assert "did you mean workflow.execution.completed?" in asked
    assert "'workflw.*'; did you mean workflow.*?" in asked
    assert "did you mean" not in quiet


def test_explain_says_what_shows_the_id_of_something_else(hookline: Hookline) -> None:
    said = hookline("explain", f"dlv_{'0' * 8}-0000-7000-8000-{'0' * 12}", code=1)

    assert "hookline deliveries show dlv_" in said


def test_a_trigger_of_nothing_names_what_there_is(hookline: Hookline) -> None:
    said = hookline("triggers", "create", "workflow", "ordres", "--auth", "none", code=1)

    assert "Loaded: " in said
    assert "orders" in said
