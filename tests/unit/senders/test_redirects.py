"""Redirects: as many as allowed, the same request each time, no credentials for strangers (P8, P11)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from hookline.model.states import AttemptOutcome as Is
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from hookline.testing.receivers import Received

pytestmark = pytest.mark.asyncio

HEADERS = (("Authorization", "Bearer s3cret"), ("X-Own", "1"), ("webhook-id", "evt_1"))


def _origin(receiver: Receiver) -> str:
    return receiver.url.rsplit("/", 1)[0]


def _first(receiver: Receiver) -> str:
    return _origin(receiver) + "/hop/0"


def _chain(length: int, status: int = 307) -> Any:
    """A receiver that redirects so often to itself, then accepts."""

    def answer(request: Received) -> Reply:
        number = int(request.target.rsplit(b"/", 1)[-1])
        if number >= length:
            return Reply(status=200, body=b"arrived")
        return Reply(status=status, headers=(("Location", f"/hop/{number + 1}"),))

    return answer


@pytest.mark.parametrize(("hops", "outcome"), [(0, Is.DELIVERED), (2, Is.DELIVERED), (3, Is.REDIRECT)])
@pytest.mark.parametrize("status", [307, 308])
async def test_two_redirects_are_followed_and_a_third_is_an_error(
    send: Any, hops: int, outcome: Is, status: int
) -> None:
    """PB-9: method and body stay what they were at every hop."""
    async with Receiver(default=_chain(hops, status)) as receiver:
        answer = await send(_first(receiver), max_redirects=2)

    assert answer.outcome is outcome
    assert [request.target for request in receiver.received] == [
        b"/hop/%d" % number for number in range(min(hops, 2) + 1)
    ]
    assert {(request.method, request.body) for request in receiver.received} == {("POST", b'{"a":1}')}
    if outcome is Is.REDIRECT:
        assert answer.location == "/hop/3"
        assert "redirect number 3" in answer.error
        assert "/hop/3" in answer.error


@pytest.mark.parametrize(
    ("status", "why"),
    [(300, "names no one place"), (301, "GET"), (302, "GET"), (303, "GET"), (304, "no one place")],
)
async def test_a_post_that_would_become_a_get_is_a_failure(send: Any, status: int, why: str) -> None:
    """PB-X2: never a silent success without a body."""
    async with Receiver() as elsewhere, Receiver(default=Reply.redirect(elsewhere.url, status)) as receiver:
        answer = await send(receiver.url, max_redirects=2)

    assert answer.outcome is Is.REDIRECT
    assert why in answer.error
    assert answer.location == elsewhere.url
    assert elsewhere.connections == 0


async def test_another_origin_gets_no_credentials(send: Any) -> None:
    """The signature and the body go on, what says who we are does not."""
    async with Receiver() as elsewhere, Receiver(default=Reply.redirect(elsewhere.url, 307)) as receiver:
        answer = await send(
            receiver.url, max_redirects=2, headers=HEADERS, credentials=frozenset({"authorization", "x-own"})
        )

    (hop,) = elsewhere.received
    assert answer.outcome is Is.DELIVERED
    assert hop.header("authorization") is None
    assert hop.header("x-own") is None
    assert hop.header("webhook-id") == "evt_1"
    assert hop.header("host") == _origin(elsewhere).removeprefix("http://")
    assert receiver.received[0].header("authorization") == "Bearer s3cret"


async def test_the_same_origin_keeps_its_credentials(send: Any) -> None:
    async with Receiver(default=_chain(1)) as receiver:
        await send(
            _first(receiver), max_redirects=2, headers=HEADERS, credentials=frozenset({"authorization"})
        )

    assert [request.header("authorization") for request in receiver.received] == ["Bearer s3cret"] * 2


async def test_a_secret_in_the_query_stays_with_its_origin(send: Any) -> None:
    """PB-8, PB-9: the same origin gets it once at every hop; a stranger never, though the Location repeats it."""
    async with Receiver() as elsewhere:

        def answer(request: Received) -> Reply:
            if b"/hop/0" in request.target:
                return Reply.redirect("/hop/1?a=%2f&secret=s%2f1&b=2", 307)
            return Reply.redirect(f"{_origin(elsewhere)}/there?a=%2f&se%63ret=s/1&b=2", 308)

        async with Receiver(default=answer) as receiver:
            found = await send(_first(receiver), max_redirects=2, query_secret="secret=s%2f1")

    assert found.outcome is Is.DELIVERED
    assert [request.target for request in receiver.received] == [
        b"/hop/0?secret=s%2f1",
        b"/hop/1?a=%2f&b=2&secret=s%2f1",
    ]
    assert [request.target for request in elsewhere.received] == [b"/there?a=%2f&b=2"]


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://user:pw@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://127.0.0.1\\@evil.example/",
        "//0x7f.1/",
        "http://",
    ],
)
async def test_a_redirect_cannot_lead_where_a_delivery_may_not_go(
    send: Any, location: str, dialled: list[tuple[str, int]]
) -> None:
    """P11: every hop passes the guard, whatever the spelling."""
    async with Receiver(default=Reply.redirect(location, 307)) as receiver:
        answer = await send(receiver.url, max_redirects=2)
        port = int(_origin(receiver).rsplit(":", 1)[1])

    assert answer.outcome in {Is.REDIRECT, Is.ADDRESS_REFUSED}
    assert location.replace("user:pw", "[redacted]").replace("127.0.0.1\\", "[redacted]") in answer.error
    assert dialled == [("127.0.0.1", port)]


async def test_all_hops_share_one_deadline(send: Any) -> None:
    """P9."""

    def slow(request: Received) -> Reply:
        number = int(request.target.rsplit(b"/", 1)[-1])
        return Reply(status=307, headers=(("Location", f"/hop/{number + 1}"),), delay_seconds=0.4)

    started = time.monotonic()
    async with Receiver(default=slow) as receiver:
        answer = await send(_first(receiver), max_redirects=10, timeout_seconds=1.0)

    assert answer.outcome is Is.TIMEOUT
    assert 0.9 < time.monotonic() - started < 1.6
    assert answer.duration_ms >= 900
    assert len(receiver.received) == 3


async def test_a_redirect_without_a_location_is_an_answer_like_any_other(send: Any) -> None:
    async with Receiver(default=Reply(status=307)) as receiver:
        answer = await send(receiver.url, max_redirects=2)

    assert (answer.outcome, answer.status, answer.location) == (Is.REDIRECT, 307, None)
    assert answer.error == "The receiver answered 307: it does not say where to."


async def test_without_redirects_the_owner_is_told_where_it_would_have_gone(send: Any) -> None:
    """CONTRACT section 5: 0 by default, and the ``Location`` is shown."""
    async with Receiver(default=Reply.redirect("/there", 308)) as receiver:
        answer = await send(receiver.url)

    assert (answer.outcome, answer.location) == (Is.REDIRECT, "/there")
    assert answer.error == (
        "The receiver answered 308 and pointed to /there, which was not followed: redirects are not followed."
    )


@pytest.mark.parametrize(("hops", "via"), [(1, "a redirect to "), (2, "2 redirects, the last to ")])
async def test_what_fails_behind_a_redirect_says_where(send: Any, hops: int, via: str) -> None:
    """An owner who sees a refusal of another host must see how the delivery came there."""

    def answer(request: Received) -> Reply:
        number = int(request.target.partition(b"?")[0].rsplit(b"/", 1)[-1])
        if number == hops:
            return Reply(status=503)
        return Reply(status=307, headers=(("Location", f"/hop/{number + 1}?token=hunter2"),))

    async with Receiver(default=answer) as receiver:
        found = await send(_first(receiver), max_redirects=2)
        place = f"{_origin(receiver)}/hop/{hops}?token=[redacted]"

    assert (found.outcome, found.status) == (Is.HTTP_ERROR, 503)
    assert found.error == f"After {via}{place}: The receiver answered 503."


async def test_secrets_in_a_location_are_not_shown(send: Any) -> None:
    """PB-8, P13."""
    async with Receiver(default=Reply.redirect("/there?secret=hunter2", 302)) as receiver:
        answer = await send(receiver.url, max_redirects=2)

    assert "hunter2" not in answer.error
