"""A webhook as the hot path needs it: compiled once per revision, asked thousands of times a second."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from hookline.core.canonical import decode
from hookline.core.conditions import compile_conditions
from hookline.core.event_types import is_told_by_ends
from hookline.core.filters import compile_filter
from hookline.core.lifecycle import CONDITION_UNREADABLE
from hookline.core.matching import Mismatch, compile_patterns
from hookline.core.redact import spellings_of
from hookline.core.retry import POLICY_MAX_RETRIES, RetrySchedule, from_list, from_policy
from hookline.core.rounding import rounded_numbers
from hookline.core.signing import Signer, SigningKey
from hookline.dialects import BATCH_CONTENT_TYPE, Recipient
from hookline.dialects import get as get_dialect
from hookline.dialects.templated import BodyTemplate
from hookline.engine.manage.receiver_tls import opened
from hookline.engine.payloads import CONTENT_TYPE as LINK_CONTENT_TYPE
from hookline.engine.payloads import is_link
from hookline.engine.vault import AUTHENTICATION, SIGNING_KEY, SIGNING_SECRET
from hookline.errors import InputError
from hookline.model.ids import public
from hookline.model.states import WebhookStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from hookline.dialects.base import Dialect, HeaderList
    from hookline.engine.vault import Vault
    from hookline.model.configuration import RetryPolicy, Stored, Webhook
    from hookline.model.events import Event
    from hookline.model.executions import Execution
    from hookline.model.ids import Key
    from hookline.model.states import Kind


class BatchSettings(NamedTuple):
    """A batch is sent with so many events, or when its oldest has waited so long (AF-19)."""

    max_events: int
    max_wait: timedelta


class Target:
    """One revision of one webhook.

    status, url, headers and secrets are those of this revision: the newest is read at each attempt, while the
    revision frozen into a delivery words its body.

    rests_for: why nothing is sent to it now, in the word that its held deliveries show; None while it is active.
    """

    __slots__ = (
        "_accepts",
        "_condition",
        "_previous_signer",
        "_recipient",
        "_signer",
        "credential",
        "dialect",
        "headers",
        "id",
        "is_active",
        "is_readable",
        "max_redirects",
        "organization_id",
        "public_id",
        "query_secret",
        "rests_for",
        "revision",
        "schedule",
        "secret_headers",
        "secrets",
        "stored",
        "template",
        "timeout_seconds",
        "tls",
        "webhook",
    )

    def __init__(
        self,
        stored: Stored[Webhook],
        vault: Vault,
        base_url: str = "",
        most_retries: int = POLICY_MAX_RETRIES,
    ) -> None:
        webhook = stored.document
        self.stored = stored
        self.webhook = webhook
        self.id: Key = stored.id
        self.organization_id: Key = stored.organization_id
        self.revision = stored.revision
        self.public_id = public("webhook", stored.id)
        self.dialect = get_dialect(webhook.dialect)
        self.schedule = _schedule(webhook, self.dialect, most_retries)
        self.timeout_seconds = (
            webhook.timeout_ms / 1000 if webhook.timeout_ms is not None else self.dialect.timeout_seconds
        )
        self.max_redirects = (
            webhook.max_redirects if webhook.max_redirects is not None else self.dialect.max_redirects
        )
        self.tls = opened(vault, webhook)
        self.template = _template(webhook)
        self._accepts = compile_patterns(webhook.events)
        self._condition, self.is_readable = _condition(webhook)
        self.rests_for = _rest_of(webhook.status, is_readable=self.is_readable)
        self.is_active = self.rests_for is None
        self._recipient = _recipient(webhook, self.public_id, base_url)
        self._signer = _signer(vault, webhook, webhook.sealed_secret, webhook.sealed_signing_key)
        self._previous_signer = _previous_signer(vault, webhook)
        self.credential = _credential(webhook, vault)
        self.headers = (*_authentication_headers(webhook, self.credential), *webhook.headers.items())
        self.query_secret = _query_secret(webhook, self.credential)
        # Whatever the owner puts into a header of their own may be a credential: none is stored with an attempt.
        self.secret_headers = frozenset(name.lower() for name, _ in self.headers)
        self.secrets = spellings_of(
            self.credential,
            password=_password(webhook, self.credential),
            headers=webhook.headers.items(),
            url=webhook.url,
        )

    def __repr__(self) -> str:
        return f"Target({self.public_id}, revision={self.revision})"

    @property
    def batch(self) -> BatchSettings | None:
        """When its events are sent together, None when each is sent alone."""
        settings = self.webhook.batch
        if settings is None:
            return None
        return BatchSettings(settings["max_events"], timedelta(seconds=settings["max_wait_seconds"]))

    @property
    def has_condition(self) -> bool:
        return self._condition is not None

    def refuses_type(self, event_type: str, *, is_of_execution: bool) -> Mismatch | None:
        """Say by which rule no event of a type is owed, None if one may be. is_of_execution: an execution made it."""
        if not self._accepts(event_type):
            return Mismatch.PATTERN
        if self.dialect.tells_ends_only and not is_told_by_ends(
            event_type, self._accepts, is_of_execution=is_of_execution
        ):
            return Mismatch.DIALECT
        return None

    def refuses(self, automation: tuple[Kind, str] | None, data: Any) -> Mismatch | None:
        """Say by which rule an event of a wanted type is not owed, None if it is.

        data: the parsed event data, read only with a condition. One that cannot be read rules nothing out: what may be
        owed is held.
        """
        webhook = self.webhook
        if webhook.automation_kind is not None and automation != (
            webhook.automation_kind,
            webhook.automation_id,
        ):
            return Mismatch.AUTOMATION
        return None if self.meets(data) else Mismatch.CONDITION

    def meets(self, data: Any) -> bool:
        """Say whether parsed event data meets the conditions, all of them."""
        # Data that is no object has no field at all: every path of a condition is missing.
        return self._condition is None or self._condition(data if isinstance(data, dict) else {})

    def body(self, event: Event, execution: Execution | None = None) -> bytes:
        """Word the event: a pure function of event, revision and the event's execution, which has ended."""
        if self.template is not None:
            return self.template.body(event, self._recipient)
        return self.dialect.body(event, self._recipient, execution)

    def rounded_numbers(self, event: Event) -> list[str]:
        """Paths into the event's data of the numbers that its body cannot tell exactly (AF-X1)."""
        if self.template is not None or not self.dialect.rounds_numbers:
            return []
        return rounded_numbers(event.data, self._recipient.trim)

    def event_headers(self, event: Event) -> HeaderList:
        """Headers that tell what the body does not."""
        return (self.dialect if self.template is None else self.template).event_headers(event)

    def signed_headers(
        self, message_id: str, at: datetime, body: bytes, content_type: str
    ) -> tuple[tuple[str, str], ...]:
        """All headers of one attempt, signed for its instant. content_type: of the body, unless that is a link."""
        until = self.webhook.previous_secret_until
        previous = self._previous_signer if until is not None and at < until else None
        signatures = self.dialect.signature_headers(
            secret=self._signer,
            previous_secret=previous,
            message_id=message_id,
            timestamp=int(at.timestamp()),
            body=body,
        )
        return (
            ("Content-Type", LINK_CONTENT_TYPE if is_link(body) else content_type),
            *self.headers,
            *signatures,
        )

    def content_type(self, *, is_batch: bool = False) -> str:
        """Of the body that its dialect or template words. is_batch: of a batch's, whose frame is ours."""
        return BATCH_CONTENT_TYPE if is_batch else (self.template or self.dialect).content_type


