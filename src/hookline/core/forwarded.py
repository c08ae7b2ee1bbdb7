"""Say whose request it is when proxies stand between.

``X-Forwarded-For`` is what anybody may write. It counts only when the peer is a proxy that the operator trusts, and
then from its right end: each trusted proxy appended the address that it saw, so the first one that is not a trusted
proxy is the caller, and whatever stands left of it is the caller's own invention.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Network = IPv4Network | IPv6Network

_MOST_HOPS: Final = 32
"""Proxies in a row; what stands further left is not looked at."""


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """Return the address of the caller.

    peer: of the connection.  forwarded: the values of X-Forwarded-For in order.  trusted: the operator's proxies. An
    entry that is no address ends the search at the last one that was.
    """
    address = _address(peer)
    if address is None or not _is_in(address, trusted):
        return peer
    entries = [entry.strip() for value in forwarded for entry in value.split(",")]
    for entry in reversed(entries[-_MOST_HOPS:]):
        found = _address(entry)
        if found is None:
            break
        address = found
        if not _is_in(address, trusted):
            break
    return str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
