"""Hand the files that a program left behind to the node: descriptors, one a message, once nothing of it runs any more.

Only what the program could have written itself is handed over: a plain file, under one name, in the folder itself. A
link, a pipe or a folder is named with the reason why it is not. ``left.py`` is the node's end.
"""

from __future__ import annotations

import _socket
import array
import json
import os
import stat
from itertools import islice

_SEND_SECONDS = 10.0
"""The node reads them at leisure, and the socket holds more messages than there may be files."""


def make_folder(path: str, uid: int | None) -> None:
    """Make the folder that a program leaves its files in. uid: whose it is, None for this user's."""
    os.mkdir(path, 0o700)  # noqa: PTH102
    if uid is not None:
        os.chown(path, uid, uid)


def hand_over(path: str, leaving: int, *, most: int) -> None:
    """Send the files of a folder, at most so many, by their names. Never raises OSError: the node may be gone.

    A message is JSON, ``{"name"}`` with a descriptor, ``{"name", "why"}`` without one; ``{"name": null, "why"}`` is of
    no one file.
    """
    to_node = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, leaving)
    to_node.settimeout(_SEND_SECONDS)
    try:
        # Not followed: the program may have put a link in the folder's place.
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.scandir(folder) as found:
            names = [entry.name for entry in islice(found, most + 1)]
        for name in sorted(names[:most]):
            _send(to_node, folder, name)
        if len(names) > most:
            _tell(to_node, None, f"there are more than {most}")
    except OSError:
        pass


def _send(to_node: _socket.socket, folder: int, name: str) -> None:
    try:
        # Not blocking, because opening a pipe that nobody writes to would.
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        _tell(to_node, name, "it is a link, or cannot be read")
        return
    try:
        found = os.fstat(number)
        # Under a second name it may be a file that was somewhere else before.
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            given = array.array("i", [number])
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, given)]
            to_node.sendmsg([_message(name, None)], rights)
        else:
            _tell(to_node, name, "it is no plain file with one name")
    finally:
        os.close(number)


def _tell(to_node: _socket.socket, name: str | None, why: str) -> None:
    to_node.sendmsg([_message(name, why)])


def _message(name: str | None, why: str | None) -> bytes:
    # A name may be any bytes. Those that are no text are replaced by what no name that is kept may hold.
    shown = None if name is None else os.fsencode(name).decode("utf-8", "replace")
    return json.dumps({"name": shown, "why": why}).encode()
