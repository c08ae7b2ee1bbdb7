"""How a script of each language is started: which program, with which files beside it, under which limits."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hookline.errors import SettingError
from hookline.runners.sandbox.cell import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.model.scripts import ScriptDefinition

CHANNEL: Final = "HOOKLINE_CHANNEL"
"""The variable that tells a script's helper module where to write."""

ARTIFACTS: Final = "/tmp/artifacts"  # noqa: S108 -- of the view
"""Where a script leaves files to be kept."""

MOST_ARTIFACTS: Final = 64
"""Files of one run: more are data, and belong into one file."""

_CODE: Final = "/hookline"
_MIB: Final = 1 << 20

_PYTHON_ROOM: Final = 256 * _MIB
"""Addresses of an interpreter and its libraries; a script that wants more memory than it may gets a MemoryError."""

_NODE_ROOM: Final = 1024 * _MIB
"""Memory that Node.js sets aside beside its heap, mostly unused."""


def spec_of(
    definition: ScriptDefinition,
    *,
    argument: bytes | None,
    seconds: float,
    namespaces: bool = True,
    trace: Mapping[str, str] | None = None,
) -> Spec:
    """Say how a script is run. argument: JSON text.  seconds: until it is ended.  trace: headers of its trace, which it
    finds as ``TRACEPARENT`` and ``TRACESTATE``.

    Raises SettingError without Node.js.
    """
    is_python = definition.slug.endswith(".py")
    limits = definition.limits
    argv, binds, files = _python(definition) if is_python else _node(definition)
    if argument is not None:
        files["argument.json"] = argument.decode("utf-8", "surrogatepass")
    most = {
        # A process that escapes every other end still has this one; threads may use several seconds a second.
        "cpu": int(seconds * 4) + 10,
        "files": 256,
        "processes": limits.processes,
        "file_size": limits.disk_mb * _MIB,
        "core": 0,
    }
    if is_python:
        most["address_space"] = limits.memory_mb * _MIB + _PYTHON_ROOM
    else:
        most["data"] = limits.memory_mb * _MIB + _NODE_ROOM
    return Spec(
        argv=argv,
        environment={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",  # noqa: S108 -- of the view
            "TMPDIR": "/tmp",  # noqa: S108
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{_CODE}/modules:{sysconfig.get_path('purelib')}",
            "HOOKLINE_ARGUMENT": f"{_CODE}/argument.json",
            "HOOKLINE_ARTIFACTS": ARTIFACTS,
            "HOOKLINE_DEADLINE": f"{time.time() + seconds:.3f}",
            **{name.upper(): value for name, value in (trace or {}).items()},
        },
        files=files,
        binds=tuple(sorted(binds)),
        limits=most,
        memory_bytes=limits.memory_mb * _MIB,
        disk_bytes=limits.disk_mb * _MIB,
        artifacts=ARTIFACTS,
        most_artifacts=MOST_ARTIFACTS,
        network=definition.network,
        namespaces=namespaces,
        must_isolate=definition.must_isolate,
    )


def _python(definition: ScriptDefinition) -> tuple[tuple[str, ...], set[str], dict[str, str]]:
    """The node's own interpreter with the packages beside it; nothing is imported from the script's own folder."""
    argv = (sys.executable, "-P", "-S", "-u", "-X", "utf8", f"{_CODE}/script/{definition.slug}")
    files = {
        "modules/hookline_agent.py": _helper("hookline_agent.py"),
        f"script/{definition.slug}": definition.source,
    }
    return argv, {sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}, files


def _node(definition: ScriptDefinition) -> tuple[tuple[str, ...], set[str], dict[str, str]]:
    program = node_program()
    if program is None:
        raise SettingError(
            "Scripts in JavaScript need Node.js 18 or newer: install it so that `node` is found."
        )
    heap = f"--max-old-space-size={max(16, definition.limits.memory_mb * 3 // 4)}"
    files = {
        "node_modules/hookline_agent/index.js": _helper("hookline_agent.js"),
        f"script/{definition.slug}": definition.source,
    }
    before: tuple[str, ...] = ()
    if definition.network:
        before = ("--require", f"{_CODE}/network.js")
        files["network.js"] = _helper("network.js")
    argv = (program, heap, *before, f"{_CODE}/script/{definition.slug}")
    return argv, {str(Path(program).parent.parent)}, files


def node_program() -> str | None:
    """Where Node.js is, None when it is not installed."""
    found = shutil.which("node")
    return None if found is None else os.path.realpath(found)


@cache
def _helper(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
