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


def by_hand(
    preset: str, secret: str, header: str, value: str, body: bytes, dedupe_id: str | None = None, **more: str
) -> Vector:
    """A signature made with ``openssl dgst -hmac`` as the provider's documentation says."""
    return Vector(
        preset, secret, {header: value, **more}, body, at=1768478400, dedupe_id=dedupe_id, source="openssl"
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
    Vector(
        "stripe",
        "whsec_test_secret",
        {
            "Stripe-Signature": "t=1768478400,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39,"
            "v1=0d4de89042a40dab61e180703e4a90794d9f052df3446e1ec80ae63915d375fa"
        },
        b'{"id": "evt_1", "object": "event"}',
        at=1768478400,
        dedupe_id="evt_1",
        source="Stripe's own library, 16.1.0; v0 is not ours to judge",
    ),
    Vector(
        "workos",
        "workos-secret",
        {
            "WorkOS-Signature": "t=1768478400000, "
            "v1=e0d0367de22ed25ab9ecf43575d310cf1149394215424882248d7bac3284f2a2"
        },
        b'{"id":"event_1"}',
        at=1768478400,
        dedupe_id="event_1",
        source="openssl dgst -hmac; milliseconds, and the space after the comma",
    ),
    by_hand(
        "zoom",
        "zoom secret token",
        "x-zm-signature",
        "v0=f0c04a0c4e314e0de26733df1df6b17ea7baa743f360a46f06ac9a4fd9819d24",
        b'{"event":"meeting.started"}',
        **{"x-zm-request-timestamp": "1768478400"},
    ),
    by_hand(
        "shopify",
        "hush",
        "X-Shopify-Hmac-Sha256",
        "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=",
        b'{"id":820982911946154508}',
    ),
    by_hand(
        "linear",
        "lin_wh_secret",
        "Linear-Signature",
        "77262799301ed149bf2406786cf1fb6f01229b84e932bd83fd4ecdfdb70ab4be",
        b'{"action":"create","webhookTimestamp":1768478400000}',
    ),
    by_hand(
        "calcom",
        "calcom-secret",
        "X-Cal-Signature-256",
        "7503825e0ae4933175ef3c8461b023c09710f840eb7f6527801793f5a097d10a",
        b'{"triggerEvent":"BOOKING_CREATED"}',
    ),
    by_hand(
        "sentry",
        "client-secret",
        "Sentry-Hook-Signature",
        "1c20166a5a6576f55b72d626aefc22c6e73a252e1f4cc8e87dc0ede1cdf4b5bc",
        b'{"action":"created"}',
    ),
    by_hand(
        "calendly",
        "calendly-key",
        "Calendly-Webhook-Signature",
        "t=1768478400,v1=d87a087939dd113acdf03fb8ab695af4862f09afd339e923d6ce1871ba34e94f",
        b'{"event":"invitee.created"}',
    ),
    by_hand(
        "elevenlabs",
        "wsec_1",
        "ElevenLabs-Signature",
        "t=1768478400,v0=e88439c623a501300ab6c4b472f408ebac473614ac55701ab21631b4c1546ad9",
        b'{"type":"post_call_transcription"}',
    ),
    Vector(
        "zendesk",
        "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
        {
            "X-Zendesk-Webhook-Signature": "S/RDdU2ERmj7LHDDoWJ2onPYH+t7/f2+LTM4dL7UiLM=",
            "X-Zendesk-Webhook-Signature-Timestamp": "2021-03-25T05:09:27Z",
        },
        b'{"event":"ticket.updated","id":123}',
        source="openssl dgst -hmac; developer.zendesk.com's secret and time. It says no tolerance",
    ),
    by_hand(
        "typeform",
        "typeform-secret",
        "Typeform-Signature",
        "sha256=XC0kgkKoTsvzyNVvI85UDoGmKVpjjyeT6sXDKbt4M3M=",
        b'{"event_id":"01H"}',
        "01H",
    ),
    by_hand(
        "docusign",
        "docusign-key=",
        "X-DocuSign-Signature-1",
        "c0PHpvCDbXcqmj04GMl7c+a9aLsoLtP4ksCSfZZUE2o=",
        b'{"event":"envelope-completed"}',
    ),
    by_hand(
        "docusign",
        "docusign-key=",
        "X-DocuSign-Signature-2",
        "c0PHpvCDbXcqmj04GMl7c+a9aLsoLtP4ksCSfZZUE2o=",
        b'{"event":"envelope-completed"}',
    ),
    by_hand(
        "attio",
        "attio-secret",
        "Attio-Signature",
        "9927b431195e1c2c4b6f1ce433cb2e2868a8cfa3a7b720c5e3842c9921cdfbce",
        b'{"events":[]}',
    ),
    by_hand(
        "attio",
        "attio-secret",
        "X-Attio-Signature",
        "9927b431195e1c2c4b6f1ce433cb2e2868a8cfa3a7b720c5e3842c9921cdfbce",
        b'{"events":[]}',
    ),
    by_hand(
        "agenticflow",
        "whsec_QUJD",
        "X-AgenticFlow-Signature",
        "sha256=bd16453be2d8cb6ded25bfe5c61354c65c98e42d2cda60584ba7e1b55806d701",
        b'{"event":"x"}',
    ),
    by_hand(
        "meta",
        "It's a Secret to Everybody",
        "X-Hub-Signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        b"Hello, World!",
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
