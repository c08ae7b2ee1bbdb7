"""``hookline triggers``, ``requests`` and ``capture`` against a real server and a real app."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.scenario.test_cli_commands import Hookline

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(__file__).parents[1] / "support" / "world_app.py"
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("requests")
    node = NodeProcess(
        database=f"sqlite:///{folder}/cli.db",
        folder=folder,
        app=APP,
    )
    node.start()
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def hookline(node: NodeProcess) -> Hookline:
    return Hookline(node)


def made(hookline: Hookline, *auth: str) -> dict[str, Any]:
    found: dict[str, Any] = hookline.json("triggers", "create", "workflow", "orders", "--auth", *auth)
    return found


def executions(hookline: Hookline, trigger: str, count: int) -> list[dict[str, Any]]:
    """The runs of a trigger, once there are so many and all have ended."""
    deadline = time.monotonic() + 20
    while True:
        found = [
            run
            for run in hookline.json("executions", "list", "--limit", "200")
            if run["trigger"]["id"] == trigger
        ]
        if len(found) >= count and all(run["status"] == "succeeded" for run in found):
            return found
        assert time.monotonic() < deadline, f"not {count} of them: {found}"
        time.sleep(0.1)


@pytest.mark.parametrize("auth", ["token", "api_key", "none", "basic", "native"])
def test_a_new_trigger_comes_with_a_command_that_calls_it(
    hookline: Hookline, node: NodeProcess, auth: str
) -> None:
    """The credential is shown once, and the curl command works as printed."""
    more = {
        "basic": ("basic", "--username", "crm", "--password", "it's a pass word"),
        "native": ("token", "--profile", "native"),
    }.get(auth, (auth,))
    said = hookline("triggers", "create", "workflow", "orders", "--auth", *more)
    (command,) = re.findall(r"^  (curl .*)$", said, re.MULTILINE)
    words = shlex.split(command)
    assert words[1].startswith(f"http://127.0.0.1:{node.port}/")
    done = subprocess.run([*words, "-s"], capture_output=True, text=True, check=True, timeout=30)
    id = re.findall(r"trg_[0-9a-f-]+", said)[0]
    shown = hookline("triggers", "show", id)

    assert '"execution_id"' in done.stdout, done.stdout
    assert ("shown once" in said) == (auth in {"token", "api_key", "native"})
    assert not re.search(r"wht_|hwk_", shown)


def test_a_trigger_lives_its_life_from_the_shell(hookline: Hookline) -> None:
    trigger = made(hookline, "token", "--name", "Shop", "--profile", "native")
    id, token = trigger["id"], trigger["token"]

    assert "Shop" in hookline("triggers", "list")
    assert hookline("triggers", "send", id, "--token", token, "--data", '{"amount": 3}').startswith("202")
    assert hookline("triggers", "send", id, "--token", "x" * 20, code=1).startswith("401")
    hookline("triggers", "update", id, "--disabled", "--set", '{"rate_per_second": 5}')
    shown = hookline.json("triggers", "show", id)
    assert (shown["is_enabled"], shown["rate_per_second"]) == (False, 5.0)
    assert hookline("triggers", "send", id, "--token", token, code=1).startswith("404")
    hookline("triggers", "update", id, "--enabled")
    rotated = hookline.json("triggers", "rotate", id, "--overlap", "0")
    assert hookline("triggers", "send", id, "--token", token, code=1).startswith("401")
    assert hookline("triggers", "send", id, "--token", rotated["token"]).startswith("202")
    assert "is deleted" in hookline("triggers", "delete", id, "--yes")
    assert "triggers list" in hookline("triggers", "show", id, code=1)


def test_what_was_refused_is_explained_and_run_and_run_again(hookline: Hookline, tmp_path: Path) -> None:
    """Issue 3, points 7 and 8: explain, rotate, reverify, replay."""
    (tmp_path / "new.txt").write_text("the new secret\n")
    trigger = made(hookline, "signature", "--preset", "github", "--secret", "the old secret")
    id = trigger["id"]
    for number in range(3):
        sent = ("--secret", f"@{tmp_path}/new.txt", "--data", f'{{"amount": {number}}}')
        assert hookline("triggers", "send", id, *sent, code=1).startswith("401")
    refused = hookline.json("requests", "list", "--trigger", id, "--refused", "--never-ran")
    before = hookline("requests", "explain", refused[0]["id"], code=1)
    rotated = hookline("triggers", "rotate", id, "--secret", f"@{tmp_path}/new.txt")
    after = hookline("requests", "explain", refused[0]["id"])
    preview = hookline("triggers", "reverify", id, "--dry-run")
    asked = hookline("triggers", "reverify", id, code=1)
    told = hookline.json("triggers", "reverify", id, "--yes")
    firsts = executions(hookline, id, 3)
    count = hookline("triggers", "replay", id, "--since", LONG_AGO, "--dry-run")
    job = hookline.json("triggers", "replay", id, "--since", LONG_AGO, "--rate", "100", "--yes")
    runs = executions(hookline, id, 6)
    one = hookline.json("executions", "replay", firsts[0]["id"])
    shown = hookline("requests", "show", refused[0]["id"])

    assert len(refused) == 3
    assert one["replay_of"] == firsts[0]["id"]
    assert "signature_mismatch" in before
    assert f"hookline triggers reverify {id}" in rotated
    assert "fits today's secret" in after
    assert "3 of 3 refused requests fit now" in preview
    assert "Add --yes" in asked
    assert (told["good"], told["started"], len(told["executions"])) == (3, 3, 3)
    assert "3 requests, 10 a second" in count
    assert (job["status"], job["started"]) == ("completed", 3)
    links = sorted(run["trigger"]["replay_of"] for run in runs if run["trigger"]["replay_of"])
    assert links == sorted(run["id"] for run in firsts)
    assert "already_ran" in shown


def test_what_named_no_flow_is_routed_from_the_shell(hookline: Hookline) -> None:
    """PR-X8: listed, explained and routed by id."""
    instance = hookline.json("instances", "create", "shared", "--customer", "c-1", "--config", "{}")
    trigger = next(
        one for one in hookline.json("triggers", "list") if (one["integration"] or {}).get("id") == "shared"
    )
    body = '{"tenant": "c-2"}'
    sent = hookline("triggers", "send", trigger["id"], "--data", body, "-H", "X-Flow: orders", code=1)
    (kept,) = hookline.json("requests", "list", "--trigger", trigger["id"], "--refused")
    still = hookline("requests", "reroute", kept["id"], code=1)
    routed = hookline.json("requests", "reroute", kept["id"], "--instance", instance["id"])
    again = hookline("requests", "reroute", kept["id"], code=1)

    assert sent.startswith("404")
    assert "no instance of customer 'c-2'" in kept["reason"]
    assert "still cannot be routed" in still
    assert routed[0]["status"] == "queued"
    assert "ALREADY_RAN" in again


@pytest.mark.parametrize("preset", ["github", None])
def test_a_captured_request_is_a_test_that_passes(
    hookline: Hookline, tmp_path: Path, preset: str | None
) -> None:
    """Issue 3, point 8: byte-exact, without a credential, and green as written."""
    data = b'{"amount":\xff 1.0}' if preset is None else b'{"amount": 1.0}'
    (tmp_path / "data").write_bytes(data)
    secret = "a secret nobody else has"
    if preset is None:
        trigger = made(hookline, "none")
    else:
        trigger = made(hookline, "signature", "--preset", preset, "--secret", secret)
    credential = () if preset is None else ("--secret", secret)
    kind = "application/octet-stream" if preset is None else "application/json"
    hookline(
        "triggers", "send", trigger["id"], *credential, "--data", f"@{tmp_path}/data", "--path", "a/b?x=1",
        "--content-type", kind, "-H", "Authorization: Bearer not-for-a-fixture",
    )  # fmt: skip
    (came,) = hookline.json("requests", "list", "--trigger", trigger["id"])
    out = tmp_path / "fixtures" / "first order"
    said = hookline("capture", came["id"], "--out", str(out))
    taken = hookline("capture", came["id"], "--out", str(out), code=1)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    written = b"".join(path.read_bytes() for path in out.iterdir() if path.is_file())

    assert "run `pytest" in said
    assert "--force" in taken
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{1 if preset is None else 2} passed" in done.stdout
    assert (out / "body").read_bytes() == data
    assert b"not-for-a-fixture" not in written
    assert trigger["path_id"].encode() not in written
