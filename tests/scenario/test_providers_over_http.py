"""Senders we know, against a real server: each request is signed as its provider's documentation says, by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from hookline.core.inbound import PRESETS
from hookline.testing.nodes import NodeProcess
from hookline.testing.samples import SAMPLES, sample_request, verifying_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APP = """
from hookline import App

app = App()


@app.workflow("seen", shared=True)
async def seen(ctx):
    return {"data": ctx.input, "bytes": len(ctx.trigger.raw_body.data)}
"""
_WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Headers = dict[str, str]


def mac(secret: str, signed: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


def stripe(secret: str, body: bytes, _: str) -> Headers:
    """docs.stripe.com/webhooks, "Verify webhook signatures manually"; it also sends schemes that must be ignored."""
    at = int(time.time())
    v1 = mac(secret, f"{at}.".encode() + body).hex()
    return {
        "Stripe-Signature": f"t={at},v1={v1},v0={'6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39'}"
    }


def github(secret: str, body: bytes, _: str) -> Headers:
    """docs.github.com, "Validating webhook deliveries"."""
    return {
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-GitHub-Event": "issues",
        "X-Hub-Signature": "sha1=" + mac(secret, body, hashlib.sha1).hex(),
        "X-Hub-Signature-256": "sha256=" + mac(secret, body).hex(),
    }


def slack(secret: str, body: bytes, _: str) -> Headers:
    """api.slack.com/authentication/verifying-requests-from-slack."""
    at = str(int(time.time()))
    return {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": "v0=" + mac(secret, f"v0:{at}:".encode() + body).hex(),
    }


def shopify(secret: str, body: bytes, _: str) -> Headers:
    """shopify.dev, "Verify the webhook"."""
    return {
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "X-Shopify-Hmac-Sha256": base64.b64encode(mac(secret, body)).decode(),
    }


def twilio(secret: str, body: bytes, url: str) -> Headers:
    """twilio.com/docs/usage/security: the URL, then each parameter by name, name and value without a separator."""
    pairs = sorted(parse_qsl(body.decode(), keep_blank_values=True))
    signed = url + "".join(name + value for name, value in pairs)
    return {"X-Twilio-Signature": base64.b64encode(mac(secret, signed.encode(), hashlib.sha1)).decode()}


def standard(secret: str, body: bytes, _: str) -> Headers:
    """standardwebhooks.com; during a rotation of theirs the header holds two signatures."""
    key, at = base64.b64decode(secret.removeprefix("whsec_")), str(int(time.time()))
    digest = hmac.new(key, f"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W.{at}.".encode() + body, hashlib.sha256).digest()
    other = base64.b64encode(bytes(32)).decode()
    return {
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{other} v1,{base64.b64encode(digest).decode()}",
    }


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SENT: dict[str, tuple[Callable[[str, bytes, str], Headers], str, str, bytes]] = {
    "stripe": (
        stripe,
        "whsec_test_secret",
        "application/json; charset=utf-8",
        b'{\n  "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",\n  "object": "event",\n  "type": "setup_intent.created"\n}',
    ),
    "github": (github, "It's a Secret to Everybody", JSON, b'{"action":"opened","issue":{"number":1347}}'),
    "slack": (
        slack,
        "8f742231b10e8888abcd99yyyzzz85a5",
        JSON,
        b'{"token":"z","team_id":"T123ABC456","event_id":"Ev123ABC456","type":"event_callback"}',
    ),
    "shopify": (shopify, "hush", JSON, b'{"id":820982911946154508,"email":"jon@example.com"}'),
    "twilio": (
        twilio,
        "12345",
        FORM,
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310&Empty=&To=%2B18005551212",
    ),
    "standard": (standard, _WHSEC, JSON, b'{"type": "contact.created","data":{"id":"1f81eb52"}}'),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("providers")
    (folder / "app.py").write_text(APP)
    node = NodeProcess(database=f"sqlite:///{folder}/p.db", folder=folder, app=folder / "app.py")
    node.start()
    yield node
    assert node.stop() == 0


def opened(node: NodeProcess, **auth: Any) -> str:
    """Make a trigger and return its URL."""
    made = node.api.call(
        "POST",
        "/api/v1/triggers",
        {
            "automation": {"kind": "workflow", "id": "seen"},
            "profile": "native",
            "auth": {"type": "signature", **auth},
        },
    )
    return str(made["url"])


def post(node: NodeProcess, url: str, body: bytes, headers: Headers) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    try:
        connection.request("POST", url.partition(f":{node.port}")[2], body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


@pytest.mark.parametrize("preset", SENT)
def test_what_the_provider_signs_is_taken_and_what_it_did_not_is_401(preset: str, node: NodeProcess) -> None:
    """Issue 3, point 6: the bytes count, the secret counts, and the run gets what was sent."""
    signer, secret, content_type, body = SENT[preset]
    url = opened(node, preset=preset, secret=secret)
    headers = {"Content-Type": content_type, **signer(secret, body, url), "Prefer": "wait=20"}
    taken, result = post(node, url, body, headers)
    changed = body.replace(b"1", b"2", 1)
    wrong = "whsec_" + base64.b64encode(b"w" * 24).decode() if preset == "standard" else "wrong"
    refused = [
        post(node, url, changed, headers),
        post(node, url, body, {"Content-Type": content_type}),
        post(node, url, body, {"Content-Type": content_type, **signer(wrong, body, url)}),
    ]

    assert (taken, result["bytes"]) == (200, len(body))
    if content_type == FORM:
        assert result["data"] == dict(parse_qsl(body.decode(), keep_blank_values=True))
    else:
        assert result["data"] == json.loads(body)
    assert [status for status, _ in refused] == [401] * 3


@pytest.mark.parametrize("preset", [preset for preset in SENT if preset != "twilio"])
def test_a_delivery_that_the_provider_repeats_starts_nothing(preset: str, node: NodeProcess) -> None:
    """By the sender's own id. Twilio's request has none in this one."""
    signer, secret, content_type, body = SENT[preset]
    url = opened(node, preset=preset, secret=secret)
    answers = [
        post(node, url, body, {"Content-Type": content_type, **signer(secret, body, url)}) for _ in range(2)
    ]

    assert answers[0][0] == 202
    assert answers[0][1]["execution_id"] == answers[1][1]["execution_id"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sample_of_every_preset_is_taken(preset: str, node: NodeProcess) -> None:
    """The table of SEEDS.md, row by row."""
    sample = SAMPLES[preset]
    url = opened(node, preset=preset, secret=verifying_secret(PRESETS[preset], sample.secret))
    request = sample_request(preset, now=datetime.now(UTC), url=url)
    status, told = post(node, request.url, request.body, dict(request.headers))

    assert status == 202, told
