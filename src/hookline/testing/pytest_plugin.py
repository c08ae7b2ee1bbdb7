"""A pytest fixture that signs requests as Stripe, GitHub, Slack and every other preset would, under a fixed clock.

Installed with Hookline: no import, no configuration. See docs/how-to/test-your-handler.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
"""When requests are signed unless the test says otherwise."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as a sender would make it.

    headers: names in lower case.  secret: what the receiver must know; for Discord the public key.  now: when it was
    signed: give your check this clock, or a test will fail five minutes later.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    secret: str = field(repr=False)
    now: datetime


class Signing(Protocol):
    """What ``hookline_signed`` is."""

    def __call__(
        self,
        preset: str | Mapping[str, Any],
        *,
        body: bytes | str | None = None,
        secret: str | None = None,
        url: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        message_id: str = "msg_1",
        now: datetime | None = None,
    ) -> SignedRequest: ...


@pytest.fixture
def hookline_now() -> datetime:
    """The fixed clock; override this fixture for another one."""
    return NOW


@pytest.fixture
def hookline_signed(hookline_now: datetime) -> Signing:
    """Sign a request: ``hookline_signed("github", body=b"{}")``.

    preset: its name, or the definition of an own scheme.  body, secret, url: None for the preset's sample.
    message_id: the sender's id of the request, where it has one in a header.  Headers given here come on top.
    """

    def signed(
        preset: str | Mapping[str, Any],
        *,
        body: bytes | str | None = None,
        secret: str | None = None,
        url: str | None = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        message_id: str = "msg_1",
        now: datetime | None = None,
    ) -> SignedRequest:
        from hookline.core.inbound import scheme_from, sign
        from hookline.testing.samples import SAMPLES, URL, Sample, verifying_secret

        scheme = scheme_from({"preset": preset} if isinstance(preset, str) else preset)
        sample = SAMPLES.get(scheme.name, Sample(b"{}"))
        at = now or hookline_now
        key = secret or sample.secret
        given = dict(headers or {})
        request = sign(
            scheme,
            key,
            now=at,
            body=sample.body if body is None else body.encode() if isinstance(body, str) else body,
            url=url or URL,
            method=method,
            headers=[*{"content-type": sample.content_type, **dict(sample.headers), **_lower(given)}.items()],
            message_id=message_id,
        )
        return SignedRequest(
            request.method,
            request.url,
            dict(request.headers),
            request.body,
            verifying_secret(scheme, key),
            at,
        )

    return signed


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
