"""Calls of the Linux kernel that Python has no name for. Every failure is an OSError."""

from __future__ import annotations

import ctypes
import os
import platform

NEW_MOUNTS = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PID = 0x20000000
NEW_NET = 0x40000000

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = (
    0x1, 0x2, 0x4, 0x8, 0x20, 0x1000, 0x4000, 0x40000,
)  # fmt: skip

SET_PARENT_DEATH_SIGNAL, SET_NO_NEW_PRIVS, SET_SECCOMP, SET_CHILD_SUBREAPER = 1, 38, 22, 36

_DETACH = 2
_AT_CURRENT_FOLDER = -100
_AT_RECURSIVE = 0x8000
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), f"system call {number}")


def prctl(option: int, *arguments: int) -> None:
    _checked(_libc.prctl(option, *(*arguments, 0, 0, 0, 0)[:4]), f"prctl {option}")


def drop_capabilities() -> None:
    """Give up every right that goes beyond the user's own. With ``no_new_privs`` no program gives them back."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall(_CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(nothing))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), f"mount {target}")


def make_read_only(target: str) -> None:
    """Of everything mounted at and below it. Linux 5.12 or newer; before that only of the mount itself."""
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID, 0, 0, 0)
    try:
        syscall(
            _MOUNT_SETATTR,
            ctypes.c_int(_AT_CURRENT_FOLDER),
            ctypes.c_char_p(os.fsencode(target)),
            ctypes.c_uint(_AT_RECURSIVE),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        )
    except OSError:
        kept = os.statvfs(target).f_flag & (NO_DEV | NO_EXEC)
        mount(None, target, None, BIND | REMOUNT | READ_ONLY | NO_SUID | kept)


def change_root(folder: str) -> None:
    """Make a mounted folder the root, and leave nothing of the old one in reach."""
    old = os.path.join(folder, ".old")  # noqa: PTH118 -- pathlib takes as long to import as all of this runs
    os.mkdir(old)  # noqa: PTH102
    syscall(
        _PIVOT_ROOT[platform.machine()],
        ctypes.c_char_p(os.fsencode(folder)),
        ctypes.c_char_p(os.fsencode(old)),
    )
    os.chdir("/")
    _checked(_libc.umount2(b"/.old", _DETACH), "umount of the old root")
    os.rmdir("/.old")  # noqa: PTH106
