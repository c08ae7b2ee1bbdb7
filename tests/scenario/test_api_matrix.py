"""Route x role x foreign id, generated from the router itself (P14), and bad input to every route."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from api_bed import WORK, Api, echo, serving
from fastapi.routing import APIRoute
from instance_bed import ACME, ACME_ORDERS
from path_ids import PREFIXES

from hookline.api.app import ROUTERS
from hookline.api.reply import Need
from hookline.engine.clock import SystemClock
from hookline.model.ids import bare, new_key
from hookline.model.states import Scope
from hookline.stores.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi.dependencies.models import Dependant

pytestmark = pytest.mark.asyncio

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/organizations"): {"name": "New"},
    ("POST", "/api/v1/members"): {"name": "New", "email": "new@example.com"},
    ("POST", "/api/v1/keys"): {"name": "New", "scopes": ["read"]},
    ("POST", "/api/v1/triggers"): {
        "automation": {"kind": "workflow", "id": "orders"},
        "auth": {"type": "token"},
    },
    ("POST", "/api/v1/instances"): {"integration": "acme", "customer": {"external_id": "new"}},
    ("PATCH", "/api/v1/instances/{instance_id}"): {"name": "Changed"},
    ("POST", "/api/v1/instances/{instance_id}/keys"): {"flow": "orders"},
    ("POST", "/api/v1/instances/{instance_id}/keys/revoke"): {"flow": "orders"},
    ("POST", "/api/jobs"): {"scenes": [{"duration": 1}]},
    ("POST", "/api/render"): {"scenes": [{"duration": 1}]},
    ("POST", "/api/v1/conversations"): {"agent_id": "support"},
    ("POST", "/api/v1/conversations/{conversation_id}/messages"): {"message": "hi"},
    ("POST", "/api/v1/robots"): {
        "name": "New",
        "recording": {"workflow": [{"where": {}, "what": [{"action": "reload"}]}]},
    },
    ("POST", "/api/templates"): {"name": "Hello", "script": {"scenes": [{"duration": "{{seconds}}"}]}},
    ("POST", "/api/render/template"): {"template_id": "tpl_of_nobody"},
    ("PUT", "/api/v1/robots/{robot_id}"): {"name": "Changed"},
    ("POST", "/api/v1/scripts"): {"slug": "new.py", "source": "print()"},
    ("PUT", "/api/v1/scripts/{script_id}"): {"source": "print(1)"},
    ("POST", "/api/v1/script-agents"): {"script": "theirs.py"},
    ("PUT", "/api/v1/script-agents/{agent_id}"): {"name": "Changed"},
    ("POST", "/api/v1/triggers/{trigger_id}/replay"): {"since": "2026-01-01T00:00:00Z", "dry_run": True},
    ("POST", "/api/v1/webhooks"): {"url": "https://example.com/", "events": ["*"]},
    ("POST", "/api/v1/replays"): {"since": "2026-01-01T00:00:00Z", "dry_run": True},
    ("POST", "/api/v1/settings/smtp-test"): {"to": "ada@example.com"},
    ("PATCH", "/api/v1/settings/retention"): {"payload_days": 7},
    ("POST", "/api/v1/executions/{execution_id}/resume"): {"name": "approval", "data": 1},
    ("POST", "/api/v1/backup"): {"target": "relative"},
    ("PUT", "/api/v1/webhooks/{webhook_id}"): {"name": "Changed"},
    ("PATCH", "/api/v1/webhooks/{webhook_id}"): {"name": "Changed"},
    ("PATCH", "/api/v1/triggers/{trigger_id}"): {"name": "Changed"},
    ("PATCH", "/api/v1/members/{member_id}"): {"name": "Changed"},
    ("PATCH", "/api/v1/organizations/{organization_id}"): {"name": "Changed"},
}
"""A sound body for each route that needs one."""

INCLUDED = {
    "admin": set(Scope),
    "write": {Scope.WRITE, Scope.READ, Scope.TRIGGER},
    "read": {Scope.READ},
    "trigger": {Scope.TRIGGER},
}
OPEN = {
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/api/render/schema",
    "/artifacts/{execution_id}/{name}",
    "/payloads/{organization_id}/{delivery_id}",
}


def _scopes(dependant: Dependant) -> Iterator[Scope]:
    if isinstance(dependant.call, Need):
        yield dependant.call.scope
    for inner in dependant.dependencies:
        yield from _scopes(inner)


ROUTES = [
    (method, route.path, next(_scopes(route.dependant), None))
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
NO_AGENT = "1000000000000000"
"""An id of a script agent that nobody has."""
FILES = ("/artifacts/{name}", "/output")
"""Runs that made none have none."""
GUARDED = [(method, path, scope) for method, path, scope in ROUTES if path not in OPEN]
BY_ID = [
    (method, path, scope)
    for method, path, scope in GUARDED
    if any(f"{{{name}}}" in path for name in PREFIXES) or "/script-agents/{" in path
]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = SqliteStore(tmp_path / "hookline.db", clock=SystemClock())
    await store.open()
    async with serving(store, work=WORK | {ACME_ORDERS: echo}, integrations=(ACME,)) as api:
        yield api
    await store.close()


def with_ids(path: str, ids: dict[str, str]) -> str:
    return path.format_map(
        {name: ids.get(name, prefix + bare(new_key())) for name, prefix in PREFIXES.items()}
        | {"workflow_id": "orders", "agent_id": "support", "integration_id": "acme", "version": "1"}
        | ({"agent_id": ids.get("script_agent_id", NO_AGENT)} if "script-agents" in path else {})
    )


async def belongings(api: Api, organization: str) -> dict[str, str]:
    """One object of every kind in an organization."""
    owner = api.admin.having(Hookline_Organization=organization)
    webhook = await api.webhook(owner)
    member = await owner("POST", "/api/v1/members", {"name": "A", "email": "a@example.com"})
    key = await owner("POST", "/api/v1/keys", {"name": "A", "scopes": ["read"]})
    trigger = await api.trigger(owner)
    started = await api.anyone("POST", trigger["path"], {})
    execution_id = started.json["execution_id"]
    async with asyncio.timeout(5):
        while True:
            found = await owner("GET", "/api/v1/deliveries")
            if len(found.json["deliveries"]) == 2:  # started and completed
                break
            await asyncio.sleep(0.01)
    requests = await owner("GET", "/api/v1/requests")
    new = {"integration": "acme", "customer": {"external_id": "c"}}
    instance = await owner("POST", "/api/v1/instances", new)
    job = await owner("POST", "/api/jobs", BODIES["POST", "/api/jobs"])
    talk = await owner("POST", "/api/v1/conversations", BODIES["POST", "/api/v1/conversations"])
    robot = await owner("POST", "/api/v1/robots", BODIES["POST", "/api/v1/robots"])
    source = {"slug": "theirs.py", "source": "print()"}
    script = await owner("POST", "/api/v1/scripts", source)
    template = await owner("POST", "/api/templates", BODIES["POST", "/api/templates"])
    script_agent = await owner("POST", "/api/v1/script-agents", {"script": script.json["slug"]})
    replay = await owner("POST", "/api/v1/replays", {"since": "2026-01-01T00:00:00Z", "state": "held"})
    quiet = await api.webhook(owner, events=["quiet"])
    await owner("POST", f"/api/v1/webhooks/{quiet['id']}/pause")
    alerts = await owner("GET", "/api/v1/alerts")
    return {
        "organization_id": organization,
        "member_id": member.json["id"],
        "key_id": key.json["id"],
        "trigger_id": trigger["id"],
        "webhook_id": webhook["id"],
        "execution_id": execution_id,
        "delivery_id": found.json["deliveries"][0]["id"],
        "event_id": found.json["deliveries"][0]["event_id"],
        "request_id": requests.json["requests"][0]["id"],
        "instance_id": instance.json["id"],
        "replay_id": replay.json["id"],
        "job_id": job.json["job_id"],
        "conversation_id": talk.json["id"],
        "alert_id": alerts.json["alerts"][0]["id"],
        "robot_id": robot.json["id"],
        "script_id": script.json["id"],
        "template_id": template.json["template_id"],
        "script_agent_id": script_agent.json["id"],
    }


async def test_every_route_of_the_api_names_its_scope() -> None:
    assert [(method, path) for method, path, scope in GUARDED if scope is None] == []
    assert len(GUARDED) > 40


async def test_each_role_may_do_exactly_what_its_scope_says(api: Api) -> None:
    """Without a key 401, without the scope 403, else anything but those."""
    clients = {role: await api.client(role) for role in INCLUDED}
    wrong = []
    for method, path, scope in GUARDED:
        url, body = with_ids(path, {}), BODIES.get((method, path), b"")
        statuses = {"none": (await api.anyone(method, url, body)).status}
        statuses |= {role: (await client(method, url, body)).status for role, client in clients.items()}
        expected = {"none": True} | {role: scope not in scopes for role, scopes in INCLUDED.items()}
        refused = {role: status in (401, 403) for role, status in statuses.items()}
        if refused != expected or statuses["none"] != 401 or 500 in statuses.values():
            wrong.append((method, path, statuses))

    assert wrong == []


async def test_a_foreign_object_looks_exactly_like_a_missing_one(api: Api) -> None:
    """P14: same status, same body, and nothing has changed."""
    theirs = await belongings(api, await api.organization("Theirs", "theirs"))
    ours = await api.organization("Ours", "ours")
    client = await api.client("write", organization=ours)
    wrong = []
    for method, path, scope in BY_ID:
        if scope is Scope.ADMIN:
            continue
        body = BODIES.get((method, path), b"")
        foreign = await client(method, with_ids(path, theirs), body)
        missing = await client(method, with_ids(path, {}), body)
        if (foreign.status, foreign.body) != (404, missing.body) or missing.status != 404:
            wrong.append((method, path, foreign, missing))
    owner = api.admin.having(Hookline_Organization="theirs")
    after = await owner("GET", f"/api/v1/webhooks/{theirs['webhook_id']}")

    assert wrong == []
    assert (after.json["status"], after.json["name"]) == ("active", "receiver.example.com/hook")
    assert (await owner("GET", f"/api/v1/triggers/{theirs['trigger_id']}")).status == 200


async def test_an_admin_key_sees_the_organization_it_acts_for_and_no_other(api: Api) -> None:
    theirs = await belongings(api, await api.organization("Theirs", "theirs"))
    for method, path, _ in BY_ID:
        if "organization_id" in path:
            continue
        home = await api.admin(method, with_ids(path, theirs), BODIES.get((method, path), b""))
        assert home.status == 404, (method, path, home)
    owner = api.admin.having(Hookline_Organization="theirs")
    for method, path, _ in BY_ID:
        if method == "GET" and not path.endswith(FILES):
            assert (await owner(method, with_ids(path, theirs))).status == 200, path


async def test_lists_hold_nothing_of_others(api: Api) -> None:
    await belongings(api, await api.organization("Theirs"))
    client = await api.client("write", organization=await api.organization("Ours"))
    for path in (
        "webhooks",
        "triggers",
        "members",
        "executions",
        "deliveries",
        "events",
        "requests",
        "instances",
        "replays",
        "alerts",
        "conversations",
    ):
        answer = await client("GET", f"/api/v1/{path}")
        assert answer.json[path] == [], path


async def test_only_admin_keys_act_for_others(api: Api) -> None:
    """The same answer whether that organization exists or not."""
    theirs = await api.organization("Theirs", "theirs")
    ours = await api.organization("Ours", "ours")
    client = await api.client("write", organization=ours)
    answers = [
        await client.having(Hookline_Organization=name)("GET", "/api/v1/webhooks")
        for name in (theirs, "theirs", "nobody", "org_" + bare(new_key()))
    ]
    own = await client.having(Hookline_Organization="ours")("GET", "/api/v1/webhooks")
    admin = await api.admin.having(Hookline_Organization="nobody")("GET", "/api/v1/webhooks")

    assert {(answer.status, answer.body) for answer in answers} == {(403, answers[0].body)}
    assert (own.status, admin.status) == (200, 404)


BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff",
    b'{"x":NaN}',
    b'{"x":"\xff"}',
    b'{"x":"\\ud800"}',
    b'{"x":"\x00"}',
    b'{"x":1e999}',
    b"[" * 30_000 + b"]" * 30_000,
    b'{"name":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"no_such_field":1}',
    json.dumps(
        dict.fromkeys(
            ("name", "url", "events", "scopes", "automation", "auth", "email", "data", "target", "event"), 7.5
        )
    ).encode(),
    b"9" * 5000,
]


async def test_no_bad_body_is_ever_our_fault(api: Api) -> None:
    """Documented 4xx with AF-5's body for every writing route and every kind of nonsense."""
    wrong = []
    for method, path, _ in GUARDED:
        if method == "GET":
            continue
        for body in BAD_BODIES:
            answer = await api.admin(method, with_ids(path, {}), body)
            # A body may be left out where nothing in it is required, and null is as good as none.
            allowed = {200, 201, 202, 400, 404, 409} if body == b"null" else {400, 404}
            if answer.status not in allowed or (answer.status >= 400 and "error" not in answer.json):
                wrong.append((method, path, body[:30], answer.status, answer.body[:200]))

    assert wrong == []


