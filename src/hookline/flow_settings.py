"""What an integration may say of its config variables, and of how its flows are retried, queued and signed.

Each checks itself where it is made, and gives the engine its rule. Loaded into every child process, so it imports
nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from hookline.core.routing import parse_field
from hookline.errors import SettingError
from hookline.model.executions import QueueRule, RetryRule
from hookline.model.integrations import FlowSignature

VARIABLE_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "json": (object,),
}
"""Word to what a value of it is in Python."""


class ConfigVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A value that each instance has of its own, read as ``ctx.config["name"]``. Raises SettingError.

    type: ``string``, ``number``, ``boolean`` or ``json``.  default: of its type, None for none.
    required: an instance without a value is refused.  secret: encrypted at rest, never shown.
    """

    type: Literal["string", "number", "boolean", "json"] = "string"
    default: Any = None
    required: bool = False
    secret: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if self.type not in VARIABLE_TYPES:
            raise SettingError(
                f"a config variable's type must be one of {', '.join(VARIABLE_TYPES)}; got {self.type!r}"
            )
        if self.default is not None and not is_of(self.type, self.default):
            raise SettingError(
                f"a config variable's default must be a {self.type}; got {self.default!r}: change its type or default"
            )
        if self.default is not None and self.secret:
            raise SettingError(
                "a secret config variable has no default: code is no place for it; leave it out"
            )


def is_of(type_: str, value: object) -> bool:
    """Say whether a value is of a config variable's type."""
    is_boolean_for_number = type_ == "number" and isinstance(value, bool)
    return isinstance(value, VARIABLE_TYPES[type_]) and not is_boolean_for_number


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often an execution that failed is run again (PR-18). Raises SettingError.

    max_attempts: 0 to 10 retries.  delay_minutes: 0 to 60, before each.  exponential: each wait is twice the last.
    unique_request_id_field: where a request says what it is about; a newer one of the same id ends older retries.
    """

    max_attempts: int
    delay_minutes: float = 1
    exponential: bool = False
    unique_request_id_field: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or self.max_attempts not in range(11):
            raise SettingError(
                f"Retry: max_attempts must be a whole number, 0 to 10; got {self.max_attempts!r}"
            )
        if not is_of("number", self.delay_minutes) or not 0 <= self.delay_minutes <= 60:
            raise SettingError(f"Retry: delay_minutes must be a number, 0 to 60; got {self.delay_minutes!r}")
        check_field("Retry: unique_request_id_field", self.unique_request_id_field)

    @property
    def rule(self) -> RetryRule | None:
        """What the engine acts on; None for no retries."""
        if self.max_attempts == 0:
            return None
        return RetryRule(
            max_retries=self.max_attempts,
            delay_ms=round(self.delay_minutes * 60_000),
            is_exponential=self.exponential,
            unique_id=self.unique_request_id_field,
        )


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How many executions of one flow of one instance run at once (PR-19). Raises SettingError.

    type: ``parallel`` (as many as there are), ``throttled`` (``concurrency_limit``, 2 to 15) or ``sequential`` (one
    after the other, as they came).  dedupe_id_field: where a request names itself, so that a repeat runs nothing.
    """

    type: Literal["parallel", "throttled", "sequential"]
    concurrency_limit: int | None = None
    dedupe_id_field: str | None = None

    def __post_init__(self) -> None:
        if self.type not in {"parallel", "throttled", "sequential"}:
            raise SettingError(f"Queue: type must be parallel, throttled or sequential; got {self.type!r}")
        if self.type != "throttled" and self.concurrency_limit is not None:
            raise SettingError(
                f"Queue: only a throttled queue has a concurrency_limit; leave it out of {self.type}"
            )
        if self.type == "throttled" and self.concurrency_limit not in range(2, 16):
            raise SettingError(
                f"Queue: a throttled queue needs a concurrency_limit, 2 to 15; got {self.concurrency_limit!r}"
            )
        if self.type == "parallel" and self.dedupe_id_field is not None:
            raise SettingError(
                "Queue: parallel has no queue to look for repeats in; choose throttled or sequential"
            )
        check_field("Queue: dedupe_id_field", self.dedupe_id_field)

    @property
    def rule(self) -> QueueRule | None:
        """What the engine acts on; None for no queue."""
        if self.type == "parallel":
            return None
        return QueueRule(limit=self.concurrency_limit or 1, dedupe_id=self.dedupe_id_field)


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """How requests to a flow are signed, by whoever the customer connected. Raises SettingError.

    preset: ``stripe``, ``github``, ``slack`` and so on; or scheme: the fields of an own one.
    secret: the config variable that holds the secret of each instance.  previous_secret: the one that holds the secret
    before, which counts while it has a value.  verify_token: the one with the word that Meta and WhatsApp show.
    """

    secret: str
    preset: str | None = None
    scheme: Mapping[str, Any] | None = None
    previous_secret: str | None = None
    verify_token: str | None = None

    def __post_init__(self) -> None:
        if (self.preset is None) == (self.scheme is None):
            raise SettingError("Signature: give a preset, or a scheme of your own")

    @property
    def declared(self) -> FlowSignature:
        """What the engine is told."""
        definition = {"preset": self.preset} if self.scheme is None else dict(self.scheme)
        secrets = (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)
        return FlowSignature(definition=definition, secrets=secrets, verify_token=self.verify_token)


def check_field(what: str, field: object) -> None:
    """Raise SettingError for what names no field of a request. what: names the setting in the error."""
    if field is None:
        return
    try:
        parse_field(field if isinstance(field, str) else repr(field))
    except ValueError as exc:
        raise SettingError(f"{what} {exc}") from None
