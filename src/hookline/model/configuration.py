"""Configuration objects: what people set up. Each is a document with an id, an organization and revisions.

Hot rows (events, deliveries, executions) are columns; these are documents, because there are many kinds of them,
few of each, and every reader holds them decoded in memory (docs/decisions/0004).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from hookline.model.ids import Key
from hookline.model.states import DeliveryState, Kind, Origin, ReplayStatus, Scope, WebhookStatus


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all configuration objects.

    kind: the object word; also the prefix word in ``ids``.
    """

    kind: ClassVar[str] = ""


class RunQuota(msgspec.Struct, frozen=True, kw_only=True):
    """How long an organization's executions may run together. window_seconds: the time that is looked back."""

    seconds: int
    window_seconds: int


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days an organization wants its things kept; None: for as long as the server keeps them.

    ``core.retention`` says what each covers.
    """

    days: float | None = None
    payload_days: float | None = None
    held_days: float | None = None


class Organization(Document, frozen=True, kw_only=True):
    """A tenant.

    external_id: the platform's own name for it, unique, or None.  run_quota: None for no limit.
    retention: None for the server's.
    """

    kind: ClassVar[str] = "organization"
    name: str
    external_id: str | None = None
    run_quota: RunQuota | None = None
    retention: Retention | None = None


class Member(Document, frozen=True, kw_only=True):
    """A person of an organization, who gets its alert mails."""

    kind: ClassVar[str] = "member"
    name: str
    email: str


class ApiKey(Document, frozen=True, kw_only=True):
    """A management key. digest: SHA-256 of the key's text; the text itself is shown once and never kept.

    hint: its first characters, for people.  expires_at: None for never.
    """

    kind: ClassVar[str] = "api_key"
    name: str
    digest: bytes
    hint: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Say whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TriggerAuth(msgspec.Struct, frozen=True, kw_only=True):
    """How a trigger knows its callers.

    type: ``token``, ``basic``, ``api_key``, ``signature`` or ``none``; ``integration`` when an integration made it and
    decides by its own settings who may call.
    digests: SHA-256 of each live token or API key; a second one while a rotation overlaps.
    username, password_digest: for basic; an HMAC of route, user and password under a key of the vault, hex.
    options: sealed secret and scheme fields of a signature, JSON-ready.
    """

    type: str
    digests: tuple[bytes, ...] = ()
    username: str | None = None
    password_digest: str | None = None
    options: dict[str, Any] = {}


class TriggerEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of an integration a trigger leads to.

    instance_id: None for the shared endpoint of an organization.  flow: None when the request says which.
    """

    integration_id: str
    instance_id: Key | None = None
    flow: str | None = None


