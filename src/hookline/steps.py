"""How often and how long a step is tried, and what its caller gets when that was not enough.

Loaded into every child process, so it imports nothing heavy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.core.tries import MAX_RETRIES

if TYPE_CHECKING:
    from hookline.model.executions import Failure

MAX_DELAY: Final = 7 * 86400.0
"""Seconds between two tries."""

MAX_TIMEOUT: Final = 10.0**9
"""Seconds, as for a whole run."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step that failed is tried again. Raises TypeError or ValueError.

    retries: 0 to 100, beside the first try.  delay_seconds: before the first retry, 0 to a week.  backoff: each later
    wait is so many times the one before, 1 or more.  longest_delay_seconds: no wait is longer, 0 to a week.
    give_up_on: errors after which there is no further try.

    Each wait is up to a tenth shorter or longer, so that many runs do not knock at the same instant.
    """

    retries: int
    delay_seconds: float = 1.0
    backoff: float = 2.0
    longest_delay_seconds: float = 3600.0
    give_up_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        check_retries(self.retries)
        for name in ("delay_seconds", "longest_delay_seconds"):
            check_number(f"RetryPolicy: {name}", getattr(self, name), least=0, most=MAX_DELAY)
        check_number("RetryPolicy: backoff", self.backoff, least=1, most=1000)
        errors: object = self.give_up_on
        if not isinstance(errors, tuple) or not all(map(_is_error, errors)):
            raise TypeError(f"RetryPolicy: give_up_on takes a tuple of exceptions; got {errors!r}")

    def delay(self, retry: int, *, jitter: float) -> float:
        """Seconds before retry number ``retry``, counted from 0. jitter: a uniform draw, 0.0 <= jitter < 1.0."""
        try:
            wait = self.delay_seconds * self.backoff**retry
        except OverflowError:
            wait = math.inf
        return min(wait, self.longest_delay_seconds) * (0.9 + 0.2 * jitter)


class StepRule(msgspec.Struct, frozen=True):
    """What a call of ``ctx.step`` asked for. retry: None for the step that is not tried again, and whose failure is
    not remembered.  timeout_seconds: of one try, None for no limit.
    """

    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None


class StepError(RuntimeError):
    """A step with ``retries`` or ``timeout_seconds`` has failed for good. It is remembered: a run that goes on after
    a sleep or a crash is told the same again. ``__cause__`` is what the last try raised, where that was just now.

    code: ``FAILED``, ``TIMED_OUT``, or ``LOST`` when the process died in it.  type: class of the last error, or None.
    tries: how often it was tried.
    """

    def __init__(self, message: str, *, code: str, type: str | None, tries: int) -> None:  # noqa: A002
        super().__init__(message)
        self.code = code
        self.type = type
        self.tries = tries


def step_rule(retries: object, timeout_seconds: object) -> StepRule | None:
    """Return what was asked for, None for nothing. Raises TypeError or ValueError."""
    if retries is None and timeout_seconds is None:
        return None
    seconds = None
    if timeout_seconds is not None:
        seconds = check_number("ctx.step: timeout_seconds", timeout_seconds, least=0, most=MAX_TIMEOUT)
        if seconds == 0:
            raise ValueError("ctx.step: timeout_seconds must be above 0")
    if isinstance(retries, RetryPolicy):
        return StepRule(retries, seconds)
    return StepRule(RetryPolicy(retries=0 if retries is None else check_retries(retries)), seconds)


def _is_error(what: object) -> bool:
    return isinstance(what, type) and issubclass(what, Exception)


def check_retries(retries: object) -> int:
    """Return the number of retries. Raises TypeError or ValueError."""
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries takes a whole number or a RetryPolicy; got {retries!r}")
    if not 0 <= retries <= MAX_RETRIES:
        raise ValueError(f"retries takes 0 to {MAX_RETRIES}; got {retries}")
    return retries


def check_number(what: str, value: object, *, least: float, most: float) -> float:
    """Return the number. Raises TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} takes a number; got {value!r}")
    if not least <= value <= most:  # also refuses NaN
        raise ValueError(f"{what} takes {least:g} to {most:g}; got {value!r}")
    return value


def step_error(name: str, failure: Failure, tries: int) -> StepError:
    """Return what the caller of a step that failed for good gets."""
    times = "" if tries == 1 else f" in {tries} tries"
    return StepError(
        f"step {name!r} failed{times}: {failure.message}", code=failure.code, type=failure.type, tries=tries
    )
