"""What all dialects have in common: options, signatures, batches, and that none refuses an event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from hookline.core.filters import compile_filter
from hookline.core.retry import SCHEDULES
from hookline.core.signing import Signer, agenticflow_signature, new_secret, standard_signature
from hookline.dialects import (
    DEFAULT,
    NAMES,
    Recipient,
    batch_body,
    check_options,
    get,
    signature_headers,
)
from hookline.errors import InputError
from hookline.model.events import Event
from hookline.receiver import verify

NOW = datetime(2024, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)
NEW, OLD = new_secret(b"n" * 32), new_secret(b"o" * 32)
RAW = b'{ "total": 12.0,\n "7": 1, "id": 12345678901234567890, "note": "\\u00e9" }'
ONE = Recipient(webhook_id="wh_1")
TYPED = ("agenticflow", "standard", "cloudevents")
ENDS = ("phantombuster", "maxun", "maxun-src", "phantomflow")


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
        get("agenticflow").body(event(), ONE)
        == (
            '{"event":"order.created","timestamp":"2024-01-15T10:30:00.123Z","webhook_id":"wh_1",'
            '"data":{"7":1,"total":12,"id":12345678901234567000,"note":"é"}}'
        ).encode()
    )


def test_standard_sends_data_as_it_came() -> None:
    """CONTRACT section 5: unchanged data."""
    assert get("standard").body(event(), ONE) == (
        b'{"type":"order.created","timestamp":"2024-01-15T10:30:00.123Z","data":' + RAW + b"}"
    )


def test_raw_sends_the_data_and_nothing_else() -> None:
    """CONTRACT section 5, P4; the type stands in a header."""
    assert get("raw").body(event(), ONE) == RAW
    assert get("raw").event_headers(event()) == [("Hookline-Event", "order.created")]


def test_cloudevents_is_the_structured_mode_of_1_0() -> None:
    """CONTRACT section 5; the specification's required attributes, and the same id as ``webhook-id``."""
    sent = event()
    worded = json.loads(get("cloudevents").body(sent, ONE))

    assert {name: worded[name] for name in ("specversion", "id", "type", "time")} == {
        "specversion": "1.0",
        "id": sent.public_id,
        "type": "order.created",
        "time": "2024-01-15T10:30:00.123Z",
    }
    assert worded["source"].startswith("/organizations/org_")
    assert worded["datacontenttype"] == "application/json"
    assert "subject" not in worded
    assert get("cloudevents").body(sent, ONE).endswith(b'"data":' + RAW + b"}")


@pytest.mark.parametrize("type_", ["größe", "a\nb: c", "x%y", "line\rbreak"])
def test_a_type_in_a_header_is_visible_ascii(type_: str) -> None:
    """A type from user code cannot break out of its header."""
    ((_, value),) = get("raw").event_headers(event(type_=type_))

    assert value.isascii()
    assert value.isprintable()
    assert " " not in value


@pytest.mark.parametrize("name", TYPED)
def test_a_filter_trims_before_signing(name: str) -> None:
    """AF-18, AF-X6; an exact number stays exact where the dialect allows it."""
    to = Recipient(webhook_id="wh_1", trim=compile_filter(["total", "id"], None))
    exact = b'"data":{"total":12.0,"id":12345678901234567890}}'
    rounded = b'"data":{"total":12,"id":12345678901234567000}}'

    assert get(name).body(event(), to).endswith(rounded if name == "agenticflow" else exact)


@pytest.mark.parametrize("name", TYPED)
def test_an_event_keeps_its_own_type_and_data(name: str) -> None:
    """CONTRACT section 5."""
    worded = json.loads(get(name).body(event(b'{"a":[1,null]}', "größe"), ONE))

    assert "größe" in (worded.get("event"), worded.get("type"))
    assert worded["data"] == {"a": [1, None]}


@pytest.mark.parametrize("name", NAMES)
def test_the_body_is_a_pure_function(name: str) -> None:
    """P4: equal on every retry."""
    assert get(name).body(event(), ONE) == get(name).body(event(), ONE)


def test_every_dialect_carries_the_standard_headers() -> None:
    """CONTRACT section 5; verified by Standard Webhooks' own library."""
    at = datetime.now(UTC)
    for name in NAMES:
        body = get(name).body(event(), ONE)
        headers = dict(
            signature_headers(name, Signer(NEW), message_id="evt_1", timestamp=int(at.timestamp()), body=body)
        )
        assert Webhook(NEW).verify(body, headers)
        assert verify(body, headers, NEW, now=at)


