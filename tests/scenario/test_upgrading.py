"""Databases that earlier versions wrote, opened by this one: everything is there, and everything goes on (P23).

``scripts/keep_database.py`` makes the folders of ``tests/upgrade``, one for each release and for some versions before
the first: a server of that version did a little of everything, and said what.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from world import Inbox, World, until

from hookline.core.signing import verify_standard
from hookline.stores.migrations import read_migrations
from hookline.stores.postgres.schema import FOLDER as POSTGRES_MIGRATIONS
from hookline.stores.sqlite.store import MIGRATIONS as SQLITE_MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
KEPT = sorted((ROOT / "tests" / "upgrade").iterdir())
UNCHANGED = {
    # A kept database is always old: nothing of it is to be deleted, expired or given up for its age.
    "HOOKLINE_RETENTION_DAYS": "36500",
    "HOOKLINE_HELD_RETENTION_DAYS": "36500",
    "HOOKLINE_DISABLE_AFTER_DAYS": "36500",
}


class Upgraded:
    """A kept database that this version has opened. said: what the earlier version was asked, and answered."""

    def __init__(self, one: World, said: dict[str, Any]) -> None:
        self.one = one
        self.said = said

    def deliveries(self) -> dict[str, str]:
        found = self.one.get("/api/v1/deliveries?limit=500")["deliveries"]
        # What is due is tried at once: while a request is under way it waits as before.
        return {delivery["id"]: delivery["state"].replace("in_flight", "pending") for delivery in found}

    def of(self, webhook: str, state: str) -> list[str]:
        found = self.one.get(
            f"/api/v1/deliveries?limit=500&webhook_id={self.said['webhooks'][webhook]['id']}"
        )
        return [delivery["id"] for delivery in found["deliveries"] if delivery["state"] == state]

    def move(self, webhook: str) -> None:
        """Let a webhook go to our inbox from now on."""
        path = f"/api/v1/webhooks/{self.said['webhooks'][webhook]['id']}"
        moved = self.one("PUT", path, {"url": f"{self.one.inbox.origin}/{webhook}"})
        assert moved.status == 200, moved


def restored(kept: Path, store: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Make a database of what was kept; return its URL."""
    packed = gzip.decompress((kept / f"{store}.gz").read_bytes())
    if store == "sqlite":
        file = folder / "hookline.db"
        file.write_bytes(packed)
        return f"sqlite:///{file}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.fresh_database()
    asyncio.run(_run(url, packed.decode()))
    return url


async def _run(url: str, statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


@pytest.fixture(
    scope="module",
    params=[(kept, store) for kept in KEPT for store in ("sqlite", "postgres")],
    ids=lambda param: f"{param[0].name}-{param[1]}",
)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    kept, store = request.param
    said = json.loads((kept / f"{store}.json").read_text())
    folder: Path = tmp_path_factory.mktemp("upgraded")
    with Inbox() as inbox:
        one = World(restored(kept, store, folder, request), folder, inbox)
        try:
            one.add_node(HOOKLINE_SECRET_KEY=said["secret_key"], **UNCHANGED)
            yield Upgraded(one, said)
        finally:
            one.close()


def test_a_release_keeps_a_database() -> None:
    """What this version writes is upgraded from as long as there are later ones: scripts/keep_database.py TAG."""
    done = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert set(done.stdout.split()) <= {kept.name for kept in KEPT}
    assert KEPT


def test_what_an_earlier_version_stored_is_read(upgraded: Upgraded) -> None:
    """Events, an execution with its steps, deliveries in each state, webhooks, a trigger."""
    one, said = upgraded.one, upgraded.said

    assert upgraded.deliveries() == said["deliveries"]
    for id_ in said["events"]:
        assert one.get(f"/api/v1/events/{id_}")["type"] == "order.paid"
    execution = one.get(f"/api/v1/executions/{said['execution']['id']}")
    assert {name: execution[name] for name in ("id", "output", "steps")} == said["execution"]
    listed = {webhook["id"]: webhook["status"] for webhook in one.get("/api/v1/webhooks")["webhooks"]}
    assert listed == {
        webhook["id"]: "paused" if name == "paused" else "active"
        for name, webhook in said["webhooks"].items()
    }
    feed = one.get("/api/v1/events?limit=500")["events"]
    assert set(said["events"]) <= {event["id"] for event in feed}


def test_what_waited_is_delivered_by_this_version(upgraded: Upgraded) -> None:
    """A retry has the bytes of the first attempt, signed with the secret of then."""
    upgraded.move("waits")
    for id_ in upgraded.of("waits", "pending"):
        assert upgraded.one("POST", f"/api/v1/deliveries/{id_}/retry", {}).status in {200, 202}
    came = upgraded.one.inbox.wait("/waits", 3)

    for request in came:
        headers = {name.lower(): value for name, value in request.headers}
        verify_standard([upgraded.said["webhooks"]["waits"]["secret"]], headers, request.body, _now())
    bodies = [json.loads(request.body) for request in came]
    assert {body["data"].get("n") for body in bodies if body["type"] == "order.paid"} == {0, 1}


def test_what_was_held_drains_when_its_webhook_is_resumed(upgraded: Upgraded) -> None:
    upgraded.move("paused")
    upgraded.one("POST", f"/api/v1/webhooks/{upgraded.said['webhooks']['paused']['id']}/resume", {})

    upgraded.one.inbox.wait("/paused", 3)
    until(lambda: len(upgraded.of("paused", "succeeded")) == 3)


def test_a_trigger_of_then_still_knows_its_callers(upgraded: Upgraded) -> None:
    upgraded.move("arrives")
    answer = upgraded.one("POST", upgraded.said["trigger"]["path"], {"input_data": {"amount": 7}}, key=None)

    assert answer.status == 202, answer
    assert upgraded.one.ended(answer.json["execution_id"])["status"] == "succeeded"
    upgraded.one.inbox.wait("/arrives")


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_an_older_version_refuses_a_newer_schema_and_says_what_to_do(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """PROMISES section 3: old binary with new schema. What comes after today's last step stands for a later version."""
    url = restored(KEPT[-1], store, tmp_path, request)
    said = json.loads((KEPT[-1] / f"{store}.json").read_text())
    with Inbox() as inbox:
        one = World(url, tmp_path, inbox)
        try:
            one.add_node(HOOKLINE_SECRET_KEY=said["secret_key"], **UNCHANGED).stop()
            _add_a_later_step(url)
            node = one.nodes[0]
            node.start(waits=False)
            assert node.process is not None
            deadline = time.monotonic() + 60
            while node.process.exit_code is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert node.process.exit_code not in {0, None}
            words = node.process.last_words()
        finally:
            one.close()

    assert "written by a newer version" in words
    assert "Install that version or restore the backup" in words


def _add_a_later_step(url: str) -> None:
    if url.startswith("sqlite"):
        later = len(read_migrations(SQLITE_MIGRATIONS)) + 1
        database = apsw.Connection(url.removeprefix("sqlite:///"))
        database.execute(
            "INSERT INTO schema_migrations SELECT ?, 'later', ?, applied_at FROM schema_migrations LIMIT 1",
            (later, "0" * 64),
        )
        database.close()
        return
    later = len(read_migrations(POSTGRES_MIGRATIONS)) + 1
    asyncio.run(
        _run(
            url,
            f"INSERT INTO schema_migrations (version, name, checksum) VALUES ({later}, 'later', '{'0' * 64}')",
        )
    )


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)