class Trigger(Document, frozen=True, kw_only=True):
    """An inbound URL that verifies a request and starts an execution.

    path_id: URL-safe base64 of 16 random bytes for ``/trigger/…``; None for the agenticflow profile, which is
    addressed by automation.  settings: the rest of CONTRACT section 3, each field optional.
    callback_id: the hidden webhook that callbacks go through; None while they are off.
    endpoint: set when an integration made it; then that decides who may call, and which flow runs.
    """

    kind: ClassVar[str] = "trigger"
    name: str
    automation_kind: Kind
    automation_id: str
    profile: str
    auth: TriggerAuth
    path_id: str | None = None
    is_enabled: bool = True
    settings: dict[str, Any] = {}
    callback_id: Key | None = None
    endpoint: TriggerEndpoint | None = None


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's own schedule: AF-7's form, 60 s x multiplier^n and at most 6 retries (AF-X2), or a list of waits.

    schedule_seconds: the list, one wait per retry, then the other two say nothing; None for AF-7's form.
    jitter: of the list, the share of a wait that it may add or take.
    """

    max_retries: int = 0
    backoff_multiplier: float = 1.0
    schedule_seconds: tuple[float, ...] | None = None
    jitter: float = 0.1


class Webhook(Document, frozen=True, kw_only=True):
    """An outgoing registration (also a render's ``webhook_uri`` and a trigger's callback, told apart by origin).

    events: patterns with ``*``.  authentication: type and public parts; ``sealed`` holds its secret, encrypted.
    tls: names of its own certificates.  sealed_tls: these and a private key, encrypted, None for the default.
    secret, previous_secret: sealed signing secrets; the previous one until previous_until (CONTRACT section 5).
    signature: entries of the Standard header, ``v1`` (the secret's), ``v1a`` (the key pair's) or ``both``. signing_key,
    previous_signing_key: sealed, rotated with the secret; None where none was asked for.  public_key: for receivers.
    conditions, include_fields, exclude_fields, batch, options: None or empty where unset. options: the dialect's.
    template: the name of a ready-made one or a text, instead of the dialect's body; None for that.
    template_content_type: of a text, None for JSON.
    large_payloads: ``inline``, or ``link`` for a signed link in place of a body over 256 KB.
    max_in_flight: 1 to 1,000.  rate_per_second: None for no limit.  timeout_ms: None for the dialect's own.
    status_changed_at, status_reason: of the last change of status, or None.
    """

    kind: ClassVar[str] = "webhook"
    name: str
    url: str
    events: tuple[str, ...]
    dialect: str = "agenticflow"
    origin: Origin = Origin.REGISTERED
    status: WebhookStatus = WebhookStatus.ACTIVE
    status_reason: str | None = None
    status_changed_at: datetime | None = None
    automation_kind: Kind | None = None
    automation_id: str | None = None
    authentication: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "none"})
    sealed_authentication: bytes | None = None
    tls: dict[str, Any] = {}
    sealed_tls: bytes | None = None
    sealed_secret: bytes
    sealed_previous_secret: bytes | None = None
    previous_secret_until: datetime | None = None
    signature: str = "v1"
    sealed_signing_key: bytes | None = None
    sealed_previous_signing_key: bytes | None = None
    public_key: str | None = None
    previous_public_key: str | None = None
    retry_policy: RetryPolicy | None = None
    conditions: dict[str, Any] | None = None
    include_fields: tuple[str, ...] | None = None
    exclude_fields: tuple[str, ...] | None = None
    batch: dict[str, Any] | None = None
    headers: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    options: dict[str, Any] = {}
    template: str | None = None
    template_content_type: str | None = None
    rate_per_second: float | None = None
    max_in_flight: int = 32
    is_ordered: bool = False
    timeout_ms: int | None = None
    max_redirects: int | None = None
    large_payloads: str = "inline"


class Replay(Document, frozen=True, kw_only=True):
    """A job that sends deliveries again or runs the requests of a trigger again, oldest first, paced.

    trigger_id: whose requests, None for deliveries.  webhook_id: None for all of the organization.
    since, until: of the delivery's creation or the request's arrival; until is not included.
    states: of deliveries, those it takes, one or more.  types: patterns of event types, empty for all.
    rate_per_second: above 0.  total: how many there were when it was made, or a bound when is_total_exact is False.
    reopened: handed over to be sent, or started.  skipped: not, because they were under way, or what they need is gone.
    cursor: the id to which it has come.  batch, batch_at: deliveries that it is about to reopen and since when, written
    before the first of them is: whoever goes on after a crash reopens only those that were not.
    include_never_attempted: after the deliveries, events received in the same time that the one webhook would get now
    and that were never owed to it.  added: of these, how many were made due.  is_past_deliveries: it has come to them;
    event_cursor: the event's key up to which it has come.
    """

    kind: ClassVar[str] = "replay"
    trigger_id: Key | None = None
    webhook_id: Key | None = None
    since: datetime
    until: datetime
    states: tuple[DeliveryState, ...] = ()
    types: tuple[str, ...] = ()
    rate_per_second: float
    status: ReplayStatus = ReplayStatus.RUNNING
    total: int = 0
    is_total_exact: bool = True
    reopened: int = 0
    skipped: int = 0
    cursor: Key | None = None
    batch: tuple[Key, ...] = ()
    batch_at: datetime | None = None
    include_never_attempted: bool = False
    is_past_deliveries: bool = False
    event_cursor: Key | None = None
    added: int = 0
    ended_at: datetime | None = None


D = TypeVar("D", bound=Document)


class Stored(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """A document with what the store knows of it. revision: 1 at first, rises by 1 with every change."""

    id: Key
    organization_id: Key
    revision: int
    created_at: datetime
    updated_at: datetime
    document: D
