"""Turn error families into HTTP answers: the one table from whose fault it was to a status, and AF-5's body.

Handlers raise; nothing else in the API picks a status for a failure. An exception that belongs to no family is our
own defect: it is logged and answered 500 without a word about what happened.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from hookline.errors import (
    ConflictError,
    ForbiddenError,
    HooklineError,
    InputError,
    LeaseLostError,
    MediaTypeError,
    MissingError,
    RemoteError,
    StorageError,
    ThrottledError,
    TooLargeError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = structlog.get_logger("hookline.api")

_RETRY_AFTER_SECONDS: Final = 1
"""What a 503 asks for: an overloaded or restarting node is back soon, and callers add their own back-off."""


class MethodError(HooklineError):
    """The path exists, the method does not. allow: the methods that do, comma-separated."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class UnavailableError(HooklineError):
    """This node cannot do it now, another or a later try can. Nothing was stored."""

    code = "UNAVAILABLE"


class CallerGoneError(HooklineError):
    """The caller left before its request was complete: nobody is there to be answered."""

    code = "CALLER_GONE"


STATUS: Final[Mapping[type[HooklineError], int]] = {
    InputError: 400,
    TooLargeError: 413,
    MediaTypeError: 415,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    MissingError: 404,
    MethodError: 405,
    ConflictError: 409,
    CallerGoneError: 400,
    ThrottledError: 429,
    RemoteError: 502,
    StorageError: 503,
    LeaseLostError: 503,
    UnavailableError: 503,
}
"""Family to status. A family that is not here takes that of the nearest one it derives from, else 500."""


_JOB_PATHS: Final = ("/api/jobs", "/api/render", "/api/templates")

_JOB_CODES: Final[Mapping[type[HooklineError], str]] = {
    InputError: "INVALID_REQUEST",
    TooLargeError: "INVALID_REQUEST",
    MediaTypeError: "INVALID_REQUEST",
    UnauthorizedError: "UNAUTHORIZED",
    ForbiddenError: "FORBIDDEN",
    MissingError: "NOT_FOUND",
    ThrottledError: "RATE_LIMIT_EXCEEDED",
}
"""Family to code of PF-9; an error of another family keeps its own code."""

_JOB_OWN_CODES: Final = frozenset(
    {"INVALID_JSON", "SCHEMA_VALIDATION_ERROR", "TEMPLATE_NOT_FOUND", "VALIDATION_ERROR"}
)
"""Codes of PF-9 that an InputError brings along."""


JSON: Final = b"application/json"


class Answer(msgspec.Struct, frozen=True):
    """A complete HTTP answer. headers: besides content-type and content-length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = JSON


def status_of(error: HooklineError) -> int:
    """Return the status of an error."""
    for family in type(error).__mro__:
        status = STATUS.get(family)
        if status is not None:
            return status
    return 500


def error_body(error: HooklineError) -> bytes:
    """Return AF-5's body. ``details`` always has its three keys; what is not known is null."""
    return msgspec.json.encode(
        {
            "success": False,
            "error": {
                "code": error.code,
                "message": error.message,
                "details": {"field": error.field, "expected": error.expected, "received": error.received},
            },
        }
    )


def job_error_body(error: HooklineError) -> bytes:
    """Return PF-9's body, for the routes of render jobs. ``path`` is there only when it is known."""
    told = {"code": job_code_of(error), "message": error.message}
    if error.field is not None:
        told["path"] = error.field
    return msgspec.json.encode({"error": told})


def job_code_of(error: HooklineError) -> str:
    """Return the code of an error in PF-9's words."""
    known = _JOB_CODES.get(type(error))
    return known if known is not None and error.code not in _JOB_OWN_CODES else error.code


def is_job_path(path: str) -> bool:
    """Say whether a path is one of render jobs, whose seed words errors in its own way (PF-9)."""
    return path.startswith(_JOB_PATHS)


def answer_of(error: HooklineError, path: str = "") -> Answer:
    """Return how an error of ours is answered. path: of the request, since some have words of their own."""
    status = status_of(error)
    is_job = is_job_path(path)
    if status == 500:
        _log.error("unexpected_failure", code=error.code, reason=error.message)
        return internal(path)
    return Answer(status, job_error_body(error) if is_job else error_body(error), _headers(error, status))


def _headers(error: HooklineError, status: int) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, ThrottledError):
        return ((b"retry-after", b"%d" % max(1, error.retry_after_seconds)),)
    if isinstance(error, MethodError):
        return ((b"allow", error.allow.encode("ascii")),)
    if status == 503:
        return ((b"retry-after", b"%d" % _RETRY_AFTER_SECONDS),)
    if status == 401:
        # RFC 9110 section 15.5.2 wants a challenge.
        return ((b"www-authenticate", b'Bearer realm="hookline"'),)
    return ()


_FAILURE: Final = HooklineError("Something failed on our side; it was logged.")
INTERNAL: Final = Answer(500, error_body(_FAILURE))
_JOB_INTERNAL: Final = Answer(500, job_error_body(_FAILURE))


def internal(path: str) -> Answer:
    """Return the answer to a defect of ours, which says nothing about it."""
    return _JOB_INTERNAL if is_job_path(path) else INTERNAL


def answer_unexpected(exc: BaseException, *, method: str, path: str) -> Answer:
    """Log a defect of ours and return the answer that says nothing about it.

    path: already without secrets. The traceback goes in as text: handed over as an exception, some log renderers
    would print every local variable with it, and those hold what callers sent.
    """
    _log.error(
        "unexpected_failure", method=method, path=path, traceback="".join(traceback.format_exception(exc))
    )
    return internal(path)


def missing_field(field: str, expected: str) -> InputError:
    """AF-5's own example: a required field that is absent or null."""
    return InputError(f"Required field '{field}' is missing", field=field, expected=expected, received="null")


def wrong_type(field: str, expected: str, received: str) -> InputError:
    """A field that holds something of another type. received: the JSON word for it."""
    return InputError(
        f"Field '{field}' must be of type {expected}", field=field, expected=expected, received=received
    )


def unknown_field(field: str, received: str = "a value") -> InputError:
    return InputError(
        f"There is no field '{field}' here",
        code="UNKNOWN_FIELD",
        field=field,
        expected="left out",
        received=received,
    )
