"""Files that a user names by URL come in through the one dial site, within bounds (P9, P11)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from hookline.model.states import AttemptOutcome as Is
from hookline.testing.receivers import Receiver, Reply

if TYPE_CHECKING:
    from hookline.ports.sender import Answer
    from hookline.senders.http import HttpSender

pytestmark = pytest.mark.asyncio

FILE = bytes(range(256)) * 2_000
"""Half a megabyte: far more than is kept of an answer to a delivery."""


async def fetched(sender: HttpSender, url: str, **options: Any) -> tuple[Answer, bytes]:
    file = io.BytesIO()
    bounds: dict[str, Any] = {"most_bytes": 1 << 20, "timeout_seconds": 10.0, **options}
    answer = await sender.fetch(url, file, **bounds)
    return answer, file.getvalue()


async def test_a_file_arrives_whole(sender: HttpSender) -> None:
    async with Receiver(default=Reply(body=FILE)) as server:
        answer, file = await fetched(sender, server.url)

    assert answer.outcome is Is.DELIVERED
    assert file == FILE
    assert answer.body == b""
    assert [(request.method, request.body) for request in server.received] == [("GET", b"")]


async def test_a_file_that_is_too_large_is_cut_off(sender: HttpSender) -> None:
    async with Receiver(default=Reply(body=FILE)) as server:
        answer, file = await fetched(sender, server.url, most_bytes=100_000)

    assert answer.outcome is Is.BAD_RESPONSE
    assert answer.error == "The file was not taken: it is larger than 100000 bytes."
    assert len(file) <= 100_000


async def test_an_endless_file_is_cut_off(sender: HttpSender) -> None:
    async with Receiver(default=Reply.endless()) as server:
        answer, _ = await fetched(sender, server.url, most_bytes=300_000)

    assert answer.outcome is Is.BAD_RESPONSE


@pytest.mark.parametrize("reply", [Reply.hang(), Reply.hang_in_body(), Reply.drip()])
async def test_a_server_that_hangs_costs_the_time_limit_and_no_more(sender: HttpSender, reply: Reply) -> None:
    async with Receiver(default=reply) as server:
        answer, _ = await fetched(sender, server.url, timeout_seconds=0.3)

    assert answer.outcome is Is.TIMEOUT


async def test_a_file_that_breaks_off_is_none(sender: HttpSender) -> None:
    async with Receiver(default=Reply.break_in_body()) as server:
        answer, _ = await fetched(sender, server.url)

    assert answer.outcome is Is.CONNECTION_LOST


async def test_an_answer_that_is_no_file_writes_nothing(sender: HttpSender) -> None:
    async with Receiver(default=Reply(status=404, body=b"no such file")) as server:
        answer, file = await fetched(sender, server.url)

    assert (answer.outcome, answer.error) == (Is.HTTP_ERROR, "The receiver answered 404.")
    assert file == b""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_lead_to_the_file(sender: HttpSender, status: int) -> None:
    async with (
        Receiver(default=Reply(body=FILE)) as store,
        Receiver(default=Reply.redirect(store.url, status)) as server,
    ):
        answer, file = await fetched(sender, server.url)

    assert answer.outcome is Is.DELIVERED
    assert file == FILE


@pytest.mark.parametrize(
    "location", ["http://10.0.0.1/", "http://169.254.169.254/latest/", "file:///etc/passwd"]
)
async def test_neither_a_url_nor_a_redirect_leads_inside(
    sender: HttpSender, location: str, dialled: list[tuple[str, int]]
) -> None:
    """P11: every hop passes the guard."""
    async with Receiver(default=Reply.redirect(location, 302)) as server:
        direct, _ = await fetched(sender, location)
        led, _ = await fetched(sender, server.url)

    assert direct.outcome in (Is.ADDRESS_REFUSED, Is.NOT_SENT)
    assert led.outcome in (Is.ADDRESS_REFUSED, Is.REDIRECT)
    assert all(address.startswith("127.") for address, _ in dialled)


async def test_a_disk_that_is_full_is_said_and_not_raised(sender: HttpSender) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    async with Receiver(default=Reply(body=FILE)) as server:
        answer = await sender.fetch(server.url, Full(), most_bytes=1 << 20, timeout_seconds=10.0)

    assert answer.outcome is Is.BAD_RESPONSE
    assert "No space left" in (answer.error or "")
