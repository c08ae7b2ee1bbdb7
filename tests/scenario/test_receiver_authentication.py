"""How a receiver knows us, over a real socket: what goes out is exact, what is kept of it holds no secret (P13)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest
from world import World, until, world

from hookline.testing.receivers import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.receivers import Received

SECRET = "CANARY%2f%41-4711/~"
AUTHENTICATIONS: dict[str, tuple[dict[str, str], str, str]] = {
    "query": ({"name": "secret", "value": SECRET}, "target", f"?a=%2f&secret={SECRET}"),
    "bearer": ({"token": SECRET}, "authorization", f"Bearer {SECRET}"),
    "basic": (
        {"username": "user", "password": SECRET},
        "authorization",
        "Basic " + b64encode(f"user:{SECRET}".encode()).decode(),
    ),
    "header": ({"name": "X-Key", "value": SECRET}, "x-key", SECRET),
    "none": ({}, "target", "?a=%2f"),
}
"""Type to its fields, where the receiver finds it, and what it finds."""


def echo(request: Received) -> Reply:
    """What careless receivers do: repeat all that they were sent, in the body and in a redirect."""
    if request.target.startswith(b"/chain/"):
        left = int(request.target.rsplit(b"/", 1)[1])
        return Reply.redirect(f"/chain/{left - 1}", 308) if left else Reply()
    said = request.target + b"\n" + b"\n".join(value.encode() for _, value in request.headers)
    kind, _, credential = (request.header("authorization") or "").partition(" ")
    if kind == "Basic":
        said += b"\nwelcome, " + b64decode(credential)
    place = "https://elsewhere.example" + request.target.decode()
    status = 307 if b"redirect" in request.target else 500
    return Reply(status=status, headers=(("Location", place), ("X-Echo", place)), body=said)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("authentication")
    with world(f"sqlite:///{folder}/hookline.db", folder, answers=echo) as made:
        yield made


def attempted(one: World, webhook_id: str) -> dict[str, Any]:
    """The delivery of a webhook, once it is over."""

    def found() -> Any:
        return one.get(f"/api/v1/deliveries?webhook_id={webhook_id}&state=exhausted")["deliveries"]

    (delivery,) = until(found)
    detail: dict[str, Any] = one.get(f"/api/v1/deliveries/{delivery['id']}")
    return detail


@pytest.mark.parametrize("kind", AUTHENTICATIONS)
@pytest.mark.parametrize("path", ["/echo", "/redirect"])
def test_a_receiver_gets_the_secret_and_nothing_keeps_it(one: World, kind: str, path: str) -> None:
    """AF-11, PB-8, P13: exact on the wire; redacted in rows, errors, explanations and the server's log."""
    fields, place, expected = AUTHENTICATIONS[kind]
    webhook = one.webhook(
        f"{path}-{kind}?a=%2f",
        [f"auth{path}.{kind}"],
        authentication={"type": kind, **fields},
        retry_policy={"max_retries": 0, "backoff_multiplier": 1},
        max_redirects=1,
    )
    event_id = one("POST", "/api/v1/events", {"type": f"auth{path}.{kind}", "data": {}}).json["id"]
    detail = attempted(one, webhook["id"])
    arrived = [
        request for request in one.inbox.all() if request.target.startswith(f"{path}-{kind}?".encode())
    ]
    kept = json.dumps(
        [
            detail,
            webhook | {"secret": ""},
            one.get(f"/api/v1/events/{event_id}/explain"),
            one.get(f"/api/v1/webhooks/{webhook['id']}"),
            one.get(f"/api/v1/webhooks/{webhook['id']}/logs"),
        ]
    )
    log = "".join(file.read_text() for file in one.folder.glob("*.log"))

    (request,) = arrived
    found = request.target.decode() if place == "target" else request.header(place)
    assert found == (f"{path}-{kind}{expected}" if place == "target" else expected)
    for secret in (SECRET, SECRET.replace("%2f", "/").replace("%41", "A"), expected.split(" ")[-1]):
        if kind != "none":
            assert secret not in kept
            assert secret not in log
    if kind == "query":
        assert detail["attempts"][0]["url"].endswith("?a=%2f&secret=[redacted]")


@pytest.mark.parametrize("path", ["/echo", "/redirect"])
def test_secrets_of_the_url_and_of_own_headers_are_kept_nowhere_either(one: World, path: str) -> None:
    """PB-8, P13: the secret in the query as PhantomBuster has it, and a token in a header of the owner's own."""
    webhook = one.webhook(
        f"{path}-url?a=1&secret={SECRET}",
        [f"own{path}"],
        dialect="phantombuster",
        headers={"X-Team-Token": SECRET[::-1], "X-Team": "billing"},
        max_redirects=1,
    )
    one("POST", "/api/v1/events", {"type": f"own{path}", "data": {}})
    kept = json.dumps(attempted(one, webhook["id"]))
    (request,) = [
        request for request in one.inbox.all() if request.target.startswith(f"{path}-url?".encode())
    ]

    assert request.target.decode() == f"{path}-url?a=1&secret={SECRET}"
    assert request.header("x-team-token") == SECRET[::-1]
    for secret in (SECRET, SECRET.replace("%2f", "/").replace("%41", "A"), SECRET[::-1]):
        assert secret not in kept
    assert kept.count("a=1&secret=[redacted]") >= 2
    assert ("billing" in kept) is (path == "/echo")


@pytest.mark.parametrize(("hops", "state"), [(2, "succeeded"), (3, "exhausted")])
def test_phantombusters_two_redirects_are_followed_and_a_third_is_shown(
    one: World, hops: int, state: str
) -> None:
    """PB-9: as the owner sees it, with the ``Location`` that was not followed."""
    webhook = one.webhook(f"/chain/{hops}", [f"chain.{hops}"], dialect="phantombuster")
    one("POST", "/api/v1/events", {"type": f"chain.{hops}", "data": {"n": hops}})
    (delivery,) = until(
        lambda: one.get(f"/api/v1/deliveries?webhook_id={webhook['id']}")["deliveries"],
        lambda found: bool(found) and found[0]["state"] in {"succeeded", "exhausted"},
    )
    (attempt,) = one.get(f"/api/v1/deliveries/{delivery['id']}")["attempts"]
    bodies = {request.body for request in one.inbox.all() if request.target.startswith(b"/chain/")}

    assert delivery["state"] == state
    assert all(json.loads(body)["resultObject"]["n"] in {2, 3} for body in bodies)
    if state == "exhausted":
        assert "/chain/0" in attempt["error"]
        assert ["Location", "/chain/0"] in attempt["response_headers"]
