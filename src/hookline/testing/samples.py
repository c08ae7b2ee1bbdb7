"""One request of each sender we know, as its documentation shows them: for tests of what receives them.

The secrets are public: use them nowhere else.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.inbound import PRESETS, public_key, sign
from hookline.core.spelling import PUBLIC_KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hookline.core.inbound import Request, Scheme

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
URL: Final = "https://hooks.example.com/trigger/AAAAAAAAAAAAAAAAAAAAAA=="

_SECRET: Final = "It's a Secret to Everybody"  # noqa: S105 -- GitHub's own example
_WHSEC: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# The first key of RFC 8032, section 7.1.
_SEED: Final = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"


class Sample(msgspec.Struct, frozen=True):
    """body: raw bytes.  content_type: of the body.  headers: what the sender adds.  secret: what signs."""

    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    secret: str = _SECRET


_STANDARD: Final = (
    b'{"type":"invoice.paid","timestamp":"2026-01-15T12:00:00Z","data":{"id":"in_1","amount":1200}}'
)
_META: Final = (
    b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":'
    b'{"messages":[{"from":"16315551234","id":"wamid.1","type":"text","text":{"body":"hello"}}]}}]}]}'
)

SAMPLES: Final[Mapping[str, Sample]] = {
    "standard": Sample(_STANDARD, secret=_WHSEC),
    "standard_v1a": Sample(_STANDARD, secret=_SEED),
    "openai": Sample(
        b'{"object":"event","id":"evt_1","type":"response.completed","created_at":1768478400,"data":{"id":"resp_1"}}',
        secret=_WHSEC,
    ),
    "replicate": Sample(
        b'{"id":"ufawqhfynnddngldkgtslldrkq","status":"succeeded","output":["https://example.com/out.png"]}',
        secret=_WHSEC,
    ),
    "svix": Sample(_STANDARD, secret=_WHSEC),
    "clerk": Sample(b'{"data":{"id":"user_1"},"object":"event","type":"user.created"}', secret=_WHSEC),
    "resend": Sample(
        b'{"type":"email.delivered","created_at":"2026-01-15T12:00:00.000Z","data":{"email_id":"e1"}}',
        secret=_WHSEC,
    ),
    "stripe": Sample(
        b'{\n  "id": "evt_1",\n  "object": "event",\n  "type": "charge.succeeded",\n  "livemode": false\n}',
        secret="whsec_test_secret",  # noqa: S106
    ),
    "github": Sample(
        b'{"ref":"refs/heads/main","repository":{"full_name":"octocat/Hello-World"},"commits":[]}',
        headers=(("x-github-event", "push"),),
    ),
    "meta": Sample(_META),
    "whatsapp": Sample(_META),
    "shopify": Sample(
        b'{"id":820982911946154508,"email":"jon@example.com","total_price":"254.98"}',
        headers=(("x-shopify-topic", "orders/create"), ("x-shopify-shop-domain", "example.myshopify.com")),
    ),
    "slack": Sample(
        b'{"type":"event_callback","event_id":"Ev08MFMKH6","team_id":"T1","event":{"type":"app_mention"}}'
    ),
    "zoom": Sample(
        b'{"event":"meeting.started","event_ts":1768478400000,"payload":{"object":{"id":"1234567890"}}}'
    ),
    "discord": Sample(
        b'{"id":"1","application_id":"2","type":2,"token":"t","version":1,"data":{"name":"ping"}}',
        secret=_SEED,
    ),
    "square": Sample(
        b'{"merchant_id":"M1","type":"payment.updated","event_id":"c7f1a1a0-3c8e-4d0e-9d2f-0f2f4c1e9a11","data":{}}'
    ),
    "twilio": Sample(
        b"MessageSid=SM1&SmsStatus=received&From=%2B14155238886&To=%2B15005550006&Empty=&Body=hi+there",
        FORM,
        secret="12345",  # noqa: S106 -- Twilio's own example
    ),
    "linear": Sample(
        b'{"action":"update","type":"Issue","data":{"id":"1","title":"A title"},"webhookTimestamp":0}',
        headers=(("linear-event", "Issue"),),
    ),
    "calcom": Sample(
        b'{"triggerEvent":"BOOKING_CREATED","createdAt":"2026-01-15T12:00:00.000Z","payload":{"uid":"b1"}}'
    ),
    "sentry": Sample(
        b'{"action":"created","installation":{"uuid":"i1"},"data":{"issue":{"id":"1"}}}',
        headers=(("sentry-hook-resource", "issue"),),
    ),
    "attio": Sample(
        b'{"webhook_id":"w1","events":[{"event_type":"record.created","id":{"record_id":"r1"}}]}'
    ),
    "calendly": Sample(
        b'{"event":"invitee.created","created_at":"2026-01-15T12:00:00.000000Z","payload":{}}'
    ),
    "workos": Sample(b'{"id":"event_01","event":"dsync.user.created","data":{"id":"directory_user_01"}}'),
    "elevenlabs": Sample(
        b'{"type":"post_call_transcription","event_timestamp":1768478400,"data":{"agent_id":"a1"}}'
    ),
    "zendesk": Sample(
        b'{"type":"zen:event-type:ticket.created","account_id":123456,"detail":{"id":"1"}}',
        secret="dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",  # noqa: S106 -- Zendesk's own for test requests
    ),
    "typeform": Sample(b'{"event_id":"01H","event_type":"form_response","form_response":{"form_id":"f1"}}'),
    "docusign": Sample(b'{"event":"envelope-completed","data":{"envelopeId":"e1"}}'),
    "telegram": Sample(
        b'{"update_id":10000,"message":{"message_id":1,"text":"/start"}}',
        secret="telegram-secret_token",  # noqa: S106
    ),
    "gitlab": Sample(
        b'{"object_kind":"push","ref":"refs/heads/main","project_id":15}',
        headers=(("x-gitlab-event", "Push Hook"),),
    ),
    "assemblyai": Sample(b'{"transcript_id":"5552493-16d8","status":"completed"}'),
    "google": Sample(
        b"",
        headers=(("x-goog-resource-state", "exists"), ("x-goog-resource-id", "o3hgv1538sdjfh")),
        secret="calendar-channel-token",  # noqa: S106
    ),
    "msgraph": Sample(
        b'{"value":[{"subscriptionId":"s1","changeType":"updated","clientState":""},'
        b'{"subscriptionId":"s1","changeType":"created","clientState":""}]}'
    ),
    "agenticflow": Sample(
        b'{"event":"workflow.execution.completed","timestamp":"2026-01-15T12:00:00Z","webhook_id":"wh_1","data":{}}',
        secret=_WHSEC,
    ),
    "phantombuster": Sample(
        b'{"agentId":"5027055349780535","agentName":"a","containerId":"8","exitMessage":"finished","exitCode":0}',
        secret="MY_SECRET_KEY",  # noqa: S106 -- the seed's own
    ),
}


_SECRETS: Final = {
    "whsec": _WHSEC,
    "whsec_base64": _WHSEC,
    "base64": "c2VjcmV0IG9mIGEgc2FtcGxl",
    "hex": _SEED,
}
"""By how a scheme makes a key of its secret, where that is not its UTF-8."""


def sample_of(scheme: Scheme) -> Sample:
    """Return the sample of a preset, or one that any other scheme can sign."""
    if scheme.name in SAMPLES:
        return SAMPLES[scheme.name]
    secret = _SEED if scheme.algorithm == "ed25519" else _SECRETS.get(scheme.secret_transform, _SECRET)
    return Sample(b"{}", secret=secret)


def verifying_secret(scheme: Scheme, secret: str) -> str:
    """What the receiver is given: the signing secret itself, or the public key of an Ed25519 seed."""
    if scheme.algorithm != "ed25519":
        return secret
    key = public_key(secret)
    return (
        PUBLIC_KEY_PREFIX + b64encode(bytes.fromhex(key)).decode()
        if scheme.secret_transform == "whpk"  # noqa: S105 -- an encoding
        else key
    )


def sample_request(preset: str, *, now: datetime, message_id: str = "msg_1", url: str = URL) -> Request:
    """Return the sample of a preset, signed at ``now``. KeyError for one we do not know."""
    sample = SAMPLES[preset]
    return sign(
        PRESETS[preset],
        sample.secret,
        now=now,
        body=sample.body,
        url=url,
        headers=(("content-type", sample.content_type), *sample.headers),
        message_id=message_id,
    )
