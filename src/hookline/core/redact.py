"""Take secrets out of headers and URLs before they are logged or stored (PROMISES P13).

A header or query parameter is secret by its name; its value is replaced, its name, place and everything else stay
byte for byte. Signatures of requests stay: they prove nothing without the secret, and people compare them.
In a query, a signature is as good as a key (signed links), so it goes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

REDACTED: Final = "[redacted]"
_REDACTED: Final = REDACTED.encode()

# Shorter ones stand in too many words to be taken out of a text.
_LEAST_FORGOTTEN: Final = 6

_SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "api-key",
        "apikey",
        "x-api-key",
        "x-auth",
        "x-functions-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-phantombuster-key",
        "www-authenticate",
        "proxy-authenticate",
    }
)
# Within any name of a header or parameter.
_SECRET_WORDS: Final = (
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "apikey",
    "api-key",
    "api_key",
    "authorization",
)
_SECRET_PARAMETERS: Final = frozenset(
    {"auth", "key", "sig", "signature", "code", "pwd", "pass", "jwt", "session", "sid"}
)
_SECRET_PARAMETER_WORDS: Final = (*_SECRET_WORDS, "signature", "_key", "-key")

# A trigger's path id is all that a trigger without a credential has.
_TRIGGER_PATH: Final = re.compile(r"(?<=/trigger/)[^/?#]+")
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})")

_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]+@")
_PARAMETER: Final = re.compile(r"(?<=[?&])[^=&\s\"'<>#]+=[^&\s\"'<>#]+")
_SCHEME: Final = re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_OURS: Final = re.compile(r"\b(hlk|hwk|wht|whsec|whsk)_[A-Za-z0-9_+/=-]{8,}")
"""Keys, tokens and secrets of our own making, which say what they are."""

_NAME: Final = itemgetter(0)

_REMEMBERED: Final = 4096
"""Header names are few, so each is judged once; hostile ones push each other out."""


def redact_headers(
    headers: Iterable[tuple[str, str]], secret_names: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return the headers with secret values replaced.

    secret_names: more names that are secret, lower-case (a webhook's own authentication header, its custom headers).
    """
    headers = tuple(headers)
    names = frozenset(map(_NAME, headers))
    if not _tells_secret(names) and (
        not secret_names or frozenset(secret_names).isdisjoint(map(str.lower, names))
    ):
        return headers
    return tuple(
        [
            (name, REDACTED) if _is_secret_header(name) or name.lower() in secret_names else (name, value)
            for name, value in headers
        ]
    )


@lru_cache(maxsize=_REMEMBERED)
def _tells_secret(names: frozenset[str]) -> bool:
    """Say whether one of these is secret. Sets of names are few, too: attempts of one webhook have the same."""
    return any(_is_secret_header(name) for name in names)


@lru_cache(maxsize=_REMEMBERED)
def _is_secret_header(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRET_HEADERS or any(word in lower for word in _SECRET_WORDS)


def redact_query(query: str, secret_names: Collection[str] = ()) -> str:
    """Return a query string (without ``?``) with the values of secret parameters replaced."""
    if "=" not in query:
        return query
    return "&".join([_redact_parameter(item, secret_names) for item in query.split("&")])


def redact_url(url: str, secret_names: Collection[str] = ()) -> str:
    """Return a URL or path with its secret parameters, any password and any trigger's path id replaced."""
    url = redact_path(url)
    address, question, query = url.partition("?")
    if "@" in address:
        address = _without_userinfo(address)
    if not question:
        return address
    query, hash_, fragment = query.partition("#")
    return f"{address}?{redact_query(query, secret_names)}{hash_}{fragment}"


def spellings_of(
    credential: str, *, password: str = "", headers: Iterable[tuple[str, str]] = (), url: str = ""
) -> tuple[bytes, ...]:
    """Return what a receiver may repeat of the secrets by which it knows us, for ``forget``; the longest first.

    credential: of the webhook's authentication, or empty.  password: inside that of ``basic``.  headers, url: as they
    are sent, with the secrets that ``redact_headers`` and ``redact_url`` find in them. Each as it was sent and
    percent-decoded; one that is too short to be told from a word is left out.
    """
    secrets = [credential, password, *(value for name, value in headers if _is_secret_header(name))]
    query = url.partition("?")[2].partition("#")[0]
    if query:
        items = query.split("&")
        secrets += [item.partition("=")[2] for item in items if _redact_parameter(item, ()) != item]
    found = {word for one in secrets if len(one) >= _LEAST_FORGOTTEN for word in (one, unquote(one))}
    return tuple(sorted([word.encode() for word in found], key=len, reverse=True))


def forget(text: bytes, spellings: Iterable[bytes]) -> bytes:
    """Return a receiver's words without these secrets: an echo service repeats what it was sent."""
    for spelling in spellings:
        text = text.replace(spelling, _REDACTED)
    return text


def redact_text(text: str) -> str:
    """Return words of any origin without what looks like a secret: in URLs, after a scheme, or of our own making."""
    if "://" in text:
        text = _USERINFO.sub(f"{REDACTED}@", text)
    if "?" in text or "&" in text:
        text = _PARAMETER.sub(lambda match: _redact_parameter(match[0], ()), text)
    if " " in text:
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    text = redact_path(text)
    # Most words of a log line are ids and states, and there is a line for every attempt.
    return _OURS.sub(rf"\1_{REDACTED}", text) if "_" in text else text


def redact_path(path: str) -> str:
    """Return a path with a trigger's path id replaced."""
    return _TRIGGER_PATH.sub(REDACTED, path) if "/trigger/" in path else path


def _without_userinfo(address: str) -> str:
    scheme, slashes, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    if not slashes or "@" not in authority:
        return address
    return f"{scheme}://{REDACTED}@{authority.rpartition('@')[2]}{slash}{path}"


def _redact_parameter(item: str, secret_names: Collection[str]) -> str:
    name, equals, value = item.partition("=")
    if not value:
        return item
    # to%6ben=… is token=… to whoever receives it.
    plain = _PERCENT.sub(lambda match: chr(int(match[1], 16)), name).lower()
    is_secret = (
        plain in _SECRET_PARAMETERS
        or plain in secret_names
        or any(word in plain for word in _SECRET_PARAMETER_WORDS)
    )
    return f"{name}{equals}{REDACTED}" if is_secret else item