def _rest_of(status: WebhookStatus, *, is_readable: bool) -> str | None:
    if not is_readable:
        return CONDITION_UNREADABLE
    return None if status is WebhookStatus.ACTIVE else f"webhook_{status}"


def parsed(data: bytes) -> Any:
    """Parsed data for conditions; what cannot be read satisfies none."""
    try:
        return decode(data)
    except InputError:
        return None


def schedule_of(policy: RetryPolicy, most_retries: int = POLICY_MAX_RETRIES) -> RetrySchedule:
    """The schedule that a webhook's own policy says. most_retries: see ``from_policy``.  Raises InputError."""
    if policy.schedule_seconds is not None:
        return from_list(policy.schedule_seconds, policy.jitter)
    return from_policy(policy.max_retries, policy.backoff_multiplier, most_retries=most_retries)


def _schedule(webhook: Webhook, dialect: Dialect, most_retries: int) -> RetrySchedule:
    policy = webhook.retry_policy
    return dialect.schedule if policy is None else schedule_of(policy, most_retries)


def _template(webhook: Webhook) -> BodyTemplate | None:
    if webhook.template is None:
        return None
    return BodyTemplate(webhook.template, webhook.template_content_type)


def _condition(webhook: Webhook) -> tuple[Callable[[Any], bool] | None, bool]:
    """The conditions, None without any, and whether they can be read: a newer version may have stored what this one
    does not know.
    """
    try:
        return (compile_conditions(webhook.conditions) if webhook.conditions else None), True
    except InputError:
        return None, False


def _recipient(webhook: Webhook, public_id: str, base_url: str) -> Recipient:
    has_filter = webhook.include_fields or webhook.exclude_fields
    return Recipient(
        webhook_id=public_id,
        trim=compile_filter(webhook.include_fields, webhook.exclude_fields) if has_filter else None,
        options=webhook.options,
        base_url=base_url,
    )


def _previous_signer(vault: Vault, webhook: Webhook) -> Signer | None:
    """Who signs besides while a rotation's window is open."""
    sealed = webhook.sealed_previous_secret
    return None if sealed is None else _signer(vault, webhook, sealed, webhook.sealed_previous_signing_key)


def _signer(vault: Vault, webhook: Webhook, sealed_secret: bytes, sealed_key: bytes | None) -> Signer:
    secret = vault.open(sealed_secret, SIGNING_SECRET).decode()
    if webhook.signature == "v1" or sealed_key is None:
        return Signer(secret)
    key = SigningKey(vault.open(sealed_key, SIGNING_KEY).decode())
    return Signer(secret, key, alone=webhook.signature == "v1a")


def _credential(webhook: Webhook, vault: Vault) -> str:
    """The secret by which the receiver knows us, empty without one."""
    sealed = webhook.sealed_authentication
    return "" if sealed is None else vault.open(sealed, AUTHENTICATION).decode()


def _password(webhook: Webhook, credential: str) -> str:
    """What a receiver decodes from the credential of ``basic``; empty of the others."""
    is_basic = webhook.authentication.get("type") == "basic"
    return b64decode(credential).decode().partition(":")[2] if is_basic else ""


def _authentication_headers(webhook: Webhook, credential: str) -> tuple[tuple[str, str], ...]:
    """The headers by which the receiver knows us (AF-11)."""
    match webhook.authentication.get("type"):
        case "bearer":
            return (("Authorization", f"Bearer {credential}"),)
        case "basic":
            return (("Authorization", f"Basic {credential}"),)
        case "header":
            return ((str(webhook.authentication["name"]), credential),)
        case _:
            return ()


def _query_secret(webhook: Webhook, credential: str) -> str | None:
    """The parameter by which the receiver knows us, as it goes on the wire (PB-8)."""
    if webhook.authentication.get("type") != "query":
        return None
    return f"{webhook.authentication['name']}={credential}"
