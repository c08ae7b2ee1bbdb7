"""Changing HOOKLINE_SECRET_KEY: no secret is lost, nothing stops, and the old key opens nothing afterwards (P13)."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL, WORK
from asgi import Client
from engine_bed import running
from world import World, world

from hookline.api.app import build_application
from hookline.api.services import ApiSettings
from hookline.core.addresses import AddressPolicy
from hookline.engine import reseal as resealing
from hookline.engine import vault as contexts
from hookline.engine.clock import SystemClock
from hookline.engine.manage import first_admin_key, prepare
from hookline.engine.reseal import FIELDS, reseal
from hookline.engine.vault import SIGNING_SECRET, SealBrokenError, Vault
from hookline.errors import ConflictError, InputError, SettingError
from hookline.model import configuration, integrations
from hookline.model.configuration import Webhook
from hookline.model.ids import new_key, parse
from hookline.ports import Once, Publish, Published
from hookline.receiver import verify
from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.ports import Store
    from hookline.testing.postgres import PostgresServer

OLD, NEW = "the old key of these tests", "the new key of these tests"
URL = "/api/v1/webhooks"


def test_every_sealed_field_is_known() -> None:
    """A new one that is forgotten here would not open once the old key is gone."""
    documents = [
        kind
        for module in (configuration, integrations)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct)
    ]
    sealed = {name for kind in documents for name in kind.__struct_fields__ if name.startswith("sealed")}
    named = {
        value
        for name, value in vars(contexts).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, bytes)
    }

    assert sealed <= set(FIELDS)
    # A session is in its browser's cookie alone: whoever has an old one signs in again.
    assert set(FIELDS.values()) | {contexts.ANSWER, contexts.SESSION} == named


@pytest.mark.asyncio
async def test_all_that_is_sealed_opens_with_the_new_key_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Webhooks with their revisions, triggers, remembered answers; passwords and links go on."""
    monkeypatch.setattr(resealing, "_ROWS_AT_ONCE", 2)  # many steps, each a transaction
    monkeypatch.setattr(resealing, "_REST_SECONDS", 0.01)
    secret = "canary-signing-secret-1"
    fields = {
        "url": "https://example.com/",
        "events": ["*"],
        "secret": secret,
        "signature": "both",
        "authentication": {"type": "bearer", "token": "canary-bearer"},
    }
    basic = {"type": "basic", "username": "user", "password": "canary-password"}
    async with running(store, work=WORK, public_url=PUBLIC_URL, vault=Vault(OLD)) as bed:
        await prepare(store, Vault(OLD), clock=SystemClock())
        key = await first_admin_key(store, clock=SystemClock())
        admin = _client(bed.node, key)
        made = (await admin("POST", URL, fields, headers={"Idempotency-Key": "k1"})).json
        await admin("PUT", f"{URL}/{made['id']}", {"authentication": {"type": "none"}})
        for _ in range(3):
            await admin("POST", URL, fields)
        automation = {"kind": "workflow", "id": "orders"}
        await admin("POST", "/api/v1/triggers", {"automation": automation, "auth": basic})
        signed = {"type": "signature", "preset": "github", "secret": "canary-github"}
        body = {"automation": automation, "auth": signed, "profile": "native"}
        trigger = (await admin("POST", "/api/v1/triggers", body)).json

    # Interrupted after one step, and begun again.
    both = Vault(NEW, OLD)
    await prepare(store, both, clock=SystemClock())
    started = await reseal(store, both, since=None, seconds=0.0)
    steps, since = 0, None
    while True:
        progress = await reseal(store, both, since=since, seconds=0.0001)
        steps, since = steps + 1, progress.next
        if since is None:
            break
    new = Vault(NEW)
    await prepare(store, new, clock=SystemClock())
    with pytest.raises(SettingError):
        await prepare(store, Vault(OLD), clock=SystemClock())

    async with running(store, work=WORK, public_url=PUBLIC_URL, vault=new) as bed:
        admin = _client(bed.node, key)
        repeated = await admin("POST", URL, fields, headers={"Idempotency-Key": "k1"})
        tested = (await admin("POST", f"{URL}/{made['id']}/test", {})).json
        called = await admin(
            "POST",
            "/webhooks/workflows/orders",
            {"input_data": {}},
            headers={"Authorization": "Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ="},
        )
        unsigned = await admin("POST", trigger["url"].removeprefix(PUBLIC_URL), {})
    id = parse("webhook", made["id"])
    assert id is not None
    first = await store.get_revision(Webhook, id, 1)
    assert first is not None

    assert started.next is not None
    assert steps > 3
    assert (repeated.status, repeated.json["secret"]) == (201, made["secret"])
    assert tested["success"], tested
    assert (called.status, unsigned.status) == (202, 401)
    assert new.open(first.sealed_secret, SIGNING_SECRET).decode() == secret
    with pytest.raises(SealBrokenError):
        Vault(OLD).open(first.sealed_secret, SIGNING_SECRET)


@pytest.mark.asyncio
async def test_marks_of_what_was_started_are_no_secrets(store: Store) -> None:
    """Runs and replays leave ids beside the sealed answers. Nobody is told that these cannot be read."""
    clock = SystemClock()
    await prepare(store, Vault(OLD), clock=clock)
    epoch = await store.open_node("one", lease=timedelta(seconds=10))
    later = clock.now() + timedelta(days=1)
    for answer in (new_key(), b""):
        mark = Once(scope=new_key(), name="child 0 ship", digest=b"", answer=answer, expires_at=later)
        assert await store.commit([Publish(epoch=epoch, events=(), once=mark)]) == [Published(())]
    await prepare(store, Vault(NEW, OLD), clock=clock)

    progress = await reseal(store, Vault(NEW, OLD), since=None, seconds=5)

    assert (progress.resealed, progress.unreadable, progress.next) == (0, 0, None)


