"""Pytest fixtures: one signs requests as Stripe, GitHub, Slack and every other preset would, under a fixed clock; one
reads the requests that ``hookline capture`` wrote.

Installed with Hookline: no import, no configuration. See docs/how-to/test-your-handler.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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
        from hookline.testing.samples import URL, sample_of, verifying_secret

        scheme = scheme_from({"preset": preset} if isinstance(preset, str) else preset)
        sample = sample_of(scheme)
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


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """A request as it came in. headers: names in lower case, credentials redacted, values of a repeated name joined.
    url: with a host and a trigger of its own, without what signs it.  scheme: how its sender signs, as
    ``hookline_signed`` takes it; None when it does not.  signature_headers: those that sign it, names in lower case.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime
    scheme: dict[str, Any] | None
    signature_headers: frozenset[str]

    @property
    def unsigned_headers(self) -> dict[str, str]:
        """The headers without those that sign it, frame it or name a server."""
        left_out = self.signature_headers | _OF_THE_CONNECTION
        return {name: value for name, value in self.headers.items() if name not in left_out}


_OF_THE_CONNECTION = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@pytest.fixture
def hookline_captured() -> Callable[[Path], CapturedRequest]:
    """Read what ``hookline capture`` wrote: ``hookline_captured(Path(__file__).parent)``."""
    return _captured


def _captured(folder: Path) -> CapturedRequest:
    from hookline.core.inbound import scheme_from

    meta = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    headers: dict[str, str] = {}
    for name, value in meta["headers"]:
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    signing: dict[str, set[str]] = {"header": set(), "query": set()}
    if meta["scheme"] is not None:
        scheme = scheme_from(meta["scheme"])
        for source in (*scheme.signature, scheme.timestamp, scheme.id):
            if source is not None and source.place in signing:
                signing[source.place].update(source.names)
        if "form" in scheme.placeholders:
            signing["query"].add("bodySHA256")  # Twilio signs the digest of a body that is no form
    return CapturedRequest(
        method=meta["method"],
        url=_without(meta["url"], signing["query"]),
        headers=headers,
        body=(folder / "body").read_bytes(),
        received_at=datetime.fromisoformat(meta["received_at"]),
        scheme=meta["scheme"],
        signature_headers=frozenset(signing["header"]),
    )


def _without(url: str, names: set[str]) -> str:
    """Return a URL without these parameters of its query; the others stay as they are written."""
    address, _, query = url.partition("?")
    kept = [one for one in query.split("&") if one and one.partition("=")[0] not in names]
    return f"{address}?{'&'.join(kept)}" if kept else address


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
