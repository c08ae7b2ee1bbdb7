"""Bad input to ``/trigger/…`` over raw sockets and both stores: a documented 4xx, or stored as bytes; never a 500, a
hang or a file read (issue 3, "Bad input").
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from trigger_bed import Door, Seen, serving

from hookline.api.connection import Limits
from hookline.api.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

QUICK: Final = Limits(
    header_seconds=0.4, body_seconds=0.4, answer_seconds=2, idle_seconds=2, body_bytes_per_second=1e6
)
JSON: Final = b"content-type: application/json\r\n"
FORM: Final = b"content-type: application/x-www-form-urlencoded\r\n"
MULTIPART: Final = b"content-type: multipart/form-data; boundary=XX\r\n"


class Wire:
    """A server on a socket, and one trigger that anyone may call."""

    def __init__(self, server: HttpServer, door: Door) -> None:
        self.server = server
        self.door = door

    def request(
        self,
        body: bytes = b"",
        head: bytes = b"",
        *,
        method: bytes = b"POST",
        rest: bytes = b"",
        length: Any = "",
    ) -> bytes:
        """Return a request. length: None for no Content-Length, else the one that is claimed."""
        claimed = len(body) if length == "" else length
        says = b"" if claimed is None else b"content-length: %d\r\n" % claimed
        path = self.door.path.encode() + rest
        return b"%b %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%b%b\r\n%b" % (
            method,
            path,
            head,
            says,
            body,
        )

    async def say(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Send the parts and return all that is answered, up to where the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            for part in parts:
                with suppress(ConnectionError):
                    writer.write(part)
                    await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            with suppress(ConnectionError):
                return await asyncio.wait_for(reader.read(), 8)
            return b""
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def status(self, *parts: bytes, pause: float = 0.0) -> int:
        """Return the status of the answer, 0 when the server closed without one."""
        told = re.match(rb"HTTP/1.1 (\d{3})", await self.say(*parts, pause=pause))
        return int(told[1]) if told else 0


@asynccontextmanager
async def wire(store: Store, profile: str = "prismatic", **settings: Any) -> AsyncIterator[tuple[Wire, Seen]]:
    seen = Seen()
    async with serving(store, work=seen.work) as api:
        server = HttpServer(api.front, limits=QUICK)
        await server.start()
        try:
            door = await Door.open(api, profile, rate_per_second=10_000, **settings)
            yield Wire(server, door), seen
        finally:
            await server.stop(0.0)


def multipart(*heads: bytes, data: bytes = b"x") -> bytes:
    return b"".join(b"--XX\r\n%b\r\n\r\n%b\r\n" % (head, data) for head in heads) + b"--XX--\r\n"


PART: Final = b'Content-Disposition: form-data; name="a"'

REFUSED: Final[dict[str, tuple[bytes, bytes]]] = {
    "not JSON": (JSON, b"{bad"),
    "NaN": (JSON, b'{"a":NaN}'),
    "Infinity": (JSON, b"[-Infinity]"),
    "huge number": (JSON, b"1e999"),
    "digits without end": (JSON, b"9" * 5_000),
    "not UTF-8": (JSON, b'{"a":"\xff"}'),
    "lone surrogate": (JSON, b'{"a":"\\ud800"}'),
    "raw NUL": (JSON, b'{"a":"\x00"}'),
    "byte order mark": (JSON, b"\xef\xbb\xbf{}"),
    "UTF-16": (JSON, '{"a":1}'.encode("utf-16")),
    "deep arrays": (JSON, b"[" * 100_000 + b"]" * 100_000),
    "deep objects": (JSON, b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "XML as JSON": (JSON, b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "form not UTF-8": (FORM, b"a=%ff"),
    "fields": (FORM, b"a=1&" * 100_000),
    "parts": (MULTIPART, multipart(*[PART] * 100_000)),
    "part headers": (MULTIPART, multipart(PART + b"".join(b"\r\nX-%d: a" % n for n in range(100_000)))),
    "part header of a megabyte": (MULTIPART, multipart(PART + b"\r\nX-A: " + b"a" * 1_000_000)),
    "no parts": (MULTIPART, b"{}"),
    "unfinished parts": (MULTIPART, multipart(PART)[:-10]),
    "bare line feeds": (MULTIPART, multipart(PART).replace(b"\r\n", b"\n")),
    "no boundary": (b"content-type: multipart/form-data\r\n", multipart(PART)),
    "no disposition": (MULTIPART, multipart(b"X-A: b")),
    "bad JSON part": (MULTIPART, multipart(PART + b"\r\nContent-Type: application/json", data=b"{bad")),
    "bad hops": (b"hookline-hops: -1\r\n", b""),
    "bad key": (b"idempotency-key: \xff\r\n", b""),
}


@pytest.mark.parametrize("profile", ["prismatic", "native"])
async def test_what_cannot_be_read_is_400_in_the_profiles_words(store: Store, profile: str) -> None:
    async with wire(store, profile) as (one, seen):
        wrong = []
        for name, (head, body) in REFUSED.items():
            told = await one.say(one.request(body, head))
            status, _, text = told.partition(b"\r\n\r\n")
            shape = {"error"} if profile == "prismatic" else {"success", "error"}
            if not status.startswith(b"HTTP/1.1 400") or msgspec.json.decode(text).keys() != shape:
                wrong.append((name, told[:300]))
        started = await one.door.executions()

    assert wrong == []
    assert started == seen.inputs == []


TAKEN: Final[dict[str, tuple[bytes, bytes]]] = {
    "empty": (b"", b""),
    "empty JSON": (JSON, b""),
    "duplicate keys": (JSON, b'{"a":1,"a":2}'),
    "JSON posing as an upload": (JSON, b'{"$base64":"!!!"}'),
    "JSON posing as parts": (JSON, b'{"photo":{"data":{"$base64":"L2V0Yy9wYXNzd2Q="},"filename":"/etc/passwd"}}'),
    "a file's name that climbs": (MULTIPART, multipart(PART + b'; filename="../../../etc/passwd"')),
    "a file's name that is a URL": (MULTIPART, multipart(PART + b'; filename="file:///etc/passwd"')),
    "XML with entities": (b"content-type: text/xml\r\n", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "a bomb that is only bytes": (b"content-type: application/gzip\r\n", b"\x1f\x8b" + bytes(1000)),
    "type of rubbish": (b"content-type: ;;=\xff\x80/\r\n", b"abc"),
    "two types": (b"content-type: image/png\r\ncontent-type: application/json\r\n", b"{}"),
    "signature nobody asked for": (b"x-hub-signature-256: \xff\xfe\r\n", b"{}"),
    "transfer in chunks": (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
}  # fmt: skip


async def test_what_is_only_odd_is_taken_as_it_is(store: Store) -> None:
    async with wire(store) as (one, seen):
        answers = {}
        for name, (head, body) in TAKEN.items():
            length = None if b"chunked" in head else ""
            answers[name] = await one.status(one.request(body, head, length=length))
        queries = [b"?a=1&a=2", b"?=&&=&%", b"?a[]=1", b"?" + b"a" * 5_000, b"?a=%FF"]
        for rest in (*queries, b"/..%2f..%2fetc/passwd", b"/../../etc/passwd", b"//a//b/"):
            answers[rest.decode()] = await one.status(one.request(b"", rest=rest))
        get = await one.status(one.request(b'{"a":1}', JSON, method=b"GET"))
        async with asyncio.timeout(8):
            while len(seen.inputs) < len(answers) + 1:  # noqa: ASYNC110 -- a list of the fake runner
                await asyncio.sleep(0.01)

    assert answers == dict.fromkeys(answers, 200)
    assert get == 200
    assert {"$base64": "!!!"} in seen.inputs
    shown = [trigger.path_fragment for trigger in seen.triggers if trigger.path_fragment]
    assert sorted(shown) == ["../../etc/passwd", "../../etc/passwd", "a//b"]
    (climbing,) = [
        data["a"] for data in seen.inputs if isinstance(data, dict) and _file(data) == "../../../etc/passwd"
    ]
    assert climbing.data == b"x"


def _file(data: dict[str, Any]) -> Any:
    return getattr(data.get("a"), "filename", None)


async def test_lengths_that_lie_and_bodies_without_end(store: Store) -> None:
    """Cut off at the limit while they stream, or when they stop arriving; nothing is stored."""
    async with wire(store, max_body_bytes=10_000) as (one, _):
        statuses = {
            "too large": await one.status(one.request(length=10_001)),
            "more than can be": await one.status(one.request(length=10**30)),
            "shorter than it says": await one.status(one.request(b"abc", length=5_000)),
            "chunks for ever": await one.status(
                one.request(head=b"transfer-encoding: chunked\r\n", length=None),
                *[b"400\r\n" + b"x" * 1024 + b"\r\n"] * 64,
            ),
            "chunks that stop": await one.status(
                one.request(head=b"transfer-encoding: chunked\r\n", length=None), b"400\r\nabc"
            ),
            "two framings": await one.status(one.request(b"0\r\n\r\n", b"transfer-encoding: chunked\r\n")),
            "compressed": await one.status(one.request(b"\x1f\x8b", b"content-encoding: gzip\r\n")),
        }
        started = await one.door.executions()

    assert statuses == {
        "too large": 413,
        "more than can be": 400,
        "shorter than it says": 408,
        "chunks for ever": 413,
        "chunks that stop": 408,
        "two framings": 400,
        "compressed": 415,
    }
    assert started == []


async def test_too_many_headers_and_parameters(store: Store) -> None:
    async with wire(store) as (one, _):
        headers = await one.status(one.request(head=b"".join(b"x-%d: a\r\n" % n for n in range(1_000))))
        flood = await one.status(one.request(head=b"".join(b"x-%d: a\r\n" % n for n in range(100_000))))
        parameters = await one.status(one.request(rest=b"?" + b"a&" * 1_000))
        nul = await one.status(one.request(rest=b"/a%00b"))

    assert (headers, parameters, nul) == (431, 400, 400)
    assert flood in {431, 0}  # closed while we still talk: the answer may be lost on the way


async def test_callers_that_dawdle_hurt_nobody_else(store: Store) -> None:
    """P19: two hundred slow headers and bodies are cut off while others are answered."""
    async with wire(store) as (one, _):
        dawdling = [
            asyncio.create_task(
                one.status(one.request(b"{", JSON, length=100))
                if number % 2
                else one.status(b"POST /trigger/x HTTP/1.1\r\n")
            )
            for number in range(200)
        ]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(8):
            healthy = [await one.status(one.request(b"{}", JSON)) for _ in range(20)]
        slow = await asyncio.gather(*dawdling)
        started = await one.door.executions()

    assert healthy == [200] * 20
    assert set(slow) == {408}
    assert len(started) == 20


@pytest.mark.parametrize("preset", ["stripe", "github", "slack", "twilio", "standard", "square", "discord"])
async def test_rubbish_for_a_signature_is_401(store: Store, preset: str) -> None:
    secret = {
        "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "discord": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    }
    auth = {"type": "signature", "preset": preset, "secret": secret.get(preset, "a secret of theirs")}
    rubbish = [
        b"",
        b"=",
        b"\xff\xfe",
        b"t=,v1=",
        b"t=1,v1=1," * 500,
        b"v1,",
        b"sha256=" + b"f" * 64,
        b"0" * 50_000,
        b"{}",
        b"t=9999999999999999999999",
    ]
    names = [b"stripe-signature", b"x-hub-signature-256", b"x-slack-signature", b"x-twilio-signature"]
    names += [b"webhook-signature", b"x-square-hmacsha256-signature", b"x-signature-ed25519"]
    times = b"webhook-id: a\r\nwebhook-timestamp: \xff\r\nx-slack-request-timestamp: 1e9\r\n"
    async with wire(store, "native", auth=auth) as (one, _):
        statuses = {
            (name, text[:20]): await one.status(one.request(b'{"a":1}', b"%b: %b\r\n" % (name, text) + times))
            for name in names
            for text in rubbish
        }
        started = await one.door.executions()

    assert statuses == dict.fromkeys(statuses, 401)
    assert started == []
