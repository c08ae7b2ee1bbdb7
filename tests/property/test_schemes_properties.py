from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hookline.core.inbound import (
    PRESETS,
    Request,
    VerificationError,
    diagnose,
    handshake,
    scheme_from,
    sign,
    verify,
    verify_request,
)
from hookline.core.inbound.definition import FIELDS
from hookline.errors import InputError
from hookline.testing.samples import SAMPLES, URL, sample_request, verifying_secret

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
presets = st.sampled_from(sorted(PRESETS))

NAMES = sorted(
    {source.names[0] for scheme in PRESETS.values() for source in scheme.signature}
    | {scheme.id.names[0] for scheme in PRESETS.values() if scheme.id}
    | {scheme.timestamp.names[0] for scheme in PRESETS.values() if scheme.timestamp}
    | {"content-type", "x"}
)
PIECES = [
    "",
    ",",
    "=",
    "v1",
    "v0=",
    "t=",
    "t=1768478400,",
    "v1=",
    "v1,",
    "sha256=",
    "1768478400",
    "0" * 64,
    "A" * 43 + "=",
]
values = (
    st.text(max_size=80)
    | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
    | st.sampled_from(["application/x-www-form-urlencoded", "application/json"])
)
urls = st.sampled_from(
    ["", URL, "https://[", "http://a:b@c:99999/?secret=%ff", f"{URL}?validationToken=x", "\x00"]
) | st.text(max_size=60)
bodies = st.binary(max_size=200) | st.sampled_from(
    [
        b"{}",
        b'{"value":[{"clientState":1}]}',
        b'{"challenge":"x","type":"url_verification"}',
        b'{"event":"endpoint.url_validation","payload":{"plainToken":[]}}',
        b'{"type":1}',
        b'{"webhookTimestamp":1e400}',
        b"[" * 3000,
        b"a=%ff&b",
    ]
)


