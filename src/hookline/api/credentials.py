"""Find the trigger that a request's credential belongs to (AF-2): the credential alone selects it.

Every credential is one exact look-up under a digest: a token under its SHA-256, a name and password under a digest
keyed with the installation's secret. So it costs the same whether the automation in the URL exists, whether the
user name does, and how wrong the password is.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Final

from hookline.api.identity import bearer
from hookline.core.times import parse_rfc3339
from hookline.engine.manage.credentials import BASICS, TOKENS, basic_digest
from hookline.engine.vault import token_digest
from hookline.model.configuration import Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hookline.api.services import Services
    from hookline.model.configuration import Stored

_MOST_BYTES: Final = 2048


async def find_trigger(
    services: Services, route: str, headers: Mapping[bytes, bytes], query: Iterable[tuple[str, str]]
) -> Stored[Trigger] | None:
    """Return the trigger whose credential the request carries, in AF-2's three places or as ``Api-Key``; else None.

    It may be one of another route, disabled or past its time: see ``is_live``.
    """
    for kind, given in _given(headers, query):
        found = await services.directory.find(Trigger, TOKENS, token_digest(given).hex())
        if found is not None and found.document.auth.type == kind:
            return found
    pair = basic_of(headers.get(b"authorization"))
    if pair is None:
        return None
    return await services.directory.find(Trigger, BASICS, basic_digest(services.vault, route, *pair))


def is_live(
    services: Services, trigger: Trigger, headers: Mapping[bytes, bytes], query: Iterable[tuple[str, str]]
) -> bool:
    """Say whether the credential that found a trigger is its present one, or a rotated one within its time."""
    if trigger.auth.type == "basic" or is_previous_live(services, trigger):
        return True
    present = (trigger.auth.type, trigger.auth.digests[0])
    return any((kind, token_digest(given)) == present for kind, given in _given(headers, query))


def _given(headers: Mapping[bytes, bytes], query: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the tokens and the API key that a request carries, each with its kind of credential."""
    found = [("token", token) for token in tokens_of(headers, query)]
    key = headers.get(b"api-key", b"")[:_MOST_BYTES].decode("latin-1")
    return [*found, ("api_key", key)] if key else found


def is_previous_live(services: Services, trigger: Trigger) -> bool:
    """Say whether a credential that was replaced still counts."""
    until = trigger.settings.get("previous_until")
    return until is None or services.clock.now() < parse_rfc3339(str(until))


def tokens_of(headers: Mapping[bytes, bytes], query: Iterable[tuple[str, str]]) -> list[str]:
    """Return the tokens that a request carries, three at most."""
    tokens = [value for name, value in query if name == "token" and value][:2]
    given = bearer(headers.get(b"authorization"))
    if given is not None:
        tokens.append(given)
    return [token for token in tokens if len(token) <= _MOST_BYTES]


def basic_of(authorization: bytes | None) -> tuple[str, str] | None:
    """Return user name and password of a Basic credential (RFC 7617), else None."""
    if authorization is None or len(authorization) > _MOST_BYTES or authorization[:6].lower() != b"basic ":
        return None
    try:
        text = b64decode(authorization[6:].strip(), validate=True).decode("utf-8")
    except (Base64Error, UnicodeDecodeError, ValueError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon else None
