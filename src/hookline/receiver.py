"""For receivers: check that a request came from Hookline, and read its event.

    from hookline.receiver import VerificationError, verify

    try:
        event = verify(request.body, request.headers, os.environ["WEBHOOK_SECRET"])
    except VerificationError:
        return Response(status=401)

Give it the bytes as they came, before anything parses them. A request that carries the Standard Webhooks headers is
checked by those, which sign its id and time as well; one that has only ``X-AgenticFlow-Signature`` by that. Both
say who sent it, neither whether you saw it before: dedupe by ``webhook-id``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hookline.core.canonical import decode
from hookline.core.signing import (
    PUBLIC_KEY_PREFIX,
    Headers,
    VerificationError,
    verify_agenticflow,
    verify_public,
    verify_standard,
)
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["VerificationError", "verify"]


def verify(
    body: bytes | str,
    headers: Headers | Iterable[tuple[bytes, bytes]],
    secret: str | Sequence[str],
    *,
    now: datetime | None = None,
    tolerance_seconds: float = 300,
    scheme: Literal["standard", "agenticflow"] | None = None,
) -> Any:
    """Return the event (or batch) that a request carries; raise VerificationError with ``reason`` if it does not
    verify. An object, but for a webhook of the ``raw`` dialect: that gets whatever JSON was published.

    body: the raw bytes; text is taken as its UTF-8.  headers: a mapping, or (name, value) pairs, also of bytes as an
    ASGI scope has them; any spelling. One whose value is None is not there.
    secret: the webhook's secret or public key (``whpk_…``), or several while one is being rotated; an empty one is a
    ValueError.
    now: aware; None for the clock.  tolerance_seconds: how old or how far ahead a signed time may be.
    scheme: which signature must be there; None takes the Standard one when any of its headers is there. Ask for
    ``standard`` to refuse requests that sign no time, which whoever captured one could send again for ever.
    """
    raw = body.encode() if isinstance(body, str) else bytes(body)
    secrets = (secret,) if isinstance(secret, str) else tuple(secret)
    pairs = _pairs(headers)
    if scheme is None:
        has_standard = any(name.lower().startswith("webhook-") for name, _ in pairs)
        scheme = "standard" if has_standard or not _has_agenticflow(pairs) else "agenticflow"
    if scheme == "standard":
        instant = now if now is not None else datetime.now(UTC)
        _verify_standard(secrets, pairs, raw, instant, timedelta(seconds=tolerance_seconds))
    else:
        verify_agenticflow(secrets, pairs, raw)
    return _event(raw)


def _verify_standard(
    secrets: Sequence[str], headers: Headers, body: bytes, now: datetime, tolerance: timedelta
) -> None:
    """By public keys where some were given, else or then by secrets: a webhook may be moving from one to the other."""
    keys = [secret for secret in secrets if secret.startswith(PUBLIC_KEY_PREFIX)]
    shared = [secret for secret in secrets if not secret.startswith(PUBLIC_KEY_PREFIX)]
    if keys:
        try:
            return verify_public(keys, headers, body, now, tolerance)
        except VerificationError:
            if not shared:
                raise
    return verify_standard(shared, headers, body, now, tolerance)


def _pairs(headers: Headers | Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    # The standard library's request headers have items() without being a Mapping.
    items = getattr(headers, "items", None)
    pairs: Iterable[Any] = items() if items is not None else headers
    # None is what people get for a header that did not come, and pass on (AF-X1).
    return tuple((_text(name), _text(value)) for name, value in pairs if value is not None)


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part


def _has_agenticflow(pairs: Sequence[tuple[str, str]]) -> bool:
    return any(name.lower() == "x-agenticflow-signature" for name, _ in pairs)


def _event(raw: bytes) -> Any:
    try:
        return decode(raw)
    except InputError as exc:
        raise VerificationError("The body is signed but is not JSON.", reason="body_malformed") from exc
