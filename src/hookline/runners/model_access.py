"""What turns that a model answers are given: the operator's model, and a way to reach it or another.

The way is one forward proxy for the node, on loopback and behind a secret of its own: it judges and dials every
address (P11). It listens only where the app declares such an agent.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's model: for agents that name none of their own. None: not set."""

    base_url: str | None = None
    model: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        # Not the fields: a key is among them (P13).
        return f"ModelSettings({self.model!r})"


class ForwardProxy(Protocol):
    """A proxy for whoever knows its secret, such as ``senders.relay.PageRelay``."""

    async def start(self) -> int:
        """Listen on loopback; return the port."""

    async def close(self) -> None:
        """End what is under way."""


class ModelAccess:
    """One per node. proxy: makes the proxy that has a secret."""

    def __init__(self, settings: ModelSettings, proxy: Callable[[str], ForwardProxy]) -> None:
        self._settings = settings
        self._make = proxy
        self._proxy: ForwardProxy | None = None
        self._given: bytes | None = None

    def __repr__(self) -> str:
        return f"<ModelAccess of {self._settings!r}, {'open' if self._proxy else 'not open'}>"

    @property
    def given(self) -> bytes | None:
        """What a turn gets, as JSON text: ``relay``, ``base_url``, ``model``, ``api_key``. None before ``open``."""
        return self._given

    async def open(self) -> None:
        """Listen."""
        secret = secrets.token_urlsafe(24)
        self._proxy = self._make(secret)
        port = await self._proxy.start()
        relay = f"http://hookline:{secret}@127.0.0.1:{port}"
        self._given = msgspec.json.encode({"relay": relay, **msgspec.structs.asdict(self._settings)})

    async def close(self) -> None:
        if self._proxy is not None:
            await self._proxy.close()
            self._proxy = None