@QUICK
@given(
    preset=presets,
    names=st.lists(st.sampled_from(NAMES) | st.text(max_size=20), max_size=5),
    garbage=st.lists(values, min_size=5, max_size=5),
    url=urls,
    method=st.sampled_from(["POST", "GET", "PUT", "", "x"]),
    body=bodies,
    as_bytes=st.booleans(),
)
def test_garbage_is_refused_and_never_crashes(
    preset: str, names: list[str], garbage: list[str], url: str, method: str, body: bytes, as_bytes: bool
) -> None:
    """P12: any bad request gives a refusal, never another exception; a handshake too; and it can be explained."""
    scheme = PRESETS[preset]
    secrets = [verifying_secret(scheme, SAMPLES[preset].secret)]
    pairs: list[tuple[str | bytes, str | bytes]] = [
        (name.encode(), value.encode()) if as_bytes else (name, value)
        for name, value in zip(names, garbage, strict=False)
    ]

    with pytest.raises(VerificationError):
        verify(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    found = diagnose(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    assert not found.is_valid
    assert all(sentence.endswith((".", "?")) for sentence in found.findings)
    try:
        answer = handshake(scheme, secrets, method=method, url=url, headers=pairs, body=body, now=NOW)
    except VerificationError:
        return
    assert answer is None or scheme.handshake == "msgraph"


@QUICK
@given(
    preset=presets,
    body=bodies,
    at=st.integers(0, 4 * 10**9),
    message_id=st.from_regex(r"[\x21-\x7e]{1,40}", fullmatch=True),
)
def test_what_sign_makes_verify_takes(preset: str, body: bytes, at: int, message_id: str) -> None:
    """P12."""
    scheme, sample = PRESETS[preset], SAMPLES[preset]
    now = datetime.fromtimestamp(at, UTC)
    try:
        request = sign(scheme, sample.secret, now=now, body=body, url=URL, message_id=message_id)
    except ValueError:
        assume(False)  # a body that has no place for what this scheme reads there

    assert verify_request(scheme, [verifying_secret(scheme, sample.secret)], request, now).secret_index == 0


@QUICK
@given(preset=presets, place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_bit_of_a_signed_body_can_change(preset: str, place: int, bit: int) -> None:
    """P12."""
    scheme = PRESETS[preset]
    request = sample_request(preset, now=NOW)
    assume(scheme.algorithm != "equality")
    index = place % len(request.body)
    changed = request.body[:index] + bytes([request.body[index] ^ 1 << bit]) + request.body[index + 1 :]
    # Twilio signs what a form says: %2B and %2b are one text.
    assume(preset != "twilio" or unquote_to_bytes(changed) != unquote_to_bytes(request.body))

    forged = Request(method=request.method, url=request.url, headers=request.headers, body=changed)
    with pytest.raises(VerificationError):
        verify_request(scheme, [verifying_secret(scheme, SAMPLES[preset].secret)], forged, NOW)


names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Schemes that users may write: a header, perhaps a list of named items, a time and an id."""
    definition: dict[str, Any] = {
        "header": f"x-{draw(names)}",
        "algorithm": draw(st.sampled_from(["sha1", "sha256", "sha512"])),
        "encoding": draw(st.sampled_from(["hex", "base64"])),
        "secret_transform": draw(st.sampled_from(["utf8", "whsec", "whsec_base64"])),
    }
    parts = ["{body}"]
    if draw(st.booleans()):
        definition |= {"prefix": draw(st.sampled_from(["sha256=", "v0=", "sig "]))}
    if draw(st.booleans()):
        definition |= {"item_separator": draw(st.sampled_from([",", ", ", ";", " "])), "field": "v1"}
        definition |= {"field_separator": draw(st.sampled_from(["=", ":", ","]))}
        assume(definition["field_separator"] != definition["item_separator"].strip())
        assume(definition.get("prefix", "").strip() == definition.get("prefix", ""))
    if draw(st.booleans()):
        parts.insert(0, "{id}")
        definition["id"] = f"header:id-{draw(names)}"
    if draw(st.booleans()):
        parts.insert(0, "{timestamp}")
        place = "field:t" if "field" in definition and draw(st.booleans()) else f"header:at-{draw(names)}"
        units = st.sampled_from(["s", "ms", "iso8601"])
        definition |= {"timestamp": place, "timestamp_unit": draw(units), "tolerance_seconds": 60}
        # An instant has colons of its own.
        assume(definition["timestamp_unit"] != "iso8601" or ":" not in definition.get("field_separator", ""))
    if draw(st.booleans()):
        parts.append("{url}")
    definition["template"] = draw(st.sampled_from([".", ":", "|", ""])).join(draw(st.permutations(parts)))
    return definition


@QUICK
@given(definition=definitions(), body=st.binary(min_size=1, max_size=60), place=st.integers(0, 10**6))
def test_any_own_scheme_verifies_what_it_signs_and_nothing_else(
    definition: dict[str, Any], body: bytes, place: int
) -> None:
    """Issue 3 point 6: own schemes with the same fields."""
    secret = SAMPLES["svix"].secret
    scheme = scheme_from(definition)
    request = sign(scheme, secret, now=NOW, body=body, url=URL)
    index = place % len(body)
    changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
    forged = Request(method=request.method, url=request.url, headers=request.headers, body=changed)

    assert verify_request(scheme, [secret], request, NOW).secret_index == 0
    with pytest.raises(VerificationError):
        verify_request(scheme, [secret], forged, NOW)
    with pytest.raises(VerificationError):
        verify_request(scheme, ["whsec_" + "QUFB" * 8], request, NOW)
    found = diagnose(
        scheme, [secret], method="POST", url=request.url, headers=request.headers, body=body + b"\n", now=NOW
    )
    assert "a line end that was not signed" in " ".join(found.findings)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@QUICK
@given(
    definition=st.dictionaries(
        st.sampled_from([*FIELDS, "preset", "secret"]) | st.text(max_size=10),
        json_values
        | st.sampled_from(["header:x", "field:t", "body:a.b", "{body}", "{timestamp}.{body}", "x", "="]),
        max_size=6,
    )
)
def test_a_definition_is_a_scheme_or_an_input_error(definition: dict[str, Any]) -> None:
    """AF-5: bad input has a field; nothing else is raised."""
    refusal = None
    try:
        scheme_from(definition)
    except InputError as error:
        refusal = error

    assert refusal is None or (refusal.field or "").startswith("auth.")
