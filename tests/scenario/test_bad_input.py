"""Bad input to every route that takes a body, generated from the server's own OpenAPI, over sockets and both stores."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any, Final

import pytest
from path_ids import PREFIXES
from world import World, call, database_of, until, world

from hookline.model.ids import bare, new_key
from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_BODY = 65_536
STATUSES = {400, 401, 403, 404, 405, 409, 413, 415}

NOT_JSON: Final[dict[str, bytes]] = {
    "cut": b"{",
    "cut string": b'{"a":"',
    "trailing comma": b'{"a":1,}',
    "two values": b"{}{}",
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "overlong UTF-8": b'{"a":"\xc0\x80"}',
    "raw surrogate": b'{"a":"\xed\xa0\x80"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "raw NUL": b'{"a":"\x00"}',
    "NUL after": b"{}\x00",
    "raw newline in a string": b'{"a":"\n"}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate in a name": b'{"\\udc00":1}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "too large a number": b'{"a":1e999}',
    "long integer": b'{"a":' + b"9" * 5_000 + b"}",
    "deep array": b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep object": b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
    "form": b"a=1&b=2",
    "single quotes": b"{'a':1}",
}
NOT_AN_OBJECT: Final[dict[str, bytes]] = {
    "empty array": b"[]",
    "array of objects": b"[{}]",
    "string": b'"x"',
    "number": b"7",
    "boolean": b"true",
}
WRONG_VALUES: Final[tuple[Any, ...]] = (
    7.5,
    -1,
    10**30,
    "",
    "\0",
    "x" * 5_000,
    [],
    [None],
    {},
    {"a": {}},
    True,
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bad")
    with world(database_of(request, folder), folder, HOOKLINE_MAX_BODY_BYTES=str(MAX_BODY)) as found:
        yield found


class Site:
    """One connection kept for many requests: a matrix is thousands of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection = http.client.HTTPConnection("127.0.0.1", world.nodes[0].port, timeout=10)
        self.wrong: list[Any] = []

    def send(
        self, method: str, path: str, body: bytes, key: str = ADMIN_KEY, **headers: str
    ) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        try:
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return answer.status, text

    def expect(self, name: str, method: str, path: str, body: bytes, allowed: set[int], **more: str) -> None:
        """Note an answer that is not one of these or not in the route's shape."""
        status, text = self.send(method, path, body, **more)
        if status not in allowed or (status >= 400 and not is_explained(text, path)):
            self.wrong.append((method, path, name, body[:60], status, text[:200]))

    def close(self) -> None:
        self._connection.close()


def is_explained(text: bytes, path: str) -> bool:
    """AF-5's shape; of render jobs PF-9's."""
    try:
        found = json.loads(text)
        error = found["error"]
        if path.startswith(("/api/jobs", "/api/render", "/api/templates")):
            return set(found) == {"error"} and {"code", "message"} <= set(error) <= {
                "code",
                "message",
                "path",
            }
        return (
            found["success"] is False
            and isinstance(error["code"], str)
            and isinstance(error["message"], str)
            and set(error["details"]) == {"field", "expected", "received"}
        )
    except (ValueError, KeyError, TypeError):
        return False


@pytest.fixture
def site(one: World) -> Iterator[Site]:
    found = Site(one)
    yield found
    found.close()


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    for part in schema.get("$ref", "#").split("/")[1:]:
        document = document[part]
        schema = document
    return schema


def writing_routes(one: World) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and body schemas of every route that writes, from the OpenAPI that users read."""
    document = one.get("/openapi.json")
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in {"post", "put", "patch"} or path.startswith("/trigger/"):
                continue  # a trigger takes any body (test_trigger_bad_input)
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            fields: dict[str, Any] = {}
            for option in [schema, *schema.get("anyOf", []), *schema.get("oneOf", [])]:
                fields |= resolved(option, document).get("properties", {})
            found.append((method.upper(), path, fields))
    return found


def own_ids(one: World) -> dict[str, str]:
    """Objects that exist, so that bad input is not hidden behind 404."""
    execution_id = one.start("orders", {})
    one.ended(execution_id)
    new = {"integration": "acme", "customer": {"external_id": "own"}}
    made = one("POST", "/api/v1/instances", new)
    return {
        "webhook_id": one.webhook("/x", ["never"])["id"],
        "trigger_id": one.trigger("orders")["id"],
        "execution_id": execution_id,
        "instance_id": made.json["id"],
        "workflow_id": "orders",
        "agent_id": "support",
    }


def filled(path: str, ids: dict[str, str]) -> str:
    names = {name: prefix + bare(new_key()) for name, prefix in PREFIXES.items()}
    return path.format_map(names | {"workflow_id": "orders", "agent_id": "support"} | ids)


def _any_input(path: str) -> set[int]:
    """An execution's input may be any JSON value, and how long things are kept is numbers alone."""
    if path.endswith("/settings/retention"):
        return {200}
    return {202} if path.endswith("/executions") else set()


