"""The one way out of a network namespace: connections to a port on its loopback are handed to the node.

The program is told of it as its proxy. The connection itself goes over: the node serves a socket of this namespace, and
dials for it what its guard allows. Nothing of the machine's network is in here.
"""

from __future__ import annotations

import _socket
import array
import os

_BACKLOG = 64


class Door:
    """handing: the descriptor on which connections are given to the node."""

    def __init__(self, handing: int) -> None:
        os.set_inheritable(handing, False)
        self._handing = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, handing)
        self._handing.setblocking(False)
        self._listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(_BACKLOG)
        self._listening.setblocking(False)

    @property
    def variables(self) -> dict[str, str]:
        """What tells programs of their proxy."""
        url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        return dict.fromkeys(names, url) | {
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def fileno(self) -> int:
        return int(self._listening.fileno())

    def hand_over(self) -> None:
        """Take one connection and give it away; one that the node does not take is closed."""
        try:
            number, _ = self._listening._accept()  # type: ignore[attr-defined, unused-ignore]  # noqa: SLF001
        except OSError:
            return
        try:
            given = array.array("i", [number])
            self._handing.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, given)])
        except OSError:
            pass
        finally:
            os.close(number)
