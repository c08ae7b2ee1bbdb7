"""Signatures that the providers themselves publish, in their documentation or their libraries' tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from hookline.core.inbound import PRESETS, VerificationError, Verified, verify

FORM = "application/x-www-form-urlencoded"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = (
    b"Digits=1234&CallSid=CA1234567890ABCDE&To=%2B18005551212&Caller=%2B14158675309&From=%2B14158675309"
)
TWILIO_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
TWILIO_JSON = b'{"property": "value", "boolean": true}'


@dataclass(frozen=True)
class Vector:
    """One published request."""

    preset: str
    secret: str
    headers: dict[str, str]
    body: bytes
    url: str = ""
    at: int = 0
    dedupe_id: str | None = None
    source: str = ""

    def check(self, *secrets: str) -> Verified:
        return verify(
            PRESETS[self.preset],
            secrets,
            method="POST",
            url=self.url,
            headers=[(name.encode(), value.encode()) for name, value in self.headers.items()],
            body=self.body,
            now=datetime.fromtimestamp(self.at, UTC),
        )


VECTORS = [
    Vector(
        "github",
        "It's a Secret to Everybody",
        {
            "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        },
        b"Hello, World!",
        dedupe_id="72d3162e-cc78-11e3-81ab-4c9367dc0958",
        source="docs.github.com, Validating webhook deliveries",
    ),
    Vector(
        "standard",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        at=1614265330,
        dedupe_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        source="Standard Webhooks libraries",
    ),
    Vector(
        "svix",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "svix-timestamp": "1614265330",
            "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
            "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo=",
        },
        b'{"test": 2432232314}',
        at=1614265330,
        dedupe_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        source="docs.svix.com, Verifying webhooks manually; its list holds a second, foreign signature",
    ),
    Vector(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "Content-Type": FORM,
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        at=1531420618,
        source="docs.slack.dev, Verifying requests from Slack",
    ),
    Vector(
        "square",
        "asdf1234",
        {"X-Square-HmacSha256-Signature": "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og="},
        b'{"hello":"world"}',
        url="https://example.com/webhook",
        source="developer.squareup.com, Verify and validate an event notification",
    ),
    Vector(
        "twilio",
        "12345",
        {"Content-Type": FORM, "X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        TWILIO_FORM,
        url=TWILIO_URL,
        source="twilio.com, Webhooks security; the helper libraries' tests",
    ),
    Vector(
        "twilio",
        "12345",
        {"Content-Type": FORM, "X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        TWILIO_FORM,
        url=TWILIO_URL.replace(".com/", ".com:1234/"),
        source="helper libraries' tests: signed without the port",
    ),
    Vector(
        "twilio",
        "12345",
        {"Content-Type": f"{FORM}; charset=utf-8", "X-Twilio-Signature": "vOEb5UThFn24KEfnOFLQY2AE5FY="},
        TWILIO_FORM + b"&ReasonConferenceEnded=test&Reason=Participant",
        url=TWILIO_URL,
        source="helper libraries' tests: one name begins with another",
    ),
    Vector(
        "twilio",
        "12345",
        {"Content-Type": "application/json", "X-Twilio-Signature": "a9nBmqA0ju/hNViExpshrM61xv4="},
        TWILIO_JSON,
        url=f"{TWILIO_URL}&bodySHA256={TWILIO_HASH}",
        source="helper libraries' tests: a JSON body by its hash",
    ),
    Vector(
        "twilio",
        "12345",
        {"Content-Type": "application/json", "X-Twilio-Signature": "y77kIzt2vzLz71DgmJGsen2scGs="},
        TWILIO_JSON,
        url=f"https://mycompany.com/myapp.php?bodySHA256={TWILIO_HASH}",
        source="helper libraries' tests: the hash alone in the query",
    ),
]


IDS = [f"{vector.preset}-{index}" for index, vector in enumerate(VECTORS)]


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_a_published_signature_verifies(vector: Vector) -> None:
    """P12, SEEDS "Provider presets"."""
    assert vector.check(vector.secret) == Verified(vector.dedupe_id, 0)


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_a_published_signature_is_good_for_its_own_secret_only(vector: Vector) -> None:
    """P12; while secrets are rotated the index says which one fits."""
    other = "whsec_" + "QUFB" * 8

    with pytest.raises(VerificationError) as caught:
        vector.check(other)
    assert caught.value.reason == "signature_mismatch"
    assert vector.check(other, vector.secret).secret_index == 1
