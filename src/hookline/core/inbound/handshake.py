"""Answer a sender that asks whether a URL is ours, without an execution.

Each answer is given only to who proves to be the sender first, where the sender signs that question (Slack, Zoom,
Discord, ``challenge``) or repeats a token that we configured (Meta). Microsoft Graph does neither: its echo is plain
text that no browser will run. Zoom wants a hash of its own text: that is a machine that signs what it is given, so it
signs plain tokens only, never something with the form of a signed request.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.inbound import request as read
from hookline.core.inbound.content import is_same, keys_of
from hookline.core.inbound.verify import verify_request
from hookline.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hookline.core.inbound.request import Headers, Request
    from hookline.core.inbound.scheme import Scheme

_MOST_CHALLENGE_CHARACTERS: Final = 2048
# No colon, no dot: "v0:1700000000:{…}" hashed for a stranger would be a forged request.
_PLAIN_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_PLAIN_TEXT: Final = (
    ("content-type", "text/plain; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
)
_JSON: Final = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))


class HandshakeAnswer(msgspec.Struct, frozen=True):
    """What to send back. headers: names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def content_type(self) -> str:
        return dict(self.headers).get("content-type", "text/plain")


def handshake(
    scheme: Scheme,
    secrets: Sequence[str],
    *,
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    now: datetime,
    verify_tokens: Sequence[str] = (),
) -> HandshakeAnswer | None:
    """Return the answer to a handshake, None when the request is none: then ``verify`` it as usual.

    Parameters as of ``verify``; the question is found in url's query or in the body.  verify_tokens: for Meta, the
    texts that its subscription form may send, newest first; without one every such question is refused.
    Raises VerificationError for a handshake whose sender does not prove itself.
    """
    if scheme.handshake is None:
        return None
    request = read.received(method=method, url=url, headers=headers, body=body)
    match scheme.handshake:
        case "meta":
            return _meta(request, verify_tokens)
        case "msgraph":
            return _msgraph(request)
    return _signed(scheme, secrets, request, now)


def _meta(request: Request, verify_tokens: Sequence[str]) -> HandshakeAnswer | None:
    if request.method != "GET" or not read.query_values(request.url, "hub.mode"):
        return None
    mode, token, challenge = (
        _only(read.query_values(request.url, name))
        for name in ("hub.mode", "hub.verify_token", "hub.challenge")
    )
    is_ours = False
    for known in verify_tokens:
        is_ours |= bool(known) & is_same(known.encode(), token.encode("utf-8", "surrogatepass"))
    if mode != "subscribe" or not is_ours:
        raise VerificationError("hub.verify_token is not the one we know.", reason="signature_mismatch")
    return _echo(challenge)


def _msgraph(request: Request) -> HandshakeAnswer | None:
    tokens = read.query_values(request.url, "validationToken")
    return _echo(_only(tokens)) if tokens and request.method in {"POST", "GET"} else None


def _signed(
    scheme: Scheme, secrets: Sequence[str], request: Request, now: datetime
) -> HandshakeAnswer | None:
    if request.method != "POST":
        return None
    value = read.json_body(request)
    question = _QUESTIONS[str(scheme.handshake)](value) if isinstance(value, dict) else None
    if question is None:
        return None
    verified = verify_request(scheme, secrets, request, now)
    match scheme.handshake, question:
        case "discord", int(status):
            return (
                HandshakeAnswer(204, (), b"") if status == 204 else HandshakeAnswer(200, _JSON, b'{"type":1}')
            )
        case "zoom", str(token):
            return _zoom(keys_of(scheme, secrets)[verified.secret_index], token)
        case _:
            return _echo(str(question))


def _zoom(key: bytes, token: str) -> HandshakeAnswer:
    if _PLAIN_TOKEN.fullmatch(token) is None:
        raise VerificationError("plainToken is not a plain token.", reason="body_malformed")
    answer = {"plainToken": token, "encryptedToken": hmac.digest(key, token.encode(), "sha256").hex()}
    return HandshakeAnswer(200, _JSON, msgspec.json.encode(answer))


def _echo(text: str) -> HandshakeAnswer:
    if not 0 < len(text) <= _MOST_CHALLENGE_CHARACTERS or not text.isprintable():
        raise VerificationError("The challenge is not plain text.", reason="body_malformed")
    return HandshakeAnswer(200, _PLAIN_TEXT, text.encode())


def _only(values: list[str]) -> str:
    if len(values) != 1:
        raise VerificationError("A handshake parameter must be there exactly once.", reason="header_repeated")
    return values[0]


# --- which bodies are questions -------------------------------------------------------------------------------


def _slack_question(value: dict[str, Any]) -> str | None:
    challenge = value.get("challenge")
    return challenge if value.get("type") == "url_verification" and isinstance(challenge, str) else None


def _zoom_question(value: dict[str, Any]) -> str | None:
    if value.get("event") != "endpoint.url_validation":
        return None
    token = read.at_path(value, "payload.plainToken")
    return token[0] if token and isinstance(token[0], str) else ""


def _discord_question(value: dict[str, Any]) -> int | None:
    """Interactions ask with type 1 and want it back; Webhook Events ask with type 0, and their type 1 is an event."""
    kind = value.get("type")
    if isinstance(kind, bool) or "event" in value:
        return None
    return {0: 204, 1: 200}.get(kind) if isinstance(kind, int) else None


def _plain_question(value: dict[str, Any]) -> str | None:
    """A challenge and no event: Standard Webhooks events always have ``data``."""
    challenge = value.get("challenge")
    return challenge if isinstance(challenge, str) and "data" not in value else None


_QUESTIONS: Final = {
    "slack": _slack_question,
    "zoom": _zoom_question,
    "discord": _discord_question,
    "challenge": _plain_question,
}
