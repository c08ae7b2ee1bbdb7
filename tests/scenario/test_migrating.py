"""``hookline migrate`` and its pages: exports of other systems become webhooks that sign with the secrets of then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pages import Shell, environment, follow, named, running
from world import Inbox, call

from hookline.cli import foreign
from hookline.cli.client import CommandError
from hookline.receiver import verify

if TYPE_CHECKING:
    from pathlib import Path

SVIX = json.loads(named("how-to/moving-from-svix", "file")["endpoints.json"])
CONVOY = {name: json.loads(text) for name, text in named("how-to/moving-from-convoy", "file").items()}


def subscription(**change: Any) -> list[Any]:
    """Convoy's two answers, with a subscription that is otherwise."""
    (one,) = foreign.listed(CONVOY["subscriptions.json"])
    return [CONVOY["endpoints.json"], [one | change]]


def filtered(body: dict[str, Any]) -> list[Any]:
    return subscription(filter_config={"event_types": ["a"], "filter": {"body": body}})


def test_an_endpoint_of_svix_keeps_secret_types_headers_and_waits() -> None:
    (taken,) = foreign.from_svix([SVIX])

    assert not taken.is_paused
    assert taken.notes == ()
    assert taken.body == {
        "name": "Orders",
        "url": "https://example.com/webhooks",
        "events": ["order.paid", "order.shipped"],
        "dialect": "raw",
        "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "retry_policy": {"schedule_seconds": [5, 300, 1800, 7200, 18000, 36000, 36000], "jitter": 0.2},
        "rate_per_second": 20,
        "headers": {"X-Team": "billing"},
        "metadata": {"customer": "42"},
    }


@pytest.mark.parametrize("change", [{"secret": None}, {"channels": ["project_1"]}, {"disabled": True}])
def test_what_would_send_wrongly_begins_paused(change: dict[str, Any]) -> None:
    (taken,) = foreign.from_svix([{"data": [SVIX["data"][0] | change]}])

    assert taken.is_paused
    assert len(taken.notes) == (0 if "disabled" in change else 1)


def test_a_subscription_of_convoy_is_one_webhook_with_its_endpoint() -> None:
    (taken,) = foreign.from_convoy(list(CONVOY.values()))

    assert not taken.is_paused
    assert taken.body == {
        "name": "Large orders",
        "url": "https://example.com/webhooks",
        "events": ["order.paid"],
        "dialect": "raw",
        "secret": "a-long-random-secret-of-convoy",
        "authentication": {"type": "header", "name": "X-Key", "value": "k-17"},
        "conditions": {"total": {"gte": 100}, "customer.country": {"eq": "FR"}},
        "retry_policy": {"schedule_seconds": [10, 20, 40, 80], "jitter": 0.1},
        "rate_per_second": 5.0,
        "timeout_seconds": 10,
    }


@pytest.mark.parametrize(
    ("body", "conditions"),
    [
        ({"a": {"b": {"$gt": 1, "$lt": 5}}}, {"a.b": {"gt": 1, "lt": 5}}),
        ({"a": {"$exist": True}, "b": {"$neq": 2}}, {"a": {"exists": True}, "b": {"ne": 2}}),
        ({"a": {"$in": [1, 2]}}, {"a": {"in": [1, 2]}}),
        ({"$or": [{"a": 1}]}, None),
        ({"a": {"$regex": "x"}}, None),
        ({"a": [1]}, None),
    ],
)
def test_filters_become_conditions_or_are_told(
    body: dict[str, Any], conditions: dict[str, Any] | None
) -> None:
    (taken,) = foreign.from_convoy(filtered(body))

    assert taken.body.get("conditions") == conditions
    assert taken.is_paused == (conditions is None)


def test_a_node_without_its_credentials_is_refused_by_name() -> None:
    workflows = json.loads(named("how-to/moving-from-n8n", "file")["workflows.json"])

    with pytest.raises(CommandError, match="'Webhook' asks for headerAuth: give its decrypted credentials"):
        foreign.from_n8n([workflows])


@pytest.mark.timeout(120)
def test_what_moved_is_signed_with_the_secrets_that_receivers_have(tmp_path: Path) -> None:
    """P12: the pages' exports, sent to a receiver that knows the secrets of Svix and of Convoy."""
    with Inbox() as inbox, running("how-to/moving-from-svix", tmp_path) as node:
        shell = Shell(tmp_path, environment(node))
        for system, exports in {"svix": {"endpoints.json": SVIX}, "convoy": CONVOY}.items():
            for name, export in exports.items():
                moved = json.dumps(export).replace("https://example.com/webhooks", f"{inbox.origin}/{system}")
                (tmp_path / name).write_text(moved, encoding="utf-8")
            shell.type(f"hookline migrate {system} {' '.join(exports)}")
        shell.close()
        data = {"total": 120, "customer": {"country": "FR"}}
        node.api.call("POST", "/api/v1/events", {"type": "order.paid", "data": data, "id": "order-17"})
        svix, convoy = inbox.wait("/svix")[0], inbox.wait("/convoy")[0]

    for received, secret in (
        (svix, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        (convoy, "a-long-random-secret-of-convoy"),
    ):
        assert json.loads(received.body) == data
        assert verify(received.body, dict(received.headers), secret) == data
        assert received.header("webhook-id") == "order-17"
    assert svix.header("x-team") == "billing"
    assert convoy.header("x-key") == "k-17"


@pytest.mark.timeout(120)
def test_a_node_of_n8n_takes_its_callers_as_they_are(tmp_path: Path) -> None:
    """The page, then a caller with the header that it always sent: the result in the answer."""
    with running("how-to/moving-from-n8n", tmp_path) as node:
        said = follow("how-to/moving-from-n8n", tmp_path, node=node).said["taken"]
        path = said.partition("8700")[2].partition(";")[0]
        answers = [
            call(node.port, "POST", path, {"id": 17}, key=None, X_Shop_Key=key)
            for key in ("the key that the shop sends", "another")
        ]

    assert [answer.status for answer in answers] == [200, 401]
    assert answers[0].json == {"receipt": "receipt-17"}
