"""Say which URLs may be targets and which addresses may be dialled (PROMISES P11).

``parse_target`` reads a URL once, strictly, and everything else uses what it found: no second parser can read the
same text differently. What a host may be is in ``hosts``.

``AddressPolicy`` judges the addresses that a name resolved to, by the table below and never by Python's
``is_global``, which calls NAT64, 6to4, multicast and two metadata addresses global. The table names what the IANA
special-purpose registries name; of IPv6 only 2000::/3 is handed out, so the rest is refused as a whole.
An address that carries an IPv4 address inside is refused, and when the operator allows its range, the inner one is
judged too. Cloud metadata addresses and names are refused whatever the operator allows.

This module never resolves a name and never connects.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec

from hookline.core.canonical import type_name
from hookline.core.hosts import bad_url, read_host

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# --- URLs ---------------------------------------------------------------------------------------------------

# PB-1 says 2,000; twice that holds the longest signed links in use.
_LONGEST_URL: Final = 4096
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SHAPE: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?"
)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)

# Names that clouds answer themselves, whatever address they give.
_METADATA_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
    }
)


class Target(msgspec.Struct, frozen=True):
    """Where a URL leads.

    host: for people and the Host header; IPv6 in brackets.  ascii_host: for DNS, TLS and policy: lower-case, IDNA,
    no brackets, no final dot.  address: the host when it is an address itself, canonical, else None.
    path_and_query: byte for byte as written (non-ASCII percent-encoded), beginning with ``/``; the fragment is gone.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    ascii_host: str
    path_and_query: str
    address: str | None = None

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"


def parse_target(url: Any, *, field: str = "url") -> Target:
    """Return what an http or https URL says; InputError for all that is not a plain one (see above).

    Refused: other schemes, user names and passwords, backslashes, white space, control characters, empty or
    non-canonical hosts, IPv6 zones, ports outside 1 to 65535, metadata services by name or literal address.
    """
    _check_text(url, field)
    match = _SHAPE.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in _DEFAULT_PORTS:
        begins = f"{scheme[:20]}://" if scheme else "no scheme"
        raise bad_url("The URL must begin with http:// or https://.", field, "http:// or https://", begins)
    if "@" in match["authority"]:
        raise bad_url("The URL must not hold a user name or password.", field, "no @ before the path", "@")
    host, port = _split_port(match["authority"], _DEFAULT_PORTS[scheme], field)
    ascii_host, address = read_host(host, field)
    if ascii_host in _METADATA_NAMES or (address is not None and _is_metadata(address)):
        raise bad_url("Cloud metadata services are never a target.", field, "another host", host[:60])
    return Target(
        cast("Literal['http', 'https']", scheme),
        f"[{ascii_host}]" if ":" in ascii_host else ascii_host,
        port,
        ascii_host,
        _path(match["rest"]),
        str(address) if address is not None else None,
    )


def _check_text(url: Any, field: str) -> None:
    if not isinstance(url, str) or not url:
        raise bad_url(
            "The URL is empty or not a string.", field, "string", "empty" if url == "" else type_name(url)
        )
    if len(url) > _LONGEST_URL:
        raise bad_url(
            f"The URL is longer than {_LONGEST_URL} characters.",
            field,
            f"at most {_LONGEST_URL} characters",
            f"{len(url)} characters",
        )
    if "\\" in url or not _is_visible(url):
        place = next(index for index, char in enumerate(url, 1) if char in "\\ " or not _is_visible(char))
        raise bad_url(
            "The URL holds a backslash, white space or a control character.",
            field,
            "none of them",
            f"one as character {place}",
        )


def _is_visible(url: str) -> bool:
    if url.isascii():
        return url.isprintable() and " " not in url
    # Unpaired surrogates, format characters (zero-width, direction marks) and white space of any alphabet.
    return not any(unicodedata.category(character)[0] in "CZ" for character in url)