@pytest.mark.asyncio
async def test_what_cannot_be_done_is_said(store: Store) -> None:
    vault = Vault(NEW)
    await prepare(store, vault, clock=SystemClock())

    with pytest.raises(ConflictError) as refused:
        await reseal(store, vault, since=None, seconds=1)
    assert refused.value.code == "NO_PREVIOUS_KEY"
    for since in ("", "x", "AAAA", "kwDAAA=="):
        with pytest.raises(InputError):
            await reseal(store, Vault(NEW, OLD), since=since + "!", seconds=1)


def _client(node: Any, key: str | None) -> Client:
    settings = ApiSettings(version="0.0", public_url=PUBLIC_URL, max_body_bytes=65_536)
    return Client(build_application(node, settings, AddressPolicy()), {"Authorization": f"Bearer {key}"})


def test_the_command_changes_the_key_beside_a_stopped_sqlite_server(tmp_path: Path) -> None:
    """As a user does it: stop, run the command, start; then again with both keys while a server runs."""
    with world(f"sqlite:///{tmp_path}/hookline.db", tmp_path, HOOKLINE_SECRET_KEY="") as one:
        node = one.nodes[0]
        secret = one.webhook("/in", ["*"])["secret"]
        before = (tmp_path / "hookline.db.key").read_text()
        node.stop()
        stopped = _run(one, "HOOKLINE_URL", HOOKLINE_DATABASE=one.database)
        after = (tmp_path / "hookline.db.key").read_text()
        node.start()
        one("POST", "/api/v1/events", {"type": "a", "data": {}})
        (request,) = one.inbox.wait("/in")
        refused = _run(one, code=1)

    assert json.loads(stopped)["rows_resealed"] > 0
    assert before != after
    assert not (tmp_path / "hookline.db.key.previous").exists()
    assert verify(request.body, request.headers, secret)["event"] == "a"
    assert "HOOKLINE_SECRET_KEY_PREVIOUS" in refused


def test_the_command_works_while_a_server_runs_with_both_keys(tmp_path: Path) -> None:
    """As a user with a key of their own does it: both keys, the command, the new key alone."""
    with world(f"sqlite:///{tmp_path}/hookline.db", tmp_path, nodes=0) as one:
        node = one.add_node(HOOKLINE_SECRET_KEY=OLD)
        secret = one.webhook("/in", ["*"])["secret"]
        node.stop()
        one.nodes.clear()
        node = one.add_node(HOOKLINE_SECRET_KEY=NEW, HOOKLINE_SECRET_KEY_PREVIOUS=OLD)
        said = _run(one)
        again = _run(one)
        asked = one("POST", "/api/v1/secret-key/reseal", {"since": None})
        node.stop()
        one.nodes.clear()
        one.add_node(HOOKLINE_SECRET_KEY=NEW)
        one("POST", "/api/v1/events", {"type": "a", "data": {}})
        (request,) = one.inbox.wait("/in")

    assert json.loads(said)["rows_resealed"] > 0
    assert (json.loads(again)["rows_resealed"], json.loads(again)["unreadable"]) == (0, 0)
    assert (asked.json["rows_resealed"], asked.json["next"]) == (0, None)
    assert verify(request.body, request.headers, secret)["event"] == "a"


@pytest.mark.timeout(300)  # six starts of a node, one after the other
@pytest.mark.long
def test_two_nodes_change_the_key_one_after_another_and_nothing_stops(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """As the page says: at every moment one node is up, each opens what the other sealed, and every event arrives."""
    rolls = (
        {"HOOKLINE_SECRET_KEY": OLD, "HOOKLINE_SECRET_KEY_PREVIOUS": NEW},
        {"HOOKLINE_SECRET_KEY": NEW, "HOOKLINE_SECRET_KEY_PREVIOUS": OLD},
    )
    with world(postgres_server.fresh_database(), tmp_path, nodes=2, HOOKLINE_SECRET_KEY=OLD) as one:
        secrets = {"/0": one.webhook("/0", ["a"])["secret"]}
        for settings in rolls:
            for _ in range(2):
                one.nodes.pop(0).stop()
                one.add_node(**settings)  # the one that was second is first now
                path = f"/{len(secrets)}"
                secrets[path] = one.webhook(path, ["a"])["secret"]  # sealed by the one, opened by the other
                assert one("POST", "/api/v1/events", {"type": "a", "data": {}}, node=1).status == 202
                newest = one.inbox.wait("/0", len(secrets) - 1)[-1]
                assert verify(newest.body, newest.headers, secrets["/0"])["event"] == "a"
        said = json.loads(_run(one))
        one("POST", "/api/v1/events", {"type": "a", "data": {"last": True}}, node=1)
        last = {path: one.inbox.wait(path, len(secrets) - int(path[1:]))[-1] for path in secrets}

    assert said["rows_resealed"] > 0
    assert said["unreadable"] == 0
    assert all(verify(one.body, one.headers, secrets[path])["event"] == "a" for path, one in last.items())


def _run(one: World, *without: str, code: int = 0, **more: str) -> str:
    port = one.nodes[0].port
    whole = os.environ | {"HOOKLINE_URL": f"http://127.0.0.1:{port}", "HOOKLINE_API_KEY": ADMIN_KEY}
    given = {name: value for name, value in whole.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-m", "hookline", "keys", "rotate-secret", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=given | more,
        cwd=one.folder,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
