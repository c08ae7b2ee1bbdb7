"""What goes wrong between a sender and a check, one mistake at a time: the key, the body, the URL, the spelling.

Each function returns (label, value) pairs, the right value first and without a label.
"""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from hookline.core import canonical
from hookline.core.inbound.content import key_of
from hookline.core.spelling import SECRET_PREFIX, strict_base64, strict_hex, text_key
from hookline.errors import InputError

if TYPE_CHECKING:
    from hookline.core.inbound.scheme import Scheme

AGAIN = "the body is re-serialized: it was parsed and serialized again on its way"


def keys(scheme: Scheme, secret: str) -> list[tuple[str, bytes]]:
    """The keys that people build from a secret. Raises InputError like ``key_of``."""
    bare = secret.removeprefix(SECRET_PREFIX)
    labelled: dict[bytes, str] = {key_of(scheme, secret): ""}
    if scheme.algorithm == "ed25519":
        return [("", key) for key in labelled]
    for key, label in (
        (text_key(secret), "the key is the text of the secret where its decoded part is due"),
        (text_key(bare), "the key is the secret's text without whsec_"),
        (text_key(secret.strip()), "the secret has spaces or a line end around it"),
        (text_key(SECRET_PREFIX + secret), "the key is the secret's text with whsec_ before it"),
        (strict_base64(bare), "the key is the decoded secret where its text is due"),
        (strict_hex(bare.lower()), "the key is the secret decoded from hex where its text is due"),
    ):
        if key:
            labelled.setdefault(key, label)
    return [(label, key) for key, label in labelled.items()]


def bodies(body: bytes) -> list[tuple[str, bytes]]:
    """The body, and what editors, proxies and frameworks make of it."""
    labelled: dict[bytes, str] = {body: ""}
    stripped = body.rstrip(b"\r\n")
    for shorter in (body.removesuffix(b"\n"), body.removesuffix(b"\r\n"), stripped):
        labelled.setdefault(shorter, "the body has a line end that was not signed")
    labelled.setdefault(stripped + b"\n", "the body lost its final line end")
    labelled.setdefault(body.replace(b"\r\n", b"\n"), "line ends of the body were changed")
    labelled.setdefault(
        body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), "line ends of the body were changed"
    )
    labelled.setdefault(
        body.removeprefix(b"\xef\xbb\xbf"), "the body has a byte order mark that was not signed"
    )
    for again in _serialized_again(body):
        labelled.setdefault(again, AGAIN)
    if body:
        labelled.setdefault(b"", "the body was empty when it was signed")
    return [(label, variant) for variant, label in labelled.items()]


def _serialized_again(body: bytes) -> list[bytes]:
    try:
        value = json.loads(body)
        found = [canonical.canonical(body)]
        for is_ascii in (True, False):
            for separators in ((",", ":"), (", ", ": ")):
                for is_sorted in (False, True):
                    text = json.dumps(
                        value, ensure_ascii=is_ascii, separators=separators, sort_keys=is_sorted
                    )
                    found.append(text.encode())
        found.append(json.dumps(value, indent=2, ensure_ascii=False).encode())
    except (ValueError, RecursionError, InputError):
        return []
    # PHP escapes slashes.
    return [*found, *(text.replace(b"/", b"\\/") for text in found if b"/" in text)]


def urls(url: str) -> list[tuple[str, str]]:
    """The URL, and how it looks from behind a proxy or in another form."""
    labelled = {url: ""}
    try:
        parts = urlsplit(url)
    except ValueError:
        return [("", url)]
    other = {"http": "https", "https": "http"}.get(parts.scheme, parts.scheme)
    path = parts.path[:-1] if parts.path.endswith("/") else parts.path + "/"
    host = parts.netloc.rpartition("@")[2]
    bare = host.removesuffix(f":{host.rpartition(':')[2]}") if ":" in host else host
    for changed, label in (
        (parts._replace(scheme=other), f"the URL begins with {other}: (a proxy ends TLS?)"),
        (parts._replace(path=path), "the URL's final slash is there or not"),
        (parts._replace(query=""), "the URL has no query"),
        (parts._replace(netloc=bare), "the URL has no port"),
        (parts._replace(fragment=""), "the URL has no fragment"),
    ):
        labelled.setdefault(urlunsplit(changed), label)
    labelled.setdefault(unquote(url), "the URL is percent-decoded")
    return [(label, variant) for variant, label in labelled.items()]


def spellings(scheme: Scheme, digest: bytes) -> list[tuple[str, str]]:
    """How a signature may be written."""
    as_hex, as_base64 = digest.hex(), b64encode(digest).decode()
    url_safe = urlsafe_b64encode(digest).decode()
    labelled = {as_hex if scheme.encoding == "hex" else as_base64: ""}
    for text, label in (
        (as_hex, "hex stands where base64 is due"),
        (as_hex.upper(), "the hex digits are upper-case"),
        (as_base64, "base64 stands where hex is due"),
        (as_base64.rstrip("="), "the base64 has lost its padding"),
        (url_safe, "the base64 is of the URL-safe alphabet"),
        (url_safe.rstrip("="), "the base64 is of the URL-safe alphabet, without padding"),
        (b64encode(as_hex.encode()).decode(), "it is base64 of the hex digits"),
    ):
        labelled.setdefault(text, label)
    return [(label, text) for text, label in labelled.items()]