def _split_port(authority: str, default: int, field: str) -> tuple[str, int]:
    bracket = authority.rfind("]")
    colon = authority.rfind(":")
    if colon <= bracket:
        return authority, default
    text = authority[colon + 1 :]
    if _PORT.fullmatch(text) is None or not 1 <= int(text) <= 65535:
        raise bad_url("The port must be a number from 1 to 65535.", field, "1 to 65535", text[:20] or "empty")
    return authority[:colon], int(text)


def _path(rest: str) -> str:
    if not rest.isascii():
        rest = "".join(
            char if char.isascii() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in rest
        )
    return rest if rest.startswith("/") else "/" + rest


# --- addresses ----------------------------------------------------------------------------------------------

_REFUSED: Final[tuple[tuple[str, str], ...]] = (
    # IANA IPv4 special-purpose registry, and multicast.
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "Azure's own"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    # IANA IPv6 special-purpose registry; narrower ranges first, because the first that fits gives the reason.
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4 in IPv6 (mapped)"),
    ("::ffff:0:0:0/96", "IPv4 in IPv6 (translated)"),
    ("::/96", "IPv4 in IPv6 (compatible)"),
    ("64:ff9b::/96", "IPv4 in IPv6 (NAT64)"),
    ("64:ff9b:1::/48", "IPv4 in IPv6 (local NAT64)"),
    ("100::/64", "discard"),
    ("2001::/32", "IPv4 in IPv6 (Teredo)"),
    ("2001:2::/48", "benchmarking"),
    ("2001:10::/28", "ORCHID"),
    ("2001:20::/28", "ORCHIDv2"),
    ("2001::/23", "reserved for protocols"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "IPv4 in IPv6 (6to4)"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)

# Whatever the operator allows: from here a receiver's URL would read the machine's own credentials.
_METADATA: Final[tuple[str, ...]] = (
    "169.254.169.0/24",  # AWS, Google, Azure, DigitalOcean, Oracle, OpenStack: .254; AWS services on its neighbours
    "169.254.170.0/24",  # AWS ECS (.2) and EKS (.23) task credentials
    "169.254.42.42/32",  # Scaleway
    "169.254.0.23/32",  # Tencent
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure wire server
    "192.0.0.192/32",  # Oracle
    "fd00:ec2::/32",  # AWS: ::254, ::23
    "fd20:ce::254/128",  # Google
    "fd00:42::42/128",  # Scaleway
    "fd00:c1::a9fe:a9fe/128",  # Oracle
    "fe80::a9fe:a9fe/128",  # OpenStack
)

_METADATA_REASON: Final = "cloud metadata, never allowed"
_NOT_GLOBAL: Final = "not handed out for public use"
_GLOBAL_V6: Final = IPv6Network("2000::/3")

# (first, last, reason) as integers: comparing those takes a tenth of the time of ``address in network``.
_Row = tuple[int, int, str]


def _rows(version: int, table: Iterable[tuple[str, str]]) -> tuple[_Row, ...]:
    networks = [(ip_network(text), reason) for text, reason in table]
    return tuple(
        (int(network.network_address), int(network.broadcast_address), reason)
        for network, reason in networks
        if network.version == version
    )


_REFUSED_ROWS: Final = {version: _rows(version, _REFUSED) for version in (4, 6)}
_METADATA_ROWS: Final = {
    version: _rows(version, [(text, _METADATA_REASON) for text in _METADATA]) for version in (4, 6)
}

# A node talks to some thousand addresses; hostile names that resolve to ever new ones are forgotten at once.
_REMEMBERED: Final = 8192


class AddressPolicy:
    """Which addresses this node may dial.

    allowed: ranges the operator opened; they lift every refusal but that of metadata services.
    """

    __slots__ = ("_allowed", "_known")

    def __init__(self, allowed: Iterable[Network | str] = ()) -> None:
        networks = [ip_network(network) if isinstance(network, str) else network for network in allowed]
        self._allowed = {
            version: tuple(
                (int(network.network_address), int(network.broadcast_address))
                for network in networks
                if network.version == version
            )
            for version in (4, 6)
        }
        self._known: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"AddressPolicy({len(self._allowed[4]) + len(self._allowed[6])} allowed ranges)"

    def check(self, ip: str, /) -> str | None:
        """Return None when the address may be dialled, else why not, for people.

        ip: as the resolver or the kernel spells it; what is no address in its canonical form is refused.
        """
        known = self._known
        try:
            return known[ip]
        except KeyError:
            pass
        if len(known) >= _REMEMBERED:
            known.clear()
        reason = known[ip] = self._judge(ip)
        return reason

    def _judge(self, ip: str) -> str | None:
        address = _read(ip)
        if address is None:
            return "not a plain IP address"
        if _is_metadata(address):
            return _METADATA_REASON
        for member in _with_embedded(address):
            reason = None if self._is_allowed(member) else _refusal(member)
            if reason is not None:
                return reason if member is address else f"{reason}, as {member} inside {address}"
        return None

    def _is_allowed(self, address: Address) -> bool:
        number = int(address)
        return any(first <= number <= last for first, last in self._allowed[address.version])


def how_to_allow(ip: str) -> str:
    """Return what tells an operator how to allow a refused address; an empty text for one that never is."""
    address = _read(ip)
    if address is None or _is_metadata(address):
        return ""
    return f" The operator allows it with --allow-network {address}/{address.max_prefixlen}."


def _read(ip: str) -> Address | None:
    try:
        if ":" not in ip:
            return IPv4Address(ip)
        return None if "%" in ip else IPv6Address(ip)
    except AddressValueError:
        return None


def _refusal(address: Address) -> str | None:
    number = int(address)
    for first, last, reason in _REFUSED_ROWS[address.version]:
        if first <= number <= last:
            return reason
    if address.version == 6 and address not in _GLOBAL_V6:
        return _NOT_GLOBAL
    return None


def _is_metadata(address: Address) -> bool:
    """The address, or one inside it by any reading, is a metadata service's."""
    for member in (*_with_embedded(address), *_local_nat64(address)):
        number = int(member)
        if any(first <= number <= last for first, last, _ in _METADATA_ROWS[member.version]):
            return True
    return False


def _with_embedded(address: Address) -> tuple[Address, ...]:
    """The address, then every IPv4 address that some transition mechanism would read out of it."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    low = number & 0xFFFF_FFFF
    top16, top32, top48, top96 = number >> 112, number >> 96, number >> 80, number >> 32
    inner: list[int] = []
    if top96 in _LOW_32_BITS or top48 == 0x0064_FF9B_0001:
        inner.append(low)
    if top16 == 0x2002:
        inner.append((number >> 80) & 0xFFFF_FFFF)
    elif top32 == 0x2001_0000:
        inner += [(number >> 64) & 0xFFFF_FFFF, low ^ 0xFFFF_FFFF]  # server, and client with its bits turned
    if (number >> 32) & 0xFDFF_FFFF == 0x0000_5EFE:  # ISATAP, RFC 5214: any prefix
        inner.append(low)
    return (address, *(IPv4Address(value) for value in dict.fromkeys(inner)))


# Prefixes of 96 bits: compatible, mapped, translated (RFC 2765), NAT64 (RFC 6052).
_LOW_32_BITS: Final = frozenset({0, 0xFFFF, 0xFFFF_0000, 0x0064_FF9B << 64})


def _local_nat64(address: Address) -> tuple[IPv4Address, ...]:
    """RFC 6052 section 2.2: with a prefix of 48, 56 or 64 bits, the IPv4 address lies around bits 64 to 71."""
    number = int(address)
    if address.version == 4 or number >> 80 != 0x0064_FF9B_0001:
        return ()
    of_48 = (((number >> 64) & 0xFFFF) << 16) | ((number >> 40) & 0xFFFF)
    of_56 = (((number >> 64) & 0xFF) << 24) | ((number >> 32) & 0xFF_FFFF)
    of_64 = (number >> 24) & 0xFFFF_FFFF
    return IPv4Address(of_48), IPv4Address(of_56), IPv4Address(of_64)
