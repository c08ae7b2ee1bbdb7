from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from hookline.core.filters import compile_filter
from hookline.core.retry import SCHEDULES
from hookline.core.signing import Signer, agenticflow_signature, new_secret, standard_signature
from hookline.dialects import DEFAULT, NAMES, batch_body, get, signature_headers
from hookline.errors import InputError
from hookline.model.events import Event
from hookline.receiver import verify

NOW = datetime(2024, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)
NEW, OLD = new_secret(b"n" * 32), new_secret(b"o" * 32)
RAW = b'{ "total": 12.0,\n "7": 1, "id": 12345678901234567890, "note": "\\u00e9" }'


def event(data: bytes = RAW, type_: str = "order.created") -> Event:
    return Event(
        key=b"k" * 16, organization_id=b"o" * 16, type=type_, data=data, occurred_at=NOW, received_at=NOW
    )


def headers_of(name: str, body: bytes, previous: str | None = None) -> dict[str, str]:
    headers = get(name).signature_headers(
        secret=NEW, previous_secret=previous, message_id="evt_1", timestamp=int(NOW.timestamp()), body=body
    )
    assert len(dict(headers)) == len(headers)
    return dict(headers)


def test_agenticflow_words_an_event_in_its_envelope() -> None:
    """AF-8, AF-X1."""
    assert (
        get("agenticflow").body(event(), "wh_1", None)
        == (
            '{"event":"order.created","timestamp":"2024-01-15T10:30:00.123Z","webhook_id":"wh_1",'
            '"data":{"7":1,"total":12,"id":12345678901234567000,"note":"é"}}'
        ).encode()
    )


def test_standard_sends_data_as_it_came() -> None:
    """CONTRACT section 5: unchanged data."""
    assert get("standard").body(event(), "wh_1", None) == (
        b'{"type":"order.created","timestamp":"2024-01-15T10:30:00.123Z","data":' + RAW + b"}"
    )


def test_a_filter_trims_before_signing() -> None:
    """AF-18, AF-X6; an exact number stays exact where the dialect allows it."""
    trim = compile_filter(["total", "id"], None)

    assert (
        get("agenticflow")
        .body(event(), "wh_1", trim)
        .endswith(b'"data":{"total":12,"id":12345678901234567000}}')
    )
    assert (
        get("standard")
        .body(event(), "wh_1", trim)
        .endswith(b'"data":{"total":12.0,"id":12345678901234567890}}')
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data", [b"null", b"1.0", b'"text"', b"[]", b'[{"a":1}]', b"{}", b'{"a":"\\u0000"}', b"9" * 30]
)
@pytest.mark.parametrize("type_", ["workflow.execution.completed", 'own "quoted" \\ type', "größe", "x"])
def test_dialects_word_every_event_and_never_refuse(name: str, data: bytes, type_: str) -> None:
    """CONTRACT section 5."""
    for trim in (None, compile_filter(["a"], ["b"])):
        worded = json.loads(get(name).body(event(data, type_), "wh_1", trim))
        assert type_ in (worded.get("event"), worded.get("type"))
        assert "data" in worded


@pytest.mark.parametrize("name", NAMES)
def test_the_body_is_a_pure_function(name: str) -> None:
    """P4: equal on every retry."""
    assert get(name).body(event(), "wh_1", None) == get(name).body(event(), "wh_1", None)


def test_every_dialect_carries_the_standard_headers() -> None:
    """CONTRACT section 5; verified by Standard Webhooks' own library."""
    at = datetime.now(UTC)
    for name in NAMES:
        body = get(name).body(event(), "wh_1", None)
        headers = dict(
            signature_headers(name, Signer(NEW), message_id="evt_1", timestamp=int(at.timestamp()), body=body)
        )
        assert Webhook(NEW).verify(body, headers)
        assert verify(body, headers, NEW, now=at)


def test_only_agenticflow_adds_its_own_header() -> None:
    """AF-15."""
    assert headers_of("agenticflow", b"{}")["X-AgenticFlow-Signature"] == agenticflow_signature(NEW, b"{}")
    assert set(headers_of("standard", b"{}")) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_during_a_rotation_old_and_new_verifiers_both_accept() -> None:
    """CONTRACT section 5, P12: Standard carries both, the AgenticFlow header stays with the old secret."""
    body = b'{"type":"x"}'
    headers = headers_of("agenticflow", body, OLD)
    stamp = int(NOW.timestamp())

    assert headers["webhook-signature"].split(" ") == [
        standard_signature(NEW, "evt_1", stamp, body),
        standard_signature(OLD, "evt_1", stamp, body),
    ]
    assert headers["X-AgenticFlow-Signature"] == agenticflow_signature(OLD, body)
    assert verify(body, headers, NEW, now=NOW) == verify(body, headers, OLD, now=NOW) == {"type": "x"}
    assert verify(body, headers, OLD, scheme="agenticflow")


def test_a_batch_is_one_body_with_one_signature() -> None:
    """AF-19, AF-X7: the bodies as each would have been alone, and still canonical."""
    bodies = [get("agenticflow").body(event(data), "wh_1", None) for data in (b'{"a":1.0}', b"[]")]
    body = batch_body("bat_1", "wh_1", bodies)
    parsed = json.loads(body)

    assert list(parsed) == ["batch_id", "webhook_id", "count", "events"]
    assert (parsed["batch_id"], parsed["count"]) == ("bat_1", 2)
    assert [each["data"] for each in parsed["events"]] == [{"a": 1}, []]
    assert json.dumps(parsed, separators=(",", ":")).encode() == body
    assert json.loads(batch_body("b", "w", []))["events"] == []


def test_dialects_carry_their_row_of_the_contracts_table() -> None:
    """CONTRACT section 5, AF-21."""
    rows: dict[str, tuple[Any, ...]] = {
        name: (get(name).timeout_seconds, get(name).max_redirects, get(name).content_type) for name in NAMES
    }

    assert rows == {"agenticflow": (30.0, 0, "application/json"), "standard": (15.0, 0, "application/json")}
    assert all(get(name).schedule is SCHEDULES[name] for name in NAMES)
    assert DEFAULT in NAMES
    assert repr(get("standard")) == "Standard()"


@pytest.mark.parametrize("name", ["", "Agenticflow", "phantom", None, 3, ["standard"]])
def test_an_unknown_dialect_is_refused_with_its_field(name: Any) -> None:
    with pytest.raises(InputError) as caught:
        get(name)

    assert caught.value.field == "dialect"
    assert caught.value.expected == "one of agenticflow standard"
