"""The words of the Prismatic profile: ids, headers and bodies as its seed prints them (SEEDS PR-2 to PR-7)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.model.ids import bare, parse

if TYPE_CHECKING:
    from hookline.model.ids import Key

MALFORMED: Final = b'{"error":"Received malformed JSON payload."}'
"""PR-5, 44 bytes."""

_ALLOWED_HEADERS: Final = (
    b"Accept,CloudFront-Forwarded-Proto,CloudFront-Is-Desktop-Viewer,CloudFront-Is-Mobile-Viewer,"
    b"CloudFront-Is-SmartTV-Viewer,CloudFront-Is-Tablet-Viewer,CloudFront-Viewer-ASN,CloudFront-Viewer-Country,"
    b"content-type,Host,User-Agent,Via,X-Amz-Cf-Id,X-Amzn-Trace-Id,X-Forwarded-For,X-Forwarded-Port,"
    b"X-Forwarded-Proto"
)
_KIND: Final = "InstanceExecutionResult"
_write: Final = msgspec.json.Encoder().encode


def execution_id(key: Key) -> str:
    """Return an execution's id as PR-2 prints it: base64 of its kind and UUID."""
    return b64encode(f"{_KIND}:{bare(key)}".encode()).decode("ascii")


def parse_execution_id(text: str) -> Key | None:
    """Return the key inside such an id of ours, None for anything else."""
    try:
        kind, _, uuid = b64decode(text, validate=True).decode("ascii").partition(":")
    except ValueError:
        return None
    return parse("execution", uuid) if kind == _KIND else None


def executed(key: Key) -> bytes:
    """The default answer (PR-2)."""
    return _write({"executionId": execution_id(key)})


def thrown(message: str) -> bytes:
    """What a synchronous caller is told when the run failed (PR-6)."""
    return _write({"error": message})


def throttled(path_id: str, rate: float) -> bytes:
    """PR-7."""
    return _write(
        {
            "error": f"Endpoint with id: {path_id} has exceeded maximum allowed throughput of {rate:g} "
            "requests/second. Please throttle your requests."
        }
    )


def headers_of(key: Key, method: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return what the answers of this profile carry, all but the 429 (PR-2, PR-13b). method: of the request."""
    return (
        (b"prismatic-executionid", execution_id(key).encode("ascii")),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-allow-methods", method.encode("ascii")),
    )
