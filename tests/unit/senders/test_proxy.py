"""The egress proxy: every connection goes through it, and no check is left to it (P11)."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
import trustme

from hookline.core.addresses import AddressPolicy
from hookline.model.states import AttemptOutcome as Is
from hookline.ports.sender import Answer, Outgoing, TlsOptions
from hookline.senders.dns import Resolver
from hookline.senders.http import HttpSender
from hookline.senders.proxy import EgressProxy, parse_proxy
from hookline.testing.proxy import ForwardProxy
from hookline.testing.receivers import Receiver, Reply

pytestmark = pytest.mark.asyncio

CA = trustme.CA()
TRUST = TlsOptions(ca_pem=CA.cert_pem.bytes().decode())
LOOPBACK = AddressPolicy(("127.0.0.0/8", "::1/128"))
NAMES = {
    "receiver.test": ["127.0.0.1"],
    "two.test": ["127.0.0.9", "127.0.0.1"],
    "inside.test": ["10.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
    "proxy.test": ["127.0.0.1"],
}


def look_up(host: str, *_: object, **__: object) -> list[Any]:
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in NAMES[host]]


async def post(url: str, proxy: EgressProxy, **options: Any) -> list[Answer]:
    """Two requests, one after the other."""
    sender = HttpSender(LOOPBACK, resolver=Resolver(getaddrinfo=look_up), proxy=proxy)
    try:
        return [await sender.send(Outgoing(url, body=b"{}", **options)) for _ in range(2)]
    finally:
        await sender.close()


def at(proxy: ForwardProxy) -> EgressProxy:
    return parse_proxy(f"http://proxy.test:{proxy.port}")


async def test_http_goes_through_a_tunnel_to_the_address_that_was_judged() -> None:
    """The name never reaches the proxy, so it cannot be resolved there to another address."""
    async with ForwardProxy() as proxy, Receiver() as receiver:
        answers = await post(f"http://receiver.test:{receiver.port}/in?a=%2f", at(proxy))
        asked = [first for first, _ in proxy.asked]

    assert [answer.outcome for answer in answers] == [Is.DELIVERED] * 2
    assert {answer.address for answer in answers} == {"127.0.0.1"}
    assert asked == [
        f"CONNECT 127.0.0.1:{receiver.port} HTTP/1.1"
    ]  # the second request used the connection again
    assert [request.target for request in receiver.received] == [b"/in?a=%2f"] * 2
    assert receiver.received[0].header("Host") == f"receiver.test:{receiver.port}"


async def test_https_is_verified_inside_the_tunnel_by_the_receivers_name() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("receiver.test").configure_cert(context)
    async with ForwardProxy() as proxy, Receiver(ssl_context=context) as receiver:
        good = await post(f"https://receiver.test:{receiver.port}/", at(proxy), tls=TRUST)
        other = await post(f"https://two.test:{receiver.port}/", at(proxy), tls=TRUST)
        untrusted = await post(f"https://receiver.test:{receiver.port}/", at(proxy))

    assert [answer.outcome for answer in (*good, *other, *untrusted)] == [
        *[Is.DELIVERED] * 2,
        *[Is.TLS_NAME] * 2,
        *[Is.TLS_FAILED] * 2,
    ]


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://inside.test/", Is.ADDRESS_REFUSED),
        ("http://10.0.0.1/", Is.ADDRESS_REFUSED),
        ("http://169.254.169.254/", Is.NOT_SENT),
        ("http://missing.test/", Is.DNS_NOT_FOUND),
    ],
)
async def test_what_the_guard_refuses_is_not_asked_of_the_proxy(url: str, outcome: Is) -> None:
    """P11: with a proxy as without one."""
    async with ForwardProxy() as proxy:
        answers = await post(url, at(proxy))

    assert [answer.outcome for answer in answers] == [outcome] * 2
    assert proxy.asked == []


async def test_a_redirect_passes_guard_and_proxy_again() -> None:
    async with ForwardProxy() as proxy, Receiver() as there:
        location = f"http://two.test:{there.port}/there"
        async with Receiver(default=Reply.redirect(location, 307)) as receiver:
            followed = await post(f"http://receiver.test:{receiver.port}/", at(proxy), max_redirects=1)
        async with Receiver(default=Reply.redirect("http://inside.test/", 307)) as receiver:
            refused = await post(f"http://receiver.test:{receiver.port}/", at(proxy), max_redirects=1)
        places = {first.split(" ")[1].split(":")[0] for first, _ in proxy.asked}

    assert [answer.outcome for answer in (*followed, *refused)] == [Is.DELIVERED] * 2 + [
        Is.ADDRESS_REFUSED
    ] * 2
    assert places <= {"127.0.0.1", "127.0.0.9"}


async def test_the_next_address_is_asked_for_when_the_proxy_does_not_reach_the_first() -> None:
    async with ForwardProxy() as proxy, Receiver() as receiver:
        proxy.answers[f"127.0.0.9:{receiver.port}"] = b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"
        answers = await post(f"http://two.test:{receiver.port}/", at(proxy))

    assert [answer.address for answer in answers] == ["127.0.0.1"] * 2


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Is.CONNECT_FAILED),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Is.ADDRESS_REFUSED),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Is.NOT_SENT),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", Is.NOT_SENT),
        (b"", Is.CONNECT_FAILED),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Is.CONNECT_FAILED),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 40_000, Is.NOT_SENT),
    ],
)
async def test_what_the_proxy_says_has_its_class(said: bytes, outcome: Is) -> None:
    """A proxy that does not serve us is our own trouble; one that refuses or misses the receiver counts."""
    async with ForwardProxy() as proxy, Receiver() as receiver:
        proxy.answers[f"127.0.0.1:{receiver.port}"] = said
        answers = await post(f"http://receiver.test:{receiver.port}/", at(proxy))

    assert [answer.outcome for answer in answers] == [outcome] * 2
    assert answers[0].error is not None
    assert receiver.count == 0


async def test_a_proxy_that_is_not_there_is_no_fault_of_the_receiver() -> None:
    async with Receiver() as receiver:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            proxy = EgressProxy("proxy.test", taken.getsockname()[1])
            (answer, _) = await post(f"http://receiver.test:{receiver.port}/", proxy)

    assert answer.outcome is Is.NOT_SENT
    assert "egress proxy" in str(answer.error)
    assert receiver.connections == 0


async def test_a_proxy_that_hangs_ends_with_the_connect_deadline() -> None:
    async with Receiver(is_silent=True) as silent:
        proxy = EgressProxy("proxy.test", silent.port)
        answers = await post("http://receiver.test:9/", proxy, connect_timeout_seconds=0.2)

    assert [answer.outcome for answer in answers] == [Is.TIMEOUT] * 2


@pytest.mark.parametrize("password", ["s3cret", "other"])
async def test_the_proxy_is_told_who_we_are(password: str) -> None:
    expected = "Basic b3BlcmF0b3I6czNjcmV0"  # operator:s3cret
    async with ForwardProxy(authorization=expected) as proxy, Receiver() as receiver:
        place = parse_proxy(f"http://operator:{password}@proxy.test:{proxy.port}")
        (answer, _) = await post(f"http://receiver.test:{receiver.port}/", place)

    assert answer.outcome is (Is.DELIVERED if password == "s3cret" else Is.NOT_SENT)
    assert password not in repr(place) + str(answer.error)
    assert all(request.header("proxy-authorization") is None for request in receiver.received)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://a:1",
        "http://a",
        "a:1",
        "http://:1",
        "http://a:1/x",
        "http://a:1?x",
        "socks5://a:1",
        "http://a:x",
    ],
)
async def test_a_url_that_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- urlsplit has words of its own
        parse_proxy(url)
    assert not url or url not in str(caught.value)
