"""Open sockets to receivers: the only place in Hookline that dials out (PROMISES P11).

Every address of a name must be allowed, else none is dialled: a name with one public and one internal address
is an attack or a mistake. The address is judged once more in the moment of the connect, as the text that the
kernel gets, so neither a literal, a cache nor a name server that changes its mind goes around the check.
This module never resolves a name and never speaks TLS or HTTP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hookline.core.addresses import how_to_allow

if TYPE_CHECKING:
    from collections.abc import Sequence

# RFC 8305 section 5: the pause before the next address is tried beside the one that has not answered yet.
_STAGGER_SECONDS = 0.25
# Addresses tried for one attempt. A name with a thousand records is not worth a thousand connects.
_TRIES = 4
# Ours, not the receiver's: this process or this machine has run out of something.
_OUR_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class AddressRule(Protocol):
    """Says which addresses may be dialled; ``core.addresses.AddressPolicy`` is one."""

    def check(self, ip: str, /) -> str | None:
        """Return why the address is refused, or None when it is allowed."""


class AddressRefusedError(Exception):
    """The operator's policy does not allow this address. ``address`` is the one refused."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"The address {address} is not allowed: {reason}.{how_to_allow(address)}")
        self.address = address


class ExhaustedError(Exception):
    """No socket could be opened here; the receiver has no part in it."""


class Guard:
    """Dials addresses that the rule allows, and no others."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    def check(self, addresses: Sequence[str]) -> None:
        """Raise AddressRefusedError unless every address is allowed."""
        for address in addresses:
            reason = self._rule.check(address)
            if reason is not None:
                raise AddressRefusedError(address, reason)

    async def dial(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, str]:
        """Connect to the first address that accepts, a quarter of a second apart; return it with its address.

        Raises AddressRefusedError before anything is dialled, ExhaustedError, or the OSError of the last
        address. The caller bounds the time.
        """
        self.check(addresses)
        if len(addresses) == 1:
            return await self._connect(addresses[0], port), addresses[0]
        return await self._race(addresses[:_TRIES], port)

    async def _race(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, str]:
        waiting = list(addresses)
        running: dict[asyncio.Task[socket.socket], str] = {}
        failure: Exception = OSError(errno.EHOSTUNREACH, "no address")
        try:
            while waiting or running:
                if waiting:
                    address = waiting.pop(0)
                    running[asyncio.ensure_future(self._connect(address, port))] = address
                ended, _ = await asyncio.wait(
                    running,
                    timeout=_STAGGER_SECONDS if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in ended:
                    address = running.pop(task)
                    error = task.exception()
                    if error is None:
                        return task.result(), address
                    failure = error if isinstance(error, Exception) else failure
            raise failure
        finally:
            for task in running:
                task.add_done_callback(_discard)
                task.cancel()

    async def _connect(self, address: str, port: int) -> socket.socket:
        self.check((address,))
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            dialled = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as exc:
            if exc.errno in _OUR_FAULTS:
                raise ExhaustedError("This node has no free sockets.") from exc
            raise
        try:
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(dialled, (address, port))
        except BaseException:
            dialled.close()
            raise
        return dialled


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """Close what a loser of the race opened after all."""
    with suppress(asyncio.CancelledError, Exception):
        task.result().close()
