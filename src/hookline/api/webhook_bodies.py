"""What a caller may say of a webhook (SEEDS AF-7, AF-17 to AF-19; CONTRACT section 5)."""

from typing import Any, Literal

from pydantic import Field

from hookline.api.reply import Body
from hookline.api.triggers import AutomationName


class RetryPolicyBody(Body):
    """Either max_retries and backoff_multiplier (AF-7: 60 s x multiplier^n; more than 6 retries count as 6, which is
    also the default, and the multiplier's is 2), or schedule_seconds: the waits themselves, one per retry, with jitter
    as the share of a wait that may be added or taken (0.1).
    """

    max_retries: int | None = Field(None, ge=0, le=100)
    backoff_multiplier: float | None = Field(None, ge=1, le=10, allow_inf_nan=False)
    schedule_seconds: list[float] | None = None
    jitter: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class FiltersBody(Body):
    include_fields: list[Any] | None = None
    exclude_fields: list[Any] | None = None


class BatchBody(Body):
    max_events: int = Field(100, ge=1, le=1000)
    max_wait_seconds: float = Field(300, gt=0, le=86_400, allow_inf_nan=False)


class TlsBody(Body):
    """PEM texts, stored encrypted and never shown again.

    ca_pem: certificates to trust instead of the system's.  certificate_pem, key_pem: shown to the receiver (mutual
    TLS), both or neither.  trusts, certificate: as they are shown, so that what was read can be written back; they
    change nothing.
    """

    ca_pem: str | None = None
    certificate_pem: str | None = None
    key_pem: str | None = None
    trusts: list[Any] | None = None
    certificate: dict[str, Any] | None = None


class WebhookFields(Body):
    """Everything that may be set. null unsets where there is something to unset."""

    name: str | None = None
    url: str | None = None
    events: list[Any] | None = None
    authentication: dict[str, Any] | None = None
    dialect: str | None = None
    dialect_options: dict[str, Any] | None = None
    automation: AutomationName | None = None
    tls: TlsBody | None = None
    signature: str | None = None
    signing_key: str | None = None
    metadata: dict[str, Any] | None = None
    secret: str | None = None
    retry_policy: RetryPolicyBody | None = None
    conditions: dict[str, Any] | None = None
    filters: FiltersBody | None = None
    template: Any = None
    batch_settings: BatchBody | None = None
    headers: dict[str, str] | None = None
    rate_per_second: float | None = Field(None, ge=0.0001, le=100_000, allow_inf_nan=False)
    max_in_flight: int | None = Field(None, ge=1, le=1000)
    ordered: bool | None = None
    timeout_seconds: float | None = Field(None, ge=0.1, le=120, allow_inf_nan=False)
    max_redirects: int | None = Field(None, ge=0, le=10)
    large_payloads: Literal["inline", "link"] | None = None


class NewWebhook(WebhookFields):
    url: str
    events: list[Any]


class WebhookChange(WebhookFields):
    """Fields of an answer that cannot be set are let through unread, so that what was read can be written back."""

    id: Any = None
    status: str | None = None
    status_reason: Any = None
    status_changed_at: Any = None
    created_at: Any = None
    updated_at: Any = None
    last_delivery: Any = None
    delivery_stats: Any = None
    health: Any = None
    previous_secret_until: Any = None
    public_key: Any = None
    previous_public_key: Any = None


class TestEvent(Body):
    """event: its type.  test_data: any JSON value, sent as it came."""

    __test__ = False

    event: str = "webhook.test"
    test_data: Any = None


class SecretRotation(Body):
    """secret: an own one.  signing_key: an own private key, ``whsk_…``, for a webhook that signs with one."""

    finish: bool = False
    secret: str | None = None
    signing_key: str | None = None
