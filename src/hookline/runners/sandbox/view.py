"""The files that a program in the sandbox sees: a root made for it, of the system's programs and little else.

Everything is read-only but ``/tmp``, which is memory of a bounded size and vanishes with the program. There is no path
to the rest of the machine: the old root is unmounted.
"""

from __future__ import annotations

import os
from contextlib import suppress

from kernel import (  # type: ignore[import-not-found, unused-ignore]  # beside this file, run on its own
    BIND,
    NO_DEV,
    NO_EXEC,
    NO_SUID,
    READ_ONLY,
    RECURSIVE,
    REMOUNT,
    change_root,
    make_read_only,
    mount,
)

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime",
)  # fmt: skip
"""What programs are made of. No host name, no accounts, no settings of other programs."""

_DEVICES = ("null", "zero", "full", "random", "urandom")

CODE = "/hookline"
"""Where the program's own files are."""

_ETC = {
    "passwd": "script:x:{uid}:{uid}::/tmp:/bin/false\n",
    "group": "script:x:{uid}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def build(root: str, *, binds: list[str], files: dict[str, str], uid: int, disk_bytes: int) -> None:
    """Make the view in an empty folder and move into it. Raises OSError; then nothing of it may be used. Mounts are
    private already.

    binds: what is shown beside SYSTEM.  files: by name in CODE, their text.
    """
    mount("hookline", root, "tmpfs", NO_SUID | NO_DEV, "size=16m,mode=755")
    _mount_memory(root, "tmp", disk_bytes)
    for path in sorted({*SYSTEM, *binds}):
        _show(root, path)
    _make_etc(root, uid)
    _make_dev(root)
    write_files(root + CODE, files)
    _mount_memory(root, "dev/shm", disk_bytes)
    os.mkdir(f"{root}/proc")  # noqa: PTH102
    with suppress(OSError):  # a container that masks parts of its own forbids it; few programs need it
        mount("proc", f"{root}/proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
    change_root(root)
    mount(None, "/", None, BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEV)


def _mount_memory(root: str, name: str, size: int) -> None:
    os.mkdir(f"{root}/{name}")  # noqa: PTH102
    mount("hookline", f"{root}/{name}", "tmpfs", NO_SUID | NO_DEV, f"size={size},nr_inodes=10000,mode=1777")


def write_files(folder: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)  # noqa: PTH103, PTH120
        with open(f"{folder}/{name}", "w", encoding="utf-8", errors="surrogatepass", newline="") as file:  # noqa: PTH123
            file.write(text)


def _show(root: str, path: str) -> None:
    """Bind a file or folder at its own path; a symbolic link is made again."""
    target = root + path
    if os.path.lexists(target) or not os.path.lexists(path):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.islink(path):  # noqa: PTH114
        os.symlink(os.readlink(path), target)  # noqa: PTH115, PTH211
        return
    if os.path.isdir(path):  # noqa: PTH112
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(path, target, None, BIND | RECURSIVE)
    make_read_only(target)


def _make_etc(root: str, uid: int) -> None:
    write_files(f"{root}/etc", {name: text.format(uid=uid) for name, text in _ETC.items()})


def _make_dev(root: str) -> None:
    os.mkdir(f"{root}/dev")  # noqa: PTH102
    for name in _DEVICES:
        os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"{root}/dev/{name}")  # noqa: PTH211
