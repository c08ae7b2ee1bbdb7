"""Seccomp: system calls that a script has no use for and that attacks on the kernel begin with are refused.

A list of what is forbidden, not of what is allowed: an interpreter's own calls change with every version. It closes
what the other walls leave open: namespaces of its own (and with them mounts and capabilities), other processes' memory,
kernel modules, BPF, io_uring, and sockets of other families than the Internet's.
"""

from __future__ import annotations

import ctypes
import platform
import struct

from kernel import (  # type: ignore[import-not-found, unused-ignore]  # beside this file, run on its own
    NEW_USER,
    SET_SECCOMP,
    prctl,
)

_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

_COMMON = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442)
"""pidfd_send_signal, io_uring_*, the new mount calls, pidfd_getfd, process_madvise: one number everywhere."""

_FORBIDDEN = {
    # ptrace process_vm_readv/writev mount umount2 pivot_root chroot unshare setns kexec_load kexec_file_load
    # init_module finit_module delete_module bpf perf_event_open userfaultfd keyctl add_key request_key
    # open_by_handle_at name_to_handle_at syslog acct swapon swapoff reboot quotactl personality
    "x86_64": (
        101, 310, 311, 165, 166, 155, 161, 272, 308, 246, 320, 175, 313, 176, 321, 298, 323, 250, 248, 249, 304, 303,
        103, 163, 167, 168, 169, 179, 135, 172, 173,
    ),
    "aarch64": (
        117, 270, 271, 40, 39, 41, 51, 97, 268, 104, 294, 105, 273, 106, 280, 241, 282, 219, 217, 218, 265, 264, 116,
        89, 224, 225, 142, 60, 92,
    ),
}  # fmt: skip
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CLONE3 = 435
_X32 = 0x40000000
_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, and netlink, by which programs list the interfaces."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


def restrict() -> bool:
    """Forbid them, to this process and all it starts. False where the machine is not known. ``no_new_privs`` is set."""
    machine = platform.machine()
    if machine not in _FORBIDDEN:
        return False
    code = b"".join(struct.pack("HBBI", *step) for step in _program(machine))
    steps = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(steps))
    held = ctypes.create_string_buffer(program, len(program))
    prctl(SET_SECCOMP, 2, ctypes.addressof(held))
    return True


def _program(machine: str) -> list[tuple[int, int, int, int]]:
    """Steps of (operation, jump if true, jump if false, operand)."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]
    for number in (*_FORBIDDEN[machine], *_COMMON):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    # Its flags are in memory, where a filter cannot look: without it, the library falls back to clone.
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    steps += [
        (_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, NEW_USER),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    steps += [(_EQUAL, 1, 0, _SOCKET[machine]), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    for place, family in enumerate(_FAMILIES):
        steps.append((_EQUAL, len(_FAMILIES) - place, 0, family))
    return [*steps, (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
