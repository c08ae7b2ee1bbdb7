"""Read the host of a URL: a name in its one spelling for DNS, or an address.

Spellings that resolvers expand to other addresses (``0x7f.1``, ``2130706433``, ``0177.0.0.1``, ``127.1``, full-width
digits, ideographic dots) are refused here, because ``getaddrinfo`` would accept them. Never resolves a name.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from hookline.errors import InputError

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# A last label that inet_aton() would read as a number makes the whole host an address (WHATWG URL, "ends in a
# number checker").
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_OCTET: Final = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
# U+3002, U+FF0E, U+FF61: IDNA takes them for dots, so a check on dots alone would miss them.
_FOREIGN_DOTS: Final = ("\u3002", "\uff0e", "\uff61")


def read_host(host: str, field: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    """Return the host for DNS, lower-case, IDNA, without brackets or a final dot, and the address that it is, if any.

    Raises InputError. field: where the URL stands in the caller's input.
    """
    if host.startswith("["):
        return _read_ipv6(host, field)
    if any(dot in host for dot in _FOREIGN_DOTS):
        raise bad_url("The host name holds a dot that is not the ASCII one.", field, "ASCII dots", host[:60])
    ascii_host = (host.lower() if host.isascii() else _to_ascii(host, field)).removesuffix(".")
    labels = ascii_host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if host.endswith(".") or len(labels) != 4 or not all(_OCTET.fullmatch(label) for label in labels):
            raise _bad_ipv4(host, field)
        try:
            return ascii_host, IPv4Address(ascii_host)
        except AddressValueError as exc:
            raise _bad_ipv4(host, field) from exc
    if len(ascii_host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise bad_url(
            "The host is not a valid name.",
            field,
            "letters, digits, hyphens and dots",
            host[:60] or "empty",
        )
    return ascii_host, None


def _read_ipv6(host: str, field: str) -> tuple[str, IPv6Address]:
    if "%" in host:
        raise bad_url("An IPv6 address with a zone is not a target.", field, "no zone", host[:60])
    if not host.endswith("]"):
        raise bad_url("The IPv6 address is not valid.", field, "IPv6 address in brackets", host[:60])
    try:
        address = IPv6Address(host[1:-1])
    except AddressValueError as exc:
        raise bad_url("The IPv6 address is not valid.", field, "IPv6 address in brackets", host[:60]) from exc
    return str(address), address


def _to_ascii(host: str, field: str) -> str:
    """Return the punycode form of a name in its one canonical spelling, else InputError.

    A character with a compatibility form (full-width, circled, ligature) turns into another one in whoever parses
    the name next: that is how ``①②⑦.⓪.⓪.①`` becomes loopback.
    """
    lower = unicodedata.normalize("NFC", host.lower())
    if unicodedata.normalize("NFKC", lower) != lower:
        raise bad_url(
            "The host name holds characters that have another spelling.", field, "plain ones", host[:60]
        )
    labels = []
    for label in lower.split("."):
        # ASCII is judged with all other names; beyond it, letters and their marks make up every alphabet.
        if not all(char.isascii() or unicodedata.category(char)[0] in "LM" for char in label):
            raise bad_url(
                "The host name holds characters that names cannot have.", field, "letters", label[:60]
            )
        labels.append(label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii"))
    return ".".join(labels)


def bad_url(message: str, field: str, expected: str, received: str) -> InputError:
    """received: the part that is wrong, never a user name or password."""
    return InputError(message, code="INVALID_URL", field=field, expected=expected, received=received)


def _bad_ipv4(host: str, field: str) -> InputError:
    return bad_url(
        "An IPv4 address must be four plain decimal numbers.", field, "such as 203.0.113.7", host[:60]
    )