def keys_of(one: World, path: str) -> str:
    if path.startswith("/webhooks/workflows"):
        return str(one.trigger("orders")["token"])
    if path.startswith("/webhooks/agents"):
        return str(one.trigger("support", kind="agent")["token"])
    return ADMIN_KEY


def test_no_body_is_ever_our_fault_on_any_route(one: World, site: Site) -> None:
    """P14, AF-5, CONTRACT section 2: the documented 4xx in AF-5's shape, whether the object exists or not."""
    routes = writing_routes(one)
    ids = own_ids(one)
    for method, path, fields in routes:
        key = keys_of(one, path)
        taken = set() if fields else {200, 202, 409}  # sound JSON where nothing is read from it
        for some in (ids, {}):
            place = filled(path, some)
            for name, body in NOT_JSON.items():
                site.expect(name, method, place, body, {400}, key=key)
            for name, body in NOT_AN_OBJECT.items():
                site.expect(name, method, place, body, {400, 404} | taken, key=key)
            site.expect("null", method, place, b"null", {200, 201, 202, 400, 404, 409}, key=key)
            site.expect("too large", method, place, b'{"a":"' + b"x" * MAX_BODY + b'"}', {413}, key=key)
            for kind in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
            ):
                site.expect(kind, method, place, b'{"a":1}', {415}, key=key, Content_Type=kind)
            site.expect("gzip", method, place, b"\x1f\x8b", {415}, key=key, Content_Encoding="gzip")
            if fields:
                every = json.dumps(dict.fromkeys(fields, 7.5)).encode()
                site.expect(
                    "every field a number", method, place, every, {400, 404} | _any_input(path), key=key
                )

    assert len(routes) > 20
    assert site.wrong == []


def test_no_value_of_any_field_is_ever_our_fault(one: World, site: Site) -> None:
    """Each field of each route's schema with values of wrong kinds: an answer below 500, in AF-5's shape."""
    ids = own_ids(one)
    fine = {200, 201, 202} | STATUSES
    sound: dict[str, dict[str, Any]] = {
        "/api/v1/webhooks": {"url": "https://example.com/", "events": ["never"]},
        "/api/v1/triggers": {
            "automation": {"kind": "workflow", "id": "orders"},
            "auth": {"type": "token"},
        },
        "/api/v1/events": {"type": "never", "data": 1},
        "/api/v1/instances": {"integration": "acme", "customer": {"external_id": "c"}},
        "/webhooks/agents/{agent_id}": {"message": "x"},
        "/api/v1/organizations": {"name": "x"},
        "/api/v1/members": {"name": "x", "email": "x@example.com"},
        "/api/v1/keys": {"name": "x", "scopes": ["read"]},
    }
    for method, path, fields in writing_routes(one):
        if path.endswith("/backup") or path.startswith("/api/v1/organizations/"):
            continue
        place, key = filled(path, ids), keys_of(one, path)
        base = sound.get(path, {}) if method == "POST" else {}
        for field in fields:
            for value in (*WRONG_VALUES, None):
                body = json.dumps(base | {field: value}).encode()
                site.expect(f"{field}={value!r:.20}", method, place, body, fine, key=key)
        if not path.startswith("/webhooks/"):
            unknown = json.dumps(base | {"no_such_field": 1}).encode()
            if fields:
                site.expect("unknown field", method, place, unknown, {400}, key=key)
        site.expect("NUL in a name", method, place, b'{"a\\u0000b":1}', fine, key=key)
        site.expect("duplicate names", method, place, b'{"name":"a","name":"b"}', fine, key=key)

    assert site.wrong == []


