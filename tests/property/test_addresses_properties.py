# ruff: noqa: RUF001 -- characters that look alike are what is tested

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.core.addresses import AddressPolicy, parse_target
from hookline.errors import InputError

POLICY = AddressPolicy()
QUICK = settings(max_examples=300, deadline=None)

ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
ipv6 = st.integers(0, 2**128 - 1).map(IPv6Address)
# Hosts that look like numbers in one way or another.
numbers = st.integers(0, 2**33).flatmap(
    lambda n: st.sampled_from([str(n), hex(n), f"0{n:o}", f"00{n}", f"{n:#X}"])
)
small = st.integers(0, 300).flatmap(lambda n: st.sampled_from([str(n), hex(n), f"0{n:o}", f"{n:03d}"]))
hosts = numbers | st.lists(small | numbers, min_size=1, max_size=5).map(".".join)
messy = st.text("0123456789.xXaf%@:[]/\\?#-_①。１ ü\t", max_size=24)


@QUICK
@given(address=ipv4 | ipv6)
def test_what_python_calls_private_is_refused_too(address: IPv4Address | IPv6Address) -> None:
    """P11: our table is the stricter one."""
    if POLICY.check(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@QUICK
@given(inner=ipv4, high=st.integers(0, 2**64 - 1))
def test_no_embedding_reaches_what_is_refused_itself(inner: IPv4Address, high: int) -> None:
    """P11: mapped, compatible, translated, NAT64, 6to4, Teredo, with the embeddings opened by the operator."""
    opened = AddressPolicy(["::/0"])
    low = int(inner)
    embedded = [
        low,
        0xFFFF << 32 | low,
        0xFFFF << 48 | low,
        0x64_FF9B << 96 | low,
        0x2002 << 112 | low << 80 | high,
        0x2001 << 112 | low << 64 | high & 0xFFFF_FFFF,
        0x2001 << 112 | 0x0808_0808 << 64 | low ^ 0xFFFF_FFFF,
    ]

    if POLICY.check(str(inner)) is not None:
        assert all(opened.check(str(IPv6Address(number))) is not None for number in embedded)


@QUICK
@given(host=hosts)
def test_a_host_that_getaddrinfo_reads_as_a_number_is_canonical_or_refused(host: str) -> None:
    """PROMISES section 5."""
    try:
        target = parse_target(f"http://{host}/")
    except InputError:
        return

    assert target.address == host == str(ip_address(host))
    with suppress(OSError):
        packed = socket.inet_aton(host)
        assert IPv4Address(packed) == IPv4Address(target.address)


@QUICK
@given(text=messy)
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    for url in (text, f"http://{text}", f"http://example.com{text}"):
        with suppress(InputError):
            target = parse_target(url)
            assert target.ascii_host.isascii()
            assert target.path_and_query.isascii()
            assert target.path_and_query.startswith("/")
            assert not set(target.ascii_host) & set("/\\@?#% \t")


@QUICK
@given(network=st.integers(0, 2**32 - 1), bits=st.integers(1, 32), address=ipv4)
def test_an_allowed_range_opens_exactly_itself(network: int, bits: int, address: IPv4Address) -> None:
    """P11."""
    allowed = IPv4Network((network >> (32 - bits) << (32 - bits), bits))
    answer = AddressPolicy([allowed]).check(str(address))
    plain = POLICY.check(str(address))

    assert answer == (plain if address not in allowed or "metadata" in (plain or "") else None)
