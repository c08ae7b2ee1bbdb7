"""Landlock: the files that a process and all it starts may touch, whatever the rest of the system shows them.

It needs no privilege and no namespace, so it holds in most containers. It only narrows. From ABI 4 (Linux 6.7) it can
forbid TCP, from ABI 6 (6.12) signals to processes outside and sockets of abstract names.
"""

from __future__ import annotations

import ctypes
import os

from kernel import syscall  # type: ignore[import-not-found, unused-ignore]  # beside this file, run on its own

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_WANT_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights on files that each ABI knows."""

_TRUNCATE, _DEVICE = 1 << 14, 1 << 15
_LOOK = _EXECUTE | _READ_FILE | _READ_FOLDER
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE
_TCP_BOTH = 3
_SCOPE_BOTH = 3


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def abi() -> int:
    """The version of the kernel's Landlock; 0 for none."""
    try:
        return int(syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_WANT_VERSION)))
    except OSError:
        return 0


def restrict(*, look: list[str], use: list[str], tcp: bool) -> int:
    """Narrow this process for good. Returns the ABI that was used; 0 when there is none. ``no_new_privs`` is set.

    look: what may be read and executed.  use: what may be changed, too.  tcp: whether it may use TCP.
    """
    version = abi()
    if version == 0:
        return 0
    every = _ALL_BY_ABI[min(version, 5)]
    rules = _Rules(every, 0 if tcp or version < 4 else _TCP_BOTH, _SCOPE_BOTH if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint(0))
    for paths, allowed in ((look, _LOOK), (use, every)):
        for path in paths:
            _allow(ruleset, path, allowed & every)
    syscall(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    if not os.path.isdir(path):  # noqa: PTH112
        allowed &= _OF_FILES
    rule = _PathRule(allowed, folder)
    try:
        syscall(
            _ADD,
            ctypes.c_int(ruleset),
            ctypes.c_uint(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint(0),
        )
    finally:
        os.close(folder)