@pytest.mark.parametrize(
    ("path", "body", "field", "expected", "received"),
    [
        ("/webhooks/agents/support", {"message": 5}, "message", "string", "number"),
        ("/webhooks/agents/support", {"message": None}, "message", "string", "null"),
        ("/webhooks/agents/support", {"message": "x", "context": []}, "context", "object", "array"),
        ("/webhooks/workflows/orders", {"input_data": []}, "input_data", "object", "array"),
        ("/webhooks/workflows/orders", {"input_data": "x"}, "input_data", "object", "string"),
        ("/webhooks/workflows/orders", {"trigger_source": 1}, "trigger_source", "string", "number"),
        ("/api/v1/events", {"type": "a"}, "data", "any", "null"),
        ("/api/v1/events", {"type": 1, "data": 1}, "type", "string", "number"),
        ("/api/v1/events", {"events": [{"type": "a"}]}, "events.0.data", "any", "null"),
        ("/api/v1/webhooks", {"events": ["*"]}, "url", "string", "null"),
        ("/api/v1/webhooks", {"url": 5, "events": ["*"]}, "url", "string", "number"),
        ("/api/v1/webhooks", {"url": "https://a.example", "events": {}}, "events", "array", "object"),
    ],
)
def test_an_error_names_the_field_what_was_expected_and_what_came(
    one: World, path: str, body: dict[str, Any], field: str, expected: str, received: str
) -> None:
    """AF-5."""
    answer = one("POST", path, body, key=keys_of(one, path))

    assert answer.status == 400
    assert answer.json["error"]["details"] == {"field": field, "expected": expected, "received": received}


def test_an_empty_body_of_a_trigger_is_refused(one: World) -> None:
    """CONTRACT section 3: empty, null, array are 400; input_data may be absent."""
    key = keys_of(one, "/webhooks/workflows")
    answers = [
        one("POST", "/webhooks/workflows/orders", body, key=key) for body in (b"", b"null", b"[]", b" ")
    ]

    assert [answer.status for answer in answers] == [400] * 4
    assert one("POST", "/webhooks/workflows/orders", {}, key=key).status == 202


def has_input(data: Any, value: Any) -> bool:
    return isinstance(data, dict) and data.get("input_data") == value


def test_an_escaped_nul_is_legal_and_arrives(one: World) -> None:
    """CONTRACT section 2: data through a trigger, an event and an agent; in ids and names it is 400."""
    one.webhook("/nul", ["nul.*", "workflow.execution.completed"], dialect="standard")
    data = {"nul\0name": ["a\0b", "\0"]}
    published = one("POST", "/api/v1/events", {"type": "nul.own", "data": data})
    started = one(
        "POST", "/webhooks/workflows/orders", {"input_data": data}, key=keys_of(one, "/webhooks/workflows")
    )
    spoken = one(
        "POST", "/webhooks/agents/support", {"message": "a\0b"}, key=keys_of(one, "/webhooks/agents")
    )
    told = until(
        lambda: [json.loads(request.body)["data"] for request in one.inbox.at("/nul")],
        lambda found: data in found and any(has_input(body, data) for body in found),
    )
    turn = one.ended(spoken.json["execution_id"])
    refused = [
        one("POST", "/api/v1/events", {"type": "a\0b", "data": 1}),
        one("POST", "/api/v1/events", {"type": "a", "data": 1, "id": "a\0b"}),
        one("POST", "/api/v1/events", {"type": "a", "data": 1, "ordering_key": "a\0b"}),
        one("POST", "/api/v1/webhooks", {"url": "https://a.example/\0", "events": ["*"]}),
        one("POST", "/api/v1/webhooks", {"url": "https://a.example/", "events": ["a\0b"]}),
        one("POST", "/api/v1/webhooks", {"url": "https://a.example/", "events": ["*"], "name": "a\0b"}),
        one(
            "POST",
            "/api/v1/webhooks",
            {"url": "https://a.example/", "events": ["*"], "headers": {"X-A": "a\0b"}},
        ),
        one("POST", "/api/v1/organizations", {"name": "a\0b"}),
        one("POST", "/api/v1/keys", {"name": "a\0b", "scopes": ["read"]}),
        one("POST", "/api/v1/workflows/a%00b/executions", {}),
        one("GET", "/api/v1/executions?automation=%00"),
    ]

    assert (published.status, started.status, spoken.status) == (202, 202, 202)
    assert data in told
    assert turn["status"] == "succeeded"
    assert turn["output"] == "You said a\0b"
    assert [answer.status for answer in refused] == [400] * len(refused), refused


def test_hostile_keys_and_headers_are_refused(one: World) -> None:
    """401 for any key that is not one; a raw NUL in a header or URL is 400; two credentials are 400."""
    port = one.nodes[0].port
    for key in ("x", "hk_" + "a" * 5_000, "é", "Bearer", "null", "'; --"):
        answer = call(port, "GET", "/api/v1/webhooks", key=key)
        assert answer.status == 401, (key, answer)
    for head in (
        b"GET /api/v1/webhooks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\x00b\r\n\r\n",
        b"GET /api/v1/webhooks\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/v1/webhooks HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(head)
            assert connection.recv(100).split(b" ")[1] == b"400", head
    for header in ("a" * 256, "é", " "):
        answer = one("POST", "/api/v1/events", {"type": "a", "data": 1}, Idempotency_Key=header)
        assert answer.status == 400, (header, answer)