def test_only_agenticflow_adds_its_own_header() -> None:
    """AF-15; PF-5 and PB-8 have no signature of their own, so Standard Webhooks' is all they get."""
    assert headers_of("agenticflow", b"{}")["X-AgenticFlow-Signature"] == agenticflow_signature(NEW, b"{}")
    for name in set(NAMES) - {"agenticflow"}:
        assert set(headers_of(name, b"{}")) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


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
    bodies = [get("agenticflow").body(event(data), ONE) for data in (b'{"a":1.0}', b"[]")]
    body = batch_body("bat_1", "wh_1", bodies)
    parsed = json.loads(body)

    assert list(parsed) == ["batch_id", "webhook_id", "count", "events"]
    assert (parsed["batch_id"], parsed["count"]) == ("bat_1", 2)
    assert [each["data"] for each in parsed["events"]] == [{"a": 1}, []]
    assert json.dumps(parsed, separators=(",", ":")).encode() == body
    assert json.loads(batch_body("b", "w", []))["events"] == []


def test_dialects_carry_their_row_of_the_contracts_table() -> None:
    """CONTRACT section 5, AF-21, PB-9, PB-X2: time-out, redirects, content type; whether only ends are told."""
    rows = {
        name: (
            get(name).timeout_seconds,
            get(name).max_redirects,
            get(name).content_type,
            get(name).tells_ends_only,
        )
        for name in NAMES
    }
    json_ = "application/json"

    assert rows == {
        "agenticflow": (30.0, 0, json_, False),
        "phantombuster": (30.0, 2, json_, True),
        "maxun": (30.0, 0, json_, True),
        "maxun-src": (30.0, 0, json_, True),
        "phantomflow": (30.0, 0, json_, True),
        "standard": (15.0, 0, json_, False),
        "cloudevents": (15.0, 0, "application/cloudevents+json", False),
        "raw": (15.0, 0, json_, False),
    }
    assert all(get(name).schedule is SCHEDULES[name] for name in NAMES)
    assert set(SCHEDULES) == set(NAMES)
    assert DEFAULT in NAMES
    assert repr(get("standard")) == "Standard()"


@pytest.mark.parametrize("name", ["", "Agenticflow", "phantom", None, 3, ["standard"]])
def test_an_unknown_dialect_is_refused_with_its_field(name: Any) -> None:
    with pytest.raises(InputError) as caught:
        get(name)

    assert caught.value.field == "dialect"
    assert caught.value.expected == "one of " + " ".join(NAMES)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("phantombuster", {"result_object": "json-string", "version": 2}),
        ("phantombuster", {}),
        ("maxun", {"dual_keys": True}),
        ("maxun-src", {"dual_keys": False}),
        ("standard", {}),
        ("raw", None),
    ],
)
def test_a_dialects_own_options_are_taken(name: str, options: Any) -> None:
    """PB-X1, MX-X2."""
    assert check_options(get(name), options) == (options or {})


@pytest.mark.parametrize(
    ("name", "options", "field", "expected", "received"),
    [
        ("phantombuster", [], "dialect_options", "object", "array"),
        (
            "phantombuster",
            {"result_object": "text"},
            "dialect_options.result_object",
            "one of object json-string",
            "text",
        ),
        (
            "phantombuster",
            {"result_object": None},
            "dialect_options.result_object",
            "one of object json-string",
            "null",
        ),
        ("phantombuster", {"version": True}, "dialect_options.version", "one of 1 2", "true"),
        (
            "phantombuster",
            {"dual_keys": True},
            "dialect_options.dual_keys",
            "one of result_object version",
            "boolean",
        ),
        ("maxun", {"dual_keys": 1}, "dialect_options.dual_keys", "one of false true", "1"),
        ("maxun", {"dual_keys": {}}, "dialect_options.dual_keys", "one of false true", "object"),
        ("agenticflow", {"x": 1}, "dialect_options.x", "no option", "number"),
    ],
)
def test_another_option_is_refused_with_what_was_expected_and_received(
    name: str, options: Any, field: str, expected: str, received: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_options(get(name), options)

    assert (caught.value.field, caught.value.expected, caught.value.received) == (field, expected, received)


@pytest.mark.parametrize("name", NAMES)
def test_each_item_of_a_batch_has_its_id(name: str) -> None:
    """AF-X7, issue point 5: in front of the body, which is otherwise what it would be alone."""
    one = event(type_='a"b')
    alone = get(name).body(one, Recipient(webhook_id="wh_1"))
    item = get(name).batch_item(one, alone)

    assert json.loads(item)["id"] == one.public_id
    match name:
        case "raw":  # P4: the publisher's bytes stay as they are
            assert item == b'{"id":"%b","type":"a\\"b","data":%b}' % (one.public_id.encode(), RAW)
        case "cloudevents":
            assert item == alone
        case _:
            assert item == b'{"id":"%b",%b' % (one.public_id.encode(), alone[1:])