@pytest.mark.parametrize(
    "junk", ["x", "%00", "%ff", "..%2f..", "wh_", "exec_" + "0" * 36, "a" * 3000, "%F0%9F%92%A9"]
)
async def test_no_id_in_a_path_is_ever_our_fault(api: Api, junk: str) -> None:
    for method, path, _ in BY_ID:
        url = path
        for name in PREFIXES:
            url = url.replace(f"{{{name}}}", junk)
        answer = await api.admin(
            method, url.format(workflow_id="x", agent_id="x", version="1"), BODIES.get((method, path), b"")
        )
        assert answer.status in (400, 404, 405), (method, url[:80], answer)


QUERIES = [
    "limit=0",
    "limit=501",
    "limit=x",
    "limit=1.5",
    "cursor=x",
    "cursor=%ff",
    "cursor=" + "A" * 4000,
    "x=%00",
]


async def test_no_query_is_ever_our_fault(api: Api) -> None:
    lists = (
        "webhooks",
        "triggers",
        "members",
        "keys",
        "organizations",
        "executions",
        "deliveries",
        "requests",
    )
    for path in lists:
        for query in QUERIES:
            answer = await api.admin("GET", f"/api/v1/{path}?{query}")
            assert (answer.status, set(answer.details)) == (400, {"field", "expected", "received"}), (
                path,
                query,
            )
    for query in ("after=x", "after=%ff", "limit=0", "type=" + "x" * 5000):
        answer = await api.admin("GET", f"/api/v1/events?{query}")
        assert answer.status in (200, 400), query
