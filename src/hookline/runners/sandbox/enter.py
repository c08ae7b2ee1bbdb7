"""Make the walls and start a program behind them.

Run as ``python -I -S enter.py SPEC GO STATUS LIFELINE HANDING LEAVING ROOT UID NAMESPACES``. Six descriptors: a file
for the specification as JSON (``cell.Spec``), a pipe on which a byte says that it is there, a pipe on which is told
what became of it, one JSON object a line (``{"walls"}``, ``{"exit","signal","reason"}`` or ``{"error"}``), a pipe that
hangs up when the node is gone, a socket to give connections over, and one for the files that are left. Then an empty
folder of its own, taken away in the end, the user to become (0 for none) and whether to make namespaces (0 or 1). This
process stays outside of the walls to take the whole of it down.
"""

from __future__ import annotations

# Everything is imported here: behind the walls there may be no library to import from.
import _socket
import fcntl
import json
import os
import select
import signal
import struct
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

import doors  # type: ignore[import-not-found, unused-ignore]  # beside this file
import init  # type: ignore[import-not-found, unused-ignore]  # beside this file
import leavings  # type: ignore[import-not-found, unused-ignore]
import view  # type: ignore[import-not-found, unused-ignore]
from kernel import (  # type: ignore[import-not-found, unused-ignore]
    NEW_IPC,
    NEW_MOUNTS,
    NEW_NET,
    NEW_PID,
    NEW_USER,
    NEW_UTS,
    PRIVATE,
    RECURSIVE,
    mount,
    unshare,
)

FOLDER = "/tmp"  # noqa: S108 -- of the view
"""Where a program may write."""

_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def main() -> None:
    spec_fd, go, status, lifeline, handing, leaving = map(int, sys.argv[1:7])
    root, uid, namespaces = sys.argv[7], int(sys.argv[8]) or None, sys.argv[9] == "1"
    os.set_inheritable(leaving, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Held from before the walls, because behind them its path leads nowhere.
    above = os.open(os.path.dirname(root), os.O_PATH | os.O_CLOEXEC)  # noqa: PTH120
    try:
        walls = _leave() if namespaces else []
    except OSError as exc:
        init.tell(status, error=f"the sandbox cannot be made: {exc}")
        os._exit(1)
    if not os.read(go, 1):  # the node needs it no more, or is gone
        _tidy(root, walls, above)
        os._exit(0)
    os.close(go)
    with open(spec_fd, encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123
        spec = json.load(file)
    if not spec["network"]:
        os.close(handing)
    uid = None if "user namespace" in walls else uid
    spec.update(root=root, uid=uid, handing=handing, leaving=leaving)
    first = os.fork()
    if first == 0:
        os.close(above)
        _go_in(spec, walls, status, lifeline)
    os.close(status)
    os.close(leaving)
    _stay(first, lifeline)
    _tidy(root, walls, above)
    os._exit(0)


def _leave() -> list[str]:
    """Leave the machine's namespaces; return which walls that gives, none where the kernel does not allow it.

    Some systems allow namespaces and no mounts in them (AppArmor): then the files are Landlock's alone to guard.
    """
    flags = NEW_MOUNTS | NEW_PID | NEW_IPC | NEW_UTS | NEW_NET
    names = ["mount", "pid", "ipc", "net"]
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(flags)
    except OSError:
        try:
            unshare(flags | NEW_USER)
        except OSError:
            return []
        # This user alone is known inside, under another number; it has no rights outside that it had not before.
        inside = 65_534
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{inside} {uid} 1"),
            ("gid_map", f"{inside} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
        names.insert(0, "user namespace")
    try:
        mount(None, "/", None, RECURSIVE | PRIVATE)
    except OSError:
        names.remove("mount")
    return names


def _go_in(spec: dict[str, Any], walls: list[str], status: int, lifeline: int) -> None:
    """Be the first process inside. Never returns."""
    door = None
    try:
        if "mount" in walls:
            _raise_loopback()
            if spec["network"]:
                door = doors.Door(spec["handing"])
                spec["environment"].update(door.variables)
            view.build(
                spec["root"],
                binds=spec["binds"],
                files=spec["files"],
                uid=spec["uid"] or 65_534,
                disk_bytes=spec["disk_bytes"],
            )
        else:
            _settle(spec)
        leavings.make_folder(spec["artifacts"], spec["uid"])
        init.watch(spec, walls, status, lifeline, door)
    except BaseException as exc:  # noqa: BLE001 -- a fork of ours must not go on in the parent's code
        init.tell(status, error=f"the sandbox cannot be made: {exc}")
    os._exit(1)


def _settle(spec: dict[str, Any]) -> None:
    """Put the program's files into its folder, which is all it may use where there is no view of its own."""
    if spec["network"]:
        raise OSError("a way to the network needs a network namespace, which this machine does not give")
    if spec["uid"] is not None and not all(_is_open_to_all(path) for path in (spec["argv"][0], spec["root"])):
        spec["uid"] = None  # another user could not reach what it is to run
    code = spec["root"] + "/code"
    folder = spec["root"] + "/work"
    view.write_files(code, spec["files"])
    os.mkdir(folder, 0o700)  # noqa: PTH102
    if spec["uid"] is not None:
        os.chmod(spec["root"], 0o711)  # noqa: PTH101, S103 -- passed through, not listed
        os.chown(folder, spec["uid"], spec["uid"])
    folders = {FOLDER: folder, spec["artifacts"]: folder + spec["artifacts"].removeprefix(FOLDER)}
    spec["argv"] = [_moved(text, code, folders) for text in spec["argv"]]
    given = spec["environment"].items()
    spec["environment"] = {name: _moved(text, code, folders) for name, text in given}
    spec["folder"], spec["code"], spec["artifacts"] = folder, code, folders[spec["artifacts"]]


def _is_open_to_all(path: str) -> bool:
    """Say whether any user may pass through every folder above a path."""
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    while folder != "/":
        if not os.stat(folder).st_mode & 0o001:  # noqa: PTH116
            return False
        folder = os.path.dirname(folder)  # noqa: PTH120
    return True


def _moved(text: str, code: str, folders: dict[str, str]) -> str:
    """A path of the program's own in the view, or several parted by colons, where it is without one.

    folders: those it may write in, whole: the programs of the machine may lie below the same.
    """
    if text in folders:
        return folders[text]
    parts = text.split(":")
    return ":".join(
        code + part[len(view.CODE) :] if part.startswith(view.CODE + "/") else part for part in parts
    )


def _raise_loopback() -> None:
    """Let programs talk to themselves; the machine's own loopback is raised already."""
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(any_socket.fileno(), _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
    except OSError:
        pass
    finally:
        any_socket.close()


def _stay(first: int, lifeline: int) -> None:
    """Wait for the end of all; when the node is gone, make it."""
    ended = os.pidfd_open(first)
    waiting = select.poll()
    waiting.register(ended, select.POLLIN)
    waiting.register(lifeline, 0)
    while ended not in [fd for fd, _ in waiting.poll()]:
        # The first process heard it, too, and ends what it can; what is left goes with it.
        waiting.unregister(lifeline)
        if not [fd for fd, _ in waiting.poll(3_000) if fd == ended]:
            os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)


def _tidy(root: str, walls: list[str], above: int) -> None:
    """Leave no file behind, also when the node is gone."""
    try:
        if "mount" in walls:
            os.rmdir(os.path.basename(root), dir_fd=above)  # noqa: PTH119
        else:
            import shutil

            shutil.rmtree(root)
    except OSError:
        pass


main()
