"""Events from a JetStream stream of NATS, by a durable pull consumer that all nodes share.

Worse than the API at one thing: who publishes to the stream gets NATS's promise first, and NATS acknowledges before
its own fsync unless its ``sync_interval`` is ``always``. From the moment a message is acknowledged by us, ours holds.
The connection is the library's own, to the operator's own server, as that of the database is.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, StorageType
from nats.js.errors import NotFoundError

from hookline.model.ids import OWN_EVENT_ID
from hookline.ports.broker import Arrival, BrokerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import StreamInfo

_WAIT_SECONDS: Final = 0.5
"""Longest wait for the first message. A stop waits for it, too: what was on its way to a wait that is broken off would
come again only when its acknowledgement is overdue."""

_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 3.0

_ACK_WAIT_SECONDS: Final = 60.0
"""A node that took a message and said nothing for so long is taken for dead."""

_MOST_UNACKNOWLEDGED: Final = 10_000


class NatsBroker:
    """``ports.Broker``.

    url: ``nats://`` or ``tls://``, with user and password or a token where the server asks for them.
    stream: is there already.  consumer: its durable name; made when it is not there, taken as it is when it is, so an
    operator may filter subjects.  credentials: path of a ``.creds`` file, or None.
    """

    def __init__(self, url: str, *, stream: str, consumer: str, credentials: str | None = None) -> None:
        self._url = url
        self._stream = stream
        self._consumer = consumer
        self._credentials = credentials
        self._client: Client | None = None
        self._pulls: JetStreamContext.PullSubscription | None = None
        self._id_prefix = ""

    def __repr__(self) -> str:
        return f"NatsBroker({urlsplit(self._url).hostname!r}, stream={self._stream!r})"

    async def fetch(self, most: int) -> Sequence[Arrival]:
        pulls = await self._subscribed()
        try:
            messages = await pulls.fetch(most, timeout=_WAIT_SECONDS)
        except NatsTimeout:
            return ()
        except (NatsError, OSError) as exc:
            await self.close()
            raise self._away(exc) from exc
        return [self._arrival(message) for message in messages]

    async def taken(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            with suppress(NatsError, OSError):
                await _message(arrival).ack()

    async def refuse(self, arrival: Arrival) -> None:
        with suppress(NatsError, OSError):
            await _message(arrival).term()

    async def put_back(self, arrivals: Sequence[Arrival], *, seconds: float) -> None:
        for arrival in arrivals:
            with suppress(NatsError, OSError):
                await _message(arrival).nak(delay=seconds)

    async def check(self) -> str:
        await self._subscribed()
        assert self._client is not None
        try:
            info = await self._client.jetstream().stream_info(self._stream)
        except (NatsError, OSError) as exc:
            raise self._away(exc) from exc
        finally:
            await self.close()
        if info.config.storage is StorageType.MEMORY:
            raise BrokerError(
                f"stream {self._stream} is kept in memory: what it holds is lost when NATS stops"
            )
        return f"stream {self._stream}, {info.state.messages} messages, {info.config.num_replicas} replicas"

    async def close(self) -> None:
        client, self._client, self._pulls = self._client, None, None
        if client is not None:
            with suppress(NatsError, OSError):
                await client.close()

    async def _subscribed(self) -> JetStreamContext.PullSubscription:
        """The consumer, on a connection that is made anew when it broke."""
        if self._pulls is not None and self._client is not None and self._client.is_connected:
            return self._pulls
        await self.close()
        try:
            self._client = await nats.connect(
                self._url,
                name="hookline",
                connect_timeout=_CONNECT_SECONDS,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                user_credentials=self._credentials,
                error_cb=_quietly,
            )
            context = self._client.jetstream(timeout=_ANSWER_SECONDS)
            info = await context.stream_info(self._stream)
            self._id_prefix = _prefix(info)
            await self._have_consumer(context)
            self._pulls = await context.pull_subscribe_bind(consumer=self._consumer, stream=self._stream)
        except NotFoundError as exc:
            await self.close()
            raise BrokerError(f"there is no stream {self._stream}: `nats stream add` makes one") from exc
        except (NatsError, OSError) as exc:
            await self.close()
            raise self._away(exc) from exc
        return self._pulls

    async def _have_consumer(self, context: JetStreamContext) -> None:
        try:
            await context.consumer_info(self._stream, self._consumer)
        except NotFoundError:
            await context.add_consumer(
                self._stream,
                ConsumerConfig(
                    durable_name=self._consumer,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=_ACK_WAIT_SECONDS,
                    max_ack_pending=_MOST_UNACKNOWLEDGED,
                ),
            )

    def _arrival(self, message: Msg) -> Arrival:
        place = message.metadata.sequence.stream
        return Arrival(
            name=f"{self._stream} {place}",
            id=f"{self._id_prefix}:{place}",
            subject=message.subject,
            headers={name.lower(): value for name, value in (message.headers or {}).items()},
            data=message.data,
            handle=message,
        )

    def _away(self, error: BaseException) -> BrokerError:
        """Told without the library's text, which may hold the URL with its password."""
        parts = urlsplit(self._url)
        return BrokerError(
            f"NATS at {parts.hostname}:{parts.port or 4222} cannot be asked: {type(error).__name__}"
        )


def _prefix(info: StreamInfo) -> str:
    """Begin the ids of a stream's messages: a stream that was deleted and made anew counts from 1 again."""
    made = "" if info.created is None else f"{info.created.timestamp():.0f}"
    plain = f"{info.config.name}:{made}"
    if OWN_EVENT_ID.fullmatch(f"{plain}:{2**64}"):
        return plain
    return f"{hashlib.sha256(str(info.config.name).encode()).hexdigest()[:32]}:{made}"


def _message(arrival: Arrival) -> Msg:
    handle = arrival.handle
    assert isinstance(handle, Msg)
    return handle


async def _quietly(_: Exception) -> None:
    """The library logs a traceback for each lost connection; the next ``fetch`` tells of it in one line."""
