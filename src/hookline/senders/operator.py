"""Connect to a server that the operator named in the settings: the mail server.

It goes through the same guard as all else that dials, with a rule of its own: whoever sets up the node may name a
server on this machine or in a private network without allowing that network for tenants' webhooks. Cloud metadata
addresses stay refused. Nothing that a tenant says ever gets here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hookline.core.addresses import AddressPolicy
from hookline.senders.dns import NameFailedError, NameMissingError, Resolver
from hookline.senders.guard import AddressRefusedError, ExhaustedError, Guard

if TYPE_CHECKING:
    import socket

_ANYWHERE: Final = ("0.0.0.0/0", "::/0")


class OperatorDial:
    """Dials hosts of the settings."""

    def __init__(self, *, resolver: Resolver | None = None) -> None:
        self._guard = Guard(AddressPolicy(_ANYWHERE))
        self._resolver = resolver if resolver is not None else Resolver()

    def __repr__(self) -> str:
        return "OperatorDial()"

    async def __call__(self, host: str, port: int, *, seconds: float) -> socket.socket:
        """Return a connected socket. Raises OSError whose text says what went wrong."""
        ends_at = time.monotonic() + seconds
        try:
            addresses = await self._resolver.resolve(host, seconds=seconds)
            async with asyncio.timeout(ends_at - time.monotonic()):
                dialled, _ = await self._guard.dial(addresses, port)
        except (NameMissingError, NameFailedError) as exc:
            raise OSError(f"no address for {host}: {exc}") from exc
        except (AddressRefusedError, ExhaustedError) as exc:
            raise OSError(str(exc)) from exc
        except TimeoutError:
            raise OSError(f"no connection to {host} within {seconds:g} s") from None
        return dialled

    def close(self) -> None:
        """Let idle threads of the resolver end."""
        self._resolver.close()
