"""Ask an OpenAI-compatible endpoint once, through the node's relay: the only module that loads ``openai``.

Every connection goes through the relay, which judges and dials the address; nothing of the environment (proxies,
keys) is looked at, and no redirect is followed. What comes back is bounded before the client's own parser sees it.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai

from hookline.core.retry import parse_retry_after
from hookline.model_agent.answer import BadAnswerError, Collecting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookline.model_agent.answer import Answer
    from hookline.model_agent.definition import Endpoint

_MOST_BYTES: Final = 32 << 20
"""Of one response. Around each few letters of an answer an endpoint sends some hundred bytes."""

_CONNECT_SECONDS: Final = 15.0
_MOST_QUOTED: Final = 300
"""Characters of an endpoint's own words in an error of ours."""

_OURS: Final = "hookline;"
"""How the relay's Proxy-Status begins (``senders/relay.py``)."""

_WORTH_ANOTHER_TRY: Final = frozenset({408, 409, 425, 429})
_KEYLIKE: Final = re.compile(r"\b(sk-|Bearer )[^\s\"',;]{6,}", re.IGNORECASE)
"""What looks like a key, also one that is cut or not ours."""

_clients: Final[dict[str, httpx2.AsyncClient]] = {}
"""By relay: connections, and what TLS costs to set up, are shared by the turns of one process."""


class AskError(Exception):
    """No answer. The words complete "the model …" and hold no secret.

    is_final: asking again would not help.  retry_after: what the endpoint asks for, zero for nothing.
    """

    def __init__(self, words: str, *, is_final: bool = False, retry_after: timedelta = timedelta()) -> None:
        super().__init__(words)
        self.is_final = is_final
        self.retry_after = retry_after


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to a bound."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _MOST_BYTES
        async for piece in self._inner:
            left -= len(piece)
            if left < 0:
                raise BadAnswerError(f"sent more than {_MOST_BYTES >> 20} MB", is_final=True)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Relayed(httpx2.AsyncBaseTransport):
    """Connections through the relay, whose own answers become errors."""

    def __init__(self, relay: str) -> None:
        self._inner = httpx2.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            trust_env=False,
            proxy=relay,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("proxy-status", "").startswith(_OURS):
            await response.aclose()
            raise httpx2.ProxyError(f"{response.status_code} {response.reason_phrase}", request=request)
        if response.headers.get("content-encoding", "identity") != "identity":
            # Unpacked, a few bytes may be gigabytes; nobody asked for it.
            await response.aclose()
            raise BadAnswerError("sent its answer compressed", is_final=True)
        response.stream = _Bounded(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def ask(
    endpoint: Endpoint, request: dict[str, Any], *, seconds: float, heard: Callable[[str], None]
) -> Answer:
    """Return the model's answer to one request. Raises AskError.

    request: fields of a chat completion.  seconds: for all of the answer.  heard: is given its text as it comes.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _ask(endpoint, request, heard)
    except TimeoutError:
        raise AskError(f"did not finish its answer within {seconds:g} seconds") from None
    except BadAnswerError as exc:
        raise AskError(str(exc), is_final=exc.is_final) from None
    except openai.APIStatusError as exc:
        raise _refused(exc, endpoint.key) from None
    except openai.APIConnectionError as exc:
        raise _unconnected(exc) from None
    except openai.APIError as exc:
        raise AskError(f"broke off with an error: {_quoted(exc.message, endpoint.key)}") from None
    except openai.OpenAIError as exc:
        raise AskError(f"cannot be asked: {_quoted(str(exc), endpoint.key)}", is_final=True) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as exc:
        # The client's parser meets what is no JSON, or JSON of another shape.
        raise AskError(f"sent what cannot be read ({type(exc).__name__})") from None


async def _ask(endpoint: Endpoint, request: dict[str, Any], heard: Callable[[str], None]) -> Answer:
    client = openai.AsyncOpenAI(
        api_key=endpoint.key or "none",  # the client insists on one; endpoints without keys ignore it
        base_url=endpoint.url,
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
        http_client=_client(endpoint.relay),
    )
    collecting = Collecting()
    completions: Any = client.chat.completions
    given = {name: openai.omit if value is None else value for name, value in request.items()}
    stream = await completions.create(**given, stream=True, model=endpoint.model)
    async with stream:
        kind = stream.response.headers.get("content-type", "")
        if "event-stream" in kind:
            async for chunk in stream:
                heard(
                    collecting.add(
                        chunk.model_dump(warnings=False) if hasattr(chunk, "model_dump") else chunk
                    )
                )
        elif "json" in kind:  # some endpoints do not stream, or not where there are tools
            heard(collecting.add_whole(json.loads(await stream.response.aread())))
        else:
            raise BadAnswerError(f"answered with {_quoted(kind, None) or 'no type'}, not with a stream")
    return collecting.done()


def _client(relay: str) -> httpx2.AsyncClient:
    client = _clients.get(relay)
    if client is None:
        client = _clients[relay] = httpx2.AsyncClient(
            transport=_Relayed(relay),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )
    return client


def _refused(exc: openai.APIStatusError, key: str | None) -> AskError:
    status = exc.status_code
    words = f"answered {status}"
    with suppress(ValueError):
        words += f" ({HTTPStatus(status).phrase})"
    said = exc.body.get("message") if isinstance(exc.body, dict) else None
    if isinstance(said, str) and said.strip():
        words += f": {_quoted(said, key)}"
    return AskError(
        words,
        is_final=status < 500 and status not in _WORTH_ANOTHER_TRY,
        retry_after=parse_retry_after(exc.response.headers.get("retry-after"), datetime.now(UTC)),
    )


def _unconnected(exc: openai.APIConnectionError) -> AskError:
    """Word a connection that was not made, or broke. The relay says why as an HTTP status (``_Relayed``)."""
    cause = exc.__cause__
    if isinstance(cause, BadAnswerError):
        return AskError(str(cause), is_final=cause.is_final)
    if isinstance(cause, httpx2.ProxyError):
        status, _, why = str(cause).partition(" ")
        return AskError(f"was not reached: {why.rstrip('.')}", is_final=status == "403")
    if isinstance(exc, openai.APITimeoutError):
        return AskError(f"was not reached within {_CONNECT_SECONDS:g} seconds")
    if isinstance(cause, httpx2.ConnectError):
        return AskError(f"was not reached: {str(cause) or 'the connection failed'}")
    return AskError("broke the connection off")


def _quoted(words: str, key: str | None) -> str:
    """An endpoint's own words, in one line and without a key."""
    if key:
        words = words.replace(key, "…")
    words = _KEYLIKE.sub(r"\1…", " ".join(words.split()))
    words = "".join(letter for letter in words if letter.isprintable())
    return words[:_MOST_QUOTED].rstrip(".")
