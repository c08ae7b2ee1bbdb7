"""The states things can be in, and the small closed sets that travel in rows.

Numbers are what the stores keep: never reuse or renumber one. Text is what users see.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum


class ExecutionStatus(StrEnum):
    """Life of an execution (CONTRACT section 4). The last five are terminal and never change."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL_EXECUTION


TERMINAL_EXECUTION = frozenset(
    {
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.FAILED,
        ExecutionStatus.KILLED,
        ExecutionStatus.TIMED_OUT,
        ExecutionStatus.LOST,
    }
)


class DeliveryState(StrEnum):
    """Life of a delivery (CONTRACT section 5). Succeeded, exhausted and cancelled are ends, though a
    replay may open an ended delivery again.
    """

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    HELD = "held"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"


class Lane(IntEnum):
    """Which line a delivery waits in, so that first tries, retries and replays cannot starve each other."""

    FIRST = 0
    RETRY = 1
    REPLAY = 2


class Kind(StrEnum):
    """Kinds of automation."""

    WORKFLOW = "workflow"
    AGENT = "agent"
    SCRIPT = "script"
    ROBOT = "robot"
    RENDER = "render"


class Origin(StrEnum):
    """Where a delivery target comes from. Only registered webhooks appear in lists."""

    REGISTERED = "registered"
    RENDER = "render"
    CALLBACK = "callback"


class WebhookStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class ReplayStatus(StrEnum):
    """Life of a replay job. The last two are ends."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class Scope(StrEnum):
    """What an API key may do. Admin includes all, write includes read and trigger."""

    ADMIN = "admin"
    WRITE = "write"
    READ = "read"
    TRIGGER = "trigger"


class AttemptOutcome(StrEnum):
    """How one attempt ended; the stores keep the text, dashboards and metrics group by it."""

    DELIVERED = "delivered"
    HTTP_ERROR = "http_error"
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    CONNECT_FAILED = "connect_failed"
    CONNECTION_LOST = "connection_lost"
    DNS_NOT_FOUND = "dns_not_found"
    DNS_FAILED = "dns_failed"
    TLS_FAILED = "tls_failed"
    TLS_NAME = "tls_name"
    ADDRESS_REFUSED = "address_refused"
    BAD_RESPONSE = "bad_response"
    INTERRUPTED = "interrupted"
    NOT_SENT = "not_sent"
    TEMPLATE_FAILED = "template_failed"


class Missing(Enum):
    """A value that is not there, where None is itself a value."""

    MISSING = "missing"


MISSING = Missing.MISSING
