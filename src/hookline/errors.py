"""What can go wrong, in families named for whose fault it is.

Every error carries ``code`` (stable, UPPER_SNAKE, part of the API), ``message`` (one plain sentence without
secrets) and ``field`` (dotted path into the caller's input, or None). One table in ``api/errors.py`` turns
families into HTTP status codes; nothing else does. A broken precondition is our own bug and stays ``ValueError``.
"""

from __future__ import annotations


class HooklineError(Exception):
    """Base of all families.

    code: stable and documented.  message: one sentence for people.  field: dotted path, or None.
    expected, received: what stood there instead, in the words of AF-5, or None.
    """

    code = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        expected: str | None = None,
        received: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.expected = expected
        self.received = received
        if code is not None:
            self.code = code


class InputError(HooklineError):
    """The caller sent something that cannot be accepted. 400."""

    code = "INVALID_INPUT"


class TooLargeError(InputError):
    """The request is larger than the route allows. 413."""

    code = "PAYLOAD_TOO_LARGE"


class MediaTypeError(InputError):
    """The declared content type is not one the route reads. 415."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class UnauthorizedError(HooklineError):
    """No credential, or one that is not valid here. 401, the same words whether the object exists or not."""

    code = "UNAUTHORIZED"


class VerificationError(UnauthorizedError):
    """A signature did not verify. 401, the same words whatever was wrong with it.

    message: for the owner of the secret.  reason: a stable word: ``header_missing``, ``header_repeated``,
    ``timestamp_malformed``, ``timestamp_too_old``, ``timestamp_too_new``, ``signature_malformed``,
    ``signature_mismatch`` or ``body_malformed``.
    """

    code = "SIGNATURE_INVALID"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForbiddenError(HooklineError):
    """A valid key without the scope that the route needs. 403."""

    code = "FORBIDDEN"


class MissingError(HooklineError):
    """No such object, or one of another organization: the two look the same. 404."""

    code = "NOT_FOUND"


class UnroutableError(MissingError):
    """A request came to an endpoint that many share and does not say whose it is. 404; it is kept, to be routed again.

    why: in words for who owns the endpoint.  reason: under which it is kept, ``unroutable: …``; the caller is told
    neither.
    """

    code = "UNROUTABLE"

    def __init__(self, why: str) -> None:
        super().__init__("The request names no flow that is here.")
        self.why = why
        self.reason = f"unroutable: {why}"


class ConflictError(HooklineError):
    """Two of us raced, or the object's state does not allow the action. 409."""

    code = "CONFLICT"


class ThrottledError(HooklineError):
    """Too many requests. 429 with Retry-After.

    retry_after_seconds: whole seconds until the next try can succeed, 1 or more.
    """

    code = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class RemoteError(HooklineError):
    """A receiver or a runner failed."""

    code = "REMOTE_FAILED"


class HandlerFailedError(RemoteError):
    """A function of the user's app, called before an execution, failed. 502, but where a profile has its own words.

    message: what it raised.
    """

    code = "HANDLER_FAILED"


class ModelFailedError(RemoteError):
    """The model behind an agent gave no answer, after the retries that it was worth.

    message: what it answered or what became of the connection, how often it was tried again, and no secret.
    """

    code = "MODEL_FAILED"


class StorageError(HooklineError):
    """Our own infrastructure failed: the database is away, full or slow. 503 with Retry-After.

    Nothing of the write is stored, or it is unknown whether it is: never answered with a 2xx.
    """

    code = "STORAGE_UNAVAILABLE"


class RowError(StorageError):
    """One write of a batch cannot be stored whatever its neighbours are. 503 for its caller alone."""

    code = "WRITE_REFUSED"


class LeaseLostError(HooklineError):
    """This node's lease ran out and its claims belong to others now: stop claiming, stop sending."""

    code = "LEASE_LOST"


class PayloadGoneError(HooklineError):
    """The payload was emptied by retention: what is left tells that it was there, and cannot be sent again."""

    code = "PAYLOAD_GONE"


class SettingError(HooklineError):
    """A setting stops the start. Its message names the key, what was expected and what was found."""

    code = "BAD_SETTING"
