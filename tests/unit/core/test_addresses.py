# ruff: noqa: RUF001 -- characters that look alike are what is tested

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from hookline.core.addresses import AddressPolicy, how_to_allow, parse_target
from hookline.core.hosts import read_host
from hookline.errors import InputError

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
]
PUBLIC += [
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "192.0.1.1",
    "169.253.255.255",
    "11.0.0.1",
    "128.0.0.1",
]
PUBLIC += [
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2a00:1450::1",
    "2620:4f:7fff::1",
    "3ffe::1",
]

REFUSED = {
    "this network": ["0.0.0.0", "0.1.2.3", "0.255.255.255"],
    "private": [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
    ],
    "CGNAT": ["100.64.0.1", "100.127.255.255"],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"],
    "protocols": [
        "192.0.0.1",
        "192.0.0.8",
        "192.0.0.170",
        "2001:1::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:1ff::1",
    ],
    "documentation": ["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "benchmarking": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "6to4": ["192.88.99.1", "2002:808:808::1", "2002:7f00:1::1", "2002:a00:1::"],
    "AS112": ["192.31.196.1", "192.175.48.1", "2620:4f:8000::1"],
    "AMT": ["192.52.193.1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff00::1", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.254", "255.255.255.255"],
    "unspecified": ["::"],
    "mapped": [
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.0.0.1",
        "0:0:0:0:0:ffff:8.8.8.8",
    ],
    "translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "compatible": ["::127.0.0.1", "::8.8.8.8", "::10.0.0.1", "::2"],
    "NAT64": ["64:ff9b::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "64:ff9b:1:ffff::1"],
    "Teredo": ["2001::1", "2001:0:808:808::1", "2001:0:ffff:ffff::"],
    "ORCHID": ["2001:10::1", "2001:2f::1"],
    "discard": ["100::1"],
    "unique local": ["fc00::1", "fd12:3456::1", "fdff:ffff::1"],
    "site-local": ["fec0::1", "feff::1"],
    "segment routing": ["5f00::1"],
    "not handed out": ["4000::1", "8000::1", "100:0:0:1::1", "1::1", "fe00::1", "200::1"],
    "127.0.0.1 inside": ["2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:7f00:1"],
    "not a plain": [
        "",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "fe80::1%eth0",
        "1.2.3.4 ",
        "[::1]",
        "::ffff:1.2.3",
        "1.2.3.4.5",
        "1.2.3.4/32",
        "١٢٧.0.0.1",
    ],
}

METADATA = [
    "169.254.169.254",
    "169.254.169.253",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.42.42",
    "169.254.0.23",
]
METADATA += [
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
]
METADATA += [
    "fd00:42::42",
    "fe80::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
]
METADATA += [
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::",
]
METADATA += ["2001:0:808:808:0:0:5601:5601", "2a00::5efe:169.254.169.254", "64:ff9b::100.100.100.200"]
METADATA += ["64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0"]


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses_may_be_dialled(ip: str) -> None:
    """P11."""
    assert AddressPolicy().check(ip) is None


@pytest.mark.parametrize(("reason", "ip"), [(reason, ip) for reason, ips in REFUSED.items() for ip in ips])
def test_every_other_range_is_refused_with_its_reason(reason: str, ip: str) -> None:
    """P11, PROMISES section 5: no is_global."""
    answer = AddressPolicy().check(ip)

    assert answer is not None
    assert reason in answer


@pytest.mark.parametrize("ip", METADATA)
def test_metadata_addresses_are_refused_whatever_is_allowed(ip: str) -> None:
    """CONTRACT section 1: in every embedding, even with everything open."""
    assert AddressPolicy().check(ip) == "cloud metadata, never allowed"
    assert AddressPolicy(["0.0.0.0/0", "::/0"]).check(ip) == "cloud metadata, never allowed"
    assert AddressPolicy([f"{ip}/{128 if ':' in ip else 32}"]).check(ip) == "cloud metadata, never allowed"


def test_an_operator_opens_what_is_named_and_nothing_beside_it() -> None:
    """P11."""
    policy = AddressPolicy((ip_network("127.0.0.0/8"), ip_network("10.1.0.0/16"), "fd12::/16"))

    assert [policy.check(ip) for ip in ("127.0.0.1", "127.9.9.9", "10.1.2.3", "fd12::1")] == [None] * 4
    assert all(
        policy.check(ip) for ip in ("10.2.0.1", "::1", "fd13::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
    )


def test_an_opened_embedding_still_judges_what_is_inside() -> None:
    """P11: a NAT64 gateway must not be a way around."""
    policy = AddressPolicy(["64:ff9b::/96", "::ffff:0:0/96"])
    both = AddressPolicy(["64:ff9b::/96", "10.0.0.0/8"])

    assert policy.check("64:ff9b::8.8.8.8") is None
    assert policy.check("::ffff:8.8.8.8") is None
    assert policy.check("64:ff9b::10.0.0.1") == "private, as 10.0.0.1 inside 64:ff9b::a00:1"
    mapped = ip_address("::ffff:127.0.0.1")  # Python 3.13 spells it in another way than 3.12
    assert policy.check(str(mapped)) == f"loopback, as 127.0.0.1 inside {mapped}"
    assert both.check("64:ff9b::10.0.0.1") is None


def test_answers_are_remembered_and_a_flood_is_forgotten() -> None:
    policy = AddressPolicy()
    for number in range(20_000):
        assert policy.check(f"8.{number >> 8 & 255}.{number & 255}.1") is None

    assert len(policy._known) <= 8192
    assert policy.check("127.0.0.1") == policy.check("127.0.0.1") == "loopback"
    assert repr(AddressPolicy(["127.0.0.0/8"])) == "AddressPolicy(1 allowed ranges)"


SPELLINGS = [
    # Every spelling of 127.0.0.1 that getaddrinfo, a browser or a lax parser understands.
    "0x7f.1",
    "0x7F.0x0.0x0.0x1",
    "0x7f000001",
    "0x7f.0.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "127.0.0.001",
    "127.0.0.1.",
    "127.0.0.0x1",
    "0",
    "0.0",
    "00.0.0.0",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.256",
    "4294967296",
    "0x",
    "0x1.example.0x2",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "١٢٧.٠.٠.١",
    "𝟙𝟚𝟟.0.0.1",
    "%31%32%37.0.0.1",
    "127.0.0.1%00",
    "127%2e0.0.1",
    "localhost%00.example.com",
    "ⓛocalhost",
    "ﬁle.example",
    "local\u00adhost",
    "local\u200bhost",
    "\u202ehost",
]


@pytest.mark.parametrize(
    ("url", "expected", "received"),
    [
        ("", "string", "empty"),
        (7, "string", "number"),
        ("ftp://example.com/", "http:// or https://", "ftp://"),
        ("example.com/hook", "http:// or https://", "no scheme"),
        ("https://user:pw@example.com/", "no @ before the path", "@"),
        ("https://example.com:99999/", "1 to 65535", "99999"),
        ("https://exa mple.com/", "none of them", "one as character 12"),
        ("https:///x", "letters, digits, hyphens and dots", "empty"),
        ("https://127.1/", "such as 203.0.113.7", "127.1"),
        ("https://[::1/", "IPv6 address in brackets", "[:"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: object, expected: str, received: str) -> None:
    """AF-5: a person can mend it without guessing; a password in it is never repeated."""
    with pytest.raises(InputError) as caught:
        parse_target(url)

    assert (caught.value.expected, caught.value.received) == (expected, received)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("host", SPELLINGS)
def test_another_spelling_of_an_address_is_refused(host: str) -> None:
    """P11, PROMISES section 5: parse once, refuse what others would expand."""
    for url in (f"http://{host}/", f"https://{host}:8443/x?y"):
        with pytest.raises(InputError) as caught:
            parse_target(url)
        assert (caught.value.field, caught.value.code) == ("url", "INVALID_URL")


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        "example.com",
        "//example.com/",
        "http:/example.com",
        "http:example.com",
        "http://",
        "http:///path",
        "http://?q",
        "http://#f",
        "http://:80/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "javascript:alert(1)",
        "ws://example.com/",
        "http+unix://x/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://@example.com/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1:80@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http:\\\\example.com/",
        "http://example.com/a\\b",
        "http://exa mple.com/",
        "http://example.com/a b",
        " http://example.com/",
        "http://example.com/\n",
        "http://example.com/\r\nHost: x",
        "http://example.com/\t",
        "http://example.com/\x00",
        "http://example.com/\x7f",
        "http://example.com/\u00a0",
        "http://example.com/\u2028",
        "http://example.com/\ud800",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:/",
        "http://example.com:-1/",
        "http://example.com:+80/",
        "http://example.com:80a/",
        "http://example.com:8 0/",
        "http://example.com:８０/",
        "http://example.com:080000/",
        "http://[::1",
        "http://::1/",
        "http://[]/",
        "http://[::1]x/",
        "http://[::1]:x/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%25eth0]/",
        "http://[::1.2.3]/",
        "http://[127.0.0.1]/",
        "http://[v1.x]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/latest/",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata/",
        "http://a..b/",
        "http://.example.com/",
        "http://example.com../",
        "http://-a.example/",
        "http://a-.example/",
        "http://a,b/",
        "http://a*b/",
        "http://a'b/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://☃.net/",
        "http://example.com/" + "a" * 4096,
    ],
)
def test_what_is_not_a_plain_url_is_refused(url: object) -> None:
    """P11: user names, backslashes, control characters, zones, bad ports, other schemes."""
    with pytest.raises(InputError) as caught:
        parse_target(url, field="webhook.url")

    assert caught.value.field == "webhook.url"


@pytest.mark.parametrize(
    ("url", "scheme", "authority", "ascii_host", "port", "path"),
    [
        ("http://example.com", "http", "example.com", "example.com", 80, "/"),
        ("HTTPS://EXAMPLE.com/", "https", "example.com", "example.com", 443, "/"),
        ("https://example.com:443/x", "https", "example.com", "example.com", 443, "/x"),
        ("http://example.com:443/x", "http", "example.com:443", "example.com", 443, "/x"),
        ("https://example.com.:8443?q", "https", "example.com:8443", "example.com", 8443, "/?q"),
        ("http://a_b.example/", "http", "a_b.example", "a_b.example", 80, "/"),
        ("http://localhost:3000/hook", "http", "localhost:3000", "localhost", 3000, "/hook"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", "xn--bcher-kva.example", 80, "/"),
        ("http://BÜCHER.example/", "http", "xn--bcher-kva.example", "xn--bcher-kva.example", 80, "/"),
        ("http://例え.jp/", "http", "xn--r8jz45g.jp", "xn--r8jz45g.jp", 80, "/"),
        ("http://93.184.216.34/", "http", "93.184.216.34", "93.184.216.34", 80, "/"),
        ("http://1.2.3.example/", "http", "1.2.3.example", "1.2.3.example", 80, "/"),
        ("http://0x7f.example/", "http", "0x7f.example", "0x7f.example", 80, "/"),
        (
            "http://[2606:4700:0:0::1111]:8080/",
            "http",
            "[2606:4700::1111]:8080",
            "2606:4700::1111",
            8080,
            "/",
        ),
    ],
)
def test_a_plain_url_is_read_once(
    url: str, scheme: str, authority: str, ascii_host: str, port: int, path: str
) -> None:
    """P11."""
    target = parse_target(url)

    assert (target.scheme, target.authority, target.ascii_host, target.port) == (
        scheme,
        authority,
        ascii_host,
        port,
    )
    assert target.path_and_query == path


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/webhook?secret=MY_SECRET_KEY", "/webhook?secret=MY_SECRET_KEY"),
        ("/a%2fb/../c//d;e?x=%20+&&=&y=a%2Bb?/", "/a%2fb/../c//d;e?x=%20+&&=&y=a%2Bb?/"),
        ("/%zz%", "/%zz%"),
        ("/'\"<>{}|^`", "/'\"<>{}|^`"),
        ("/a#fragment?x", "/a"),
        ("/ü?ö=%C3%BC", "/%C3%BC?%C3%B6=%C3%BC"),
        ("/@user:80", "/@user:80"),
    ],
)
def test_path_and_query_go_out_byte_for_byte(written: str, sent: str) -> None:
    """PB-8: no re-encoding, order kept."""
    assert parse_target(f"http://example.com{written}").path_and_query == sent


def test_a_literal_address_is_known_before_any_lookup() -> None:
    """PROMISES section 5: a guard in the resolver alone misses these."""
    assert parse_target("http://10.0.0.1/").address == "10.0.0.1"
    assert parse_target("http://[::0001]/").address == "::1"
    assert parse_target("http://example.com/").address is None


@pytest.mark.parametrize(
    ("ip", "said"),
    [
        ("127.0.0.1", " The operator allows it with --allow-network 127.0.0.1/32."),
        ("10.1.2.3", " The operator allows it with --allow-network 10.1.2.3/32."),
        ("fd00::1", " The operator allows it with --allow-network fd00::1/128."),
        ("169.254.169.254", ""),
        ("example.com", ""),
    ],
)
def test_a_refusal_says_how_to_allow_an_address_unless_it_never_is(ip: str, said: str) -> None:
    """P11: a cloud's metadata address is never allowed."""
    assert how_to_allow(ip) == said


@pytest.mark.parametrize(
    ("url", "expected", "received"),
    [
        ("", "string", "empty"),
        (None, "string", "null"),
        (7, "string", "number"),
        ("http://a.test/" + "x" * 4083, "at most 4096 characters", "4097 characters"),
        ("http://a.test/a b", "none of them", "one as character 16"),
        ("http://a\\b.test/", "none of them", "one as character 9"),
        ("http://a.test/\u200b", "none of them", "one as character 15"),
        ("http://\xa0.test/", "none of them", "one as character 8"),
        ("ftp://a.test/", "http:// or https://", "ftp://"),
        ("a.test/hook", "http:// or https://", "no scheme"),
        ("http://user@a.test/", "no @ before the path", "@"),
        ("http://a.test:0/", "1 to 65535", "0"),
        ("http://a.test:65536/", "1 to 65535", "65536"),
        ("http://a.test:/", "1 to 65535", "empty"),
        ("http://a\u3002test/", "ASCII dots", "a\u3002test"),
        ("http:///hook", "letters, digits, hyphens and dots", "empty"),
        ("http://[::1%25eth0]/", "no zone", "[::1%25eth0]"),
        ("http://[::\u0661]/", "IPv6 address in brackets", "[::\u0661]"),
        ("http://[::1]x/", "IPv6 address in brackets", "[::1]x"),
        ("http://169.254.169.254/", "another host", "169.254.169.254"),
    ],
)
def test_a_refusal_says_what_was_wanted_and_what_came(url: object, expected: str, received: str) -> None:
    """P11, AF-5."""
    with pytest.raises(InputError) as caught:
        parse_target(url)

    assert (caught.value.expected, caught.value.received) == (expected, received)


def test_what_is_just_allowed_is_a_target() -> None:
    longest_name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

    assert parse_target("http://a.test/" + "x" * 4082).port == 80
    assert (parse_target("http://a.test:1/").port, parse_target("http://a.test:65535/").port) == (1, 65535)
    assert len(parse_target(f"http://{longest_name}/").ascii_host) == 253
    with pytest.raises(InputError):
        parse_target(f"http://{longest_name}d/")


def test_a_policy_shows_how_much_is_allowed() -> None:
    policy = AddressPolicy(["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"])

    assert repr(policy) == "AddressPolicy(3 allowed ranges)"


@pytest.mark.parametrize("host", ["[::1x", "[::1", "[", "[]", "[::\u0661]", "[::ffff:1.2.3.\u0664]"])
def test_an_ipv6_host_ends_with_its_bracket_and_is_ascii(host: str) -> None:
    with pytest.raises(InputError) as caught:
        read_host(host, "url")

    assert caught.value.expected == "IPv6 address in brackets"
