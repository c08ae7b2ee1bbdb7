"""Whose request it is behind proxies: what the operator's own say, and never what a caller claims."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.forwarded import client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's claim
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the left one is the caller's invention
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:80"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_caller_is_the_first_address_that_is_no_proxy_of_ours(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == address


def test_nobody_is_believed_by_default() -> None:
    assert client_address("10.0.0.1", ["198.51.100.1"], []) == "10.0.0.1"


@given(forwarded=st.lists(st.text(max_size=30), max_size=4))
def test_any_header_gives_an_address(forwarded: list[str]) -> None:
    assert client_address("10.0.0.1", forwarded, TRUSTED)
