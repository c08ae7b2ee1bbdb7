"""The senders we know, each as a definition with the fields of an own scheme (SEEDS, "Provider presets").

Where a provider signs no time, whoever captured a request can send it again: dedupe by its id (``dedupe_id``). Where
even the id is not signed or not sent (Meta, Shopify's header), only TLS stands between a capture and a replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.core.inbound.definition import own_scheme
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.core.inbound.scheme import Scheme

# Standard Webhooks, "Verifying"; also what Stripe's and Slack's own libraries use.
_FIVE_MINUTES: Final = 300


def _standard(prefix: str, transform: str) -> dict[str, Any]:
    return {
        "header": f"{prefix}-signature",
        "item_separator": " ",
        "field_separator": ",",
        "field": "v1",
        "encoding": "base64",
        "template": "{id}.{timestamp}.{body}",
        "id": f"header:{prefix}-id",
        "timestamp": f"header:{prefix}-timestamp",
        "tolerance_seconds": _FIVE_MINUTES,
        "secret_transform": transform,
        "dedupe_id": f"header:{prefix}-id",
    }


def _timed_fields(header: str, field: str = "v1", **more: object) -> dict[str, Any]:
    """``t=…,v1=…`` over ``{timestamp}.{body}``: Stripe's form, which others took over."""
    return {
        "header": header,
        "item_separator": ",",
        "field_separator": "=",
        "field": field,
        "template": "{timestamp}.{body}",
        "timestamp": "field:t",
        "tolerance_seconds": _FIVE_MINUTES,
        **more,
    }


_META: Final = {"header": "x-hub-signature-256", "prefix": "sha256=", "handshake": "meta"}

DEFINITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Also GitLab's signing tokens and Hookline itself.
    "standard": {**_standard("webhook", "whsec"), "handshake": "challenge"},
    # Asymmetric signatures of the same specification: the secret is a public key.
    "standard_v1a": {**_standard("webhook", "whpk"), "field": "v1a", "algorithm": "ed25519"},
    "openai": _standard("webhook", "whsec"),
    "replicate": _standard("webhook", "whsec"),
    "svix": _standard("svix", "whsec_base64"),
    "clerk": _standard("svix", "whsec_base64"),
    "resend": _standard("svix", "whsec_base64"),
    "stripe": _timed_fields("stripe-signature", dedupe_id="body:id"),
    "github": {
        "header": "x-hub-signature-256",
        "prefix": "sha256=",
        "dedupe_id": "header:x-github-delivery",
    },
    "meta": _META,
    "whatsapp": _META,
    "shopify": {
        "header": "x-shopify-hmac-sha256",
        "encoding": "base64",
        "dedupe_id": "header:x-shopify-webhook-id",
    },
    "slack": {
        "header": "x-slack-signature",
        "prefix": "v0=",
        "template": "v0:{timestamp}:{body}",
        "timestamp": "header:x-slack-request-timestamp",
        "tolerance_seconds": _FIVE_MINUTES,
        "dedupe_id": "body:event_id",
        "handshake": "slack",
    },
    "zoom": {
        "header": "x-zm-signature",
        "prefix": "v0=",
        "template": "v0:{timestamp}:{body}",
        "timestamp": "header:x-zm-request-timestamp",
        "tolerance_seconds": _FIVE_MINUTES,
        "handshake": "zoom",
    },
    "discord": {
        "header": "x-signature-ed25519",
        "algorithm": "ed25519",
        "template": "{timestamp}{body}",
        "timestamp": "header:x-signature-timestamp",
        "tolerance_seconds": _FIVE_MINUTES,
        "handshake": "discord",
    },
    "square": {
        "header": "x-square-hmacsha256-signature",
        "encoding": "base64",
        "template": "{url}{body}",
        "dedupe_id": "body:event_id",
    },
    # A message's id alone would swallow its later states, and a call's id its later turns: hence with the status,
    # and for calls only the token that retries share.
    "twilio": {
        "header": "x-twilio-signature",
        "algorithm": "sha1",
        "encoding": "base64",
        "template": "{url}{form}",
        "dedupe_id": ["header:i-twilio-idempotency-token", "body:MessageSid+SmsStatus"],
    },
    "linear": {
        "header": "linear-signature",
        "timestamp": "body:webhookTimestamp",
        "timestamp_unit": "ms",
        "tolerance_seconds": 60,
        "dedupe_id": "header:linear-delivery",
    },
    "calcom": {"header": "x-cal-signature-256"},
    "sentry": {"header": "sentry-hook-signature", "dedupe_id": "header:request-id"},
    "attio": {
        "header": ["attio-signature", "x-attio-signature"],
        "dedupe_id": "header:idempotency-key",
    },
    "calendly": _timed_fields("calendly-webhook-signature"),
    # Its own libraries insist on the space.
    "workos": _timed_fields(
        "workos-signature", item_separator=", ", timestamp_unit="ms", dedupe_id="body:id"
    ),
    "elevenlabs": _timed_fields("elevenlabs-signature", "v0", tolerance_seconds=1800),
    "zendesk": {
        "header": "x-zendesk-webhook-signature",
        "encoding": "base64",
        "template": "{timestamp}{body}",
        "timestamp": "header:x-zendesk-webhook-signature-timestamp",
        "timestamp_unit": "iso8601",
        "dedupe_id": "header:x-zendesk-webhook-invocation-id",
    },
    "typeform": {
        "header": "typeform-signature",
        "prefix": "sha256=",
        "encoding": "base64",
        "dedupe_id": "body:event_id",
    },
    # One header for each of the account's keys.
    "docusign": {
        "header": ["x-docusign-signature-1", "x-docusign-signature-2"],
        "encoding": "base64",
    },
    "telegram": {
        "header": "x-telegram-bot-api-secret-token",
        "algorithm": "equality",
        "dedupe_id": "body:update_id",
    },
    "gitlab": {
        "header": "x-gitlab-token",
        "algorithm": "equality",
        "dedupe_id": "header:idempotency-key",
    },
    # Its user chooses the header's name: set ``header`` to it.
    "assemblyai": {
        "header": "x-webhook-secret",
        "algorithm": "equality",
        "dedupe_id": "body:transcript_id+status",
    },
    "google": {
        "header": "x-goog-channel-token",
        "algorithm": "equality",
        "dedupe_id": "header:x-goog-channel-id+x-goog-message-number",
    },
    "msgraph": {
        "signature": "body:value[].clientState",
        "algorithm": "equality",
        "handshake": "msgraph",
    },
    # AF-15; the id is the Standard header that Hookline always sends beside it.
    "agenticflow": {
        "header": "x-agenticflow-signature",
        "prefix": "sha256=",
        "dedupe_id": "header:webhook-id",
    },
    # PB-8; containerId is there since today's payload (PB-12).
    "phantombuster": {
        "signature": "query:secret",
        "algorithm": "equality",
        "dedupe_id": "body:containerId",
    },
}

