"""An answer goes out with one write where the server can, and only when its headers are nothing but headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hookline.api.connection import WHOLE
from hookline.api.errors import Answer
from hookline.api.front import Front, HotRoute

if TYPE_CHECKING:
    from hookline.api.inbound import Inbound

pytestmark = pytest.mark.asyncio


class Caller:
    """Takes an answer either way.  whole: at once; None where the server cannot."""

    def __init__(self) -> None:
        self.whole: list[tuple[int, bytes, bytes]] = []
        self.messages: list[dict[str, Any]] = []

    async def ask(self, answer: Answer, *, can_write_whole: bool = True) -> None:
        async def handler(_: Inbound) -> Answer:
            return answer

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def nothing(*_: Any) -> None: ...

        async def send(message: dict[str, Any]) -> None:
            self.messages.append(message)

        def write(*parts: Any) -> bool:
            self.whole.append(parts)
            return True

        scope = {"type": "http", "method": "POST", "path": "/hot", "headers": []}
        front = Front(nothing, (HotRoute(method="POST", path="/hot", handler=handler),))
        await front(scope | ({WHOLE: write} if can_write_whole else {}), receive, send)


async def test_a_plain_answer_is_written_at_once_with_every_header_on_its_line() -> None:
    caller = Caller()
    await caller.ask(Answer(202, b'{"id":1}', ((b"location", b"/x"), (b"retry-after", b"1"))))

    [(status, head, body)] = caller.whole
    assert (status, body, caller.messages) == (202, b'{"id":1}', [])
    assert head.split(b"\r\n") == [
        b"content-type: application/json",
        b"content-length: 8",
        b"cache-control: no-store",
        b"x-content-type-options: nosniff",
        b"referrer-policy: no-referrer",
        b"location: /x",
        b"retry-after: 1",
        b"",
    ]


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"1\r\ny: 2"),
        (b"x", b"1\n"),
        (b"x", b"1\r"),
        (b"x", b"\0"),
        (b"x y", b"1"),
        (b"", b"1"),
        (b"x\r\ny", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"content-length", b"5"),
        (b"connection", b"close"),
    ],
)
async def test_what_is_more_than_a_header_is_left_to_the_server_to_refuse(
    header: tuple[bytes, bytes],
) -> None:
    caller = Caller()
    await caller.ask(Answer(200, b"{}", (header,)))

    assert caller.whole == []
    assert [message["type"] for message in caller.messages] == ["http.response.start", "http.response.body"]


async def test_a_content_type_cannot_hold_a_second_header() -> None:
    caller = Caller()
    await caller.ask(Answer(200, b"{}", content_type=b"text/plain\r\nx: y"))

    assert caller.whole == []


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_goes_the_servers_way(status: int) -> None:
    caller = Caller()
    await caller.ask(Answer(status, b""))

    assert caller.whole == []
    assert len(caller.messages) == 2


async def test_without_a_server_of_ours_an_answer_goes_out_as_messages() -> None:
    caller = Caller()
    await caller.ask(Answer(202, b"{}"), can_write_whole=False)

    assert [message["type"] for message in caller.messages] == ["http.response.start", "http.response.body"]