PRESETS: Final[Mapping[str, Scheme]] = {
    name: own_scheme(definition, name=name, field=name) for name, definition in DEFINITIONS.items()
}

NOT_YET: Final[Mapping[str, str]] = {
    "sendgrid": "ECDSA with the sender's public key",
    "paypal": "RSA with a certificate from a URL in the request",
    "livekit": "a JSON Web Token",
    "vonage": "a JSON Web Token",
}
"""Senders that we know and cannot verify yet, and how they sign."""

_OVERRIDES: Final = frozenset({"header", "tolerance_seconds", "dedupe_id", "handshake"})
SECRET_FIELDS: Final = frozenset({"secret", "previous_secret", "verify_token"})
"""Fields of a trigger's auth object beside a scheme's own that are kept encrypted and never shown."""

_CALLERS: Final = SECRET_FIELDS | {"type", "preset"}


def scheme_from(definition: Mapping[str, Any], *, field: str = "auth") -> Scheme:
    """Return the scheme that a trigger's auth object asks for.

    definition: ``preset`` with its name, and possibly header, tolerance_seconds, dedupe_id or handshake of one's
    own; or the fields of an own scheme.  ``type`` and SECRET_FIELDS belong to the caller and are not looked at.
    Raises InputError with field, expected and received.
    """
    name = definition.get("preset")
    own = {key: value for key, value in definition.items() if key not in _CALLERS}
    if name is None:
        return own_scheme(own, field=field)
    preset = _preset(name, f"{field}.preset")
    for key, value in own.items():
        if key not in _OVERRIDES:
            raise InputError(
                f"A preset fixes '{key[:64]}'; leave preset out to define a scheme.",
                field=f"{field}.{key[:64]}",
                expected=" ".join(sorted(_OVERRIDES)),
                received=type_name(value),
            )
    return own_scheme({**DEFINITIONS[preset], **own}, name=preset, field=field) if own else PRESETS[preset]


def _preset(name: object, field: str) -> str:
    if isinstance(name, str):
        if name in PRESETS:
            return name
        if name in NOT_YET:
            raise InputError(
                f"The preset '{name}' is not supported yet: it signs with {NOT_YET[name]}.",
                code="NOT_SUPPORTED_YET",
                field=field,
                expected=" ".join(PRESETS),
                received=name,
            )
    raise InputError(
        "There is no such preset.",
        field=field,
        expected=" ".join(PRESETS),
        received=name[:64] if isinstance(name, str) else type_name(name),
    )
