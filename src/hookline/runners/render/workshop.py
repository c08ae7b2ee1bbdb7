"""A folder and a process for one render: what FFmpeg reads and writes, and the keeper that runs it.

The keeper (keeper.py) leads a session of its own, so it and all it started end together, however it comes to that: by
``close``, by the node's death, which closes the keeper's input, or by a kill from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MOST_SAID: Final = 64 * 1024
"""Bytes kept of what a command says on standard error: the first ones, since causes come first."""

PREFIX: Final = "hookline-render-"
_PYTHON: Final = str(Path(sys.executable).resolve())
"""The interpreter without a virtual environment, of which the keeper needs nothing: it starts sooner."""
_KEEPER: Final = str(Path(__file__).with_name("keeper.py"))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the commands of one render may take.

    memory_bytes: address space of each process.  file_bytes: of each file that is written.
    """

    memory_bytes: int = 8 << 30
    file_bytes: int = 2 << 30


class Ended(msgspec.Struct, frozen=True):
    """How a command ended. status: negative for a signal.  said: on standard error."""

    status: int
    said: str

    @property
    def sentence(self) -> str:
        """FFmpeg's end in the words of PF-7, without a cause."""
        if self.status >= 0:
            return f"FFmpeg exited with code {self.status}"
        number = -self.status
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hints = {signal.SIGKILL: "out of memory?", signal.SIGXFSZ: "the video is too large"}
        hint = f" ({hints[signal.Signals(number)]})" if number in hints else ""
        return f"FFmpeg was killed by {name}{hint}"


class Workshop:
    """``async with Workshop(limits) as workshop``: files in ``folder``, commands by ``run``; afterwards nothing."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None
        self.folder = Path()

    def __repr__(self) -> str:
        return f"<Workshop {self.folder.name}>"

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            self._process = await self._start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    async def _start(self) -> asyncio.subprocess.Process:
        limits = (str(self._limits.memory_bytes), str(self._limits.file_bytes))
        return await asyncio.create_subprocess_exec(
            *(_PYTHON, "-I", "-S", _KEEPER, *limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            # Nothing of the node's: its environment holds its database and its keys.
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            start_new_session=True,
        )

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        ending = asyncio.ensure_future(process.wait())
        try:
            await asyncio.shield(ending)
        finally:
            # Also when this task is cancelled meanwhile: the folder goes in any case.
            shutil.rmtree(self.folder, ignore_errors=True)

    async def run(
        self,
        command: Sequence[str],
        on_output: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> Ended:
        """Run a command in the folder until it ends. on_output: gets what it prints, as it comes.

        Cancelled, it leaves the command running: leave the workshop then.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(list(command)).encode() + b"\n")
        said = asyncio.ensure_future(_until_nul(process.stderr, MOST_SAID))
        try:
            status = await _status(process.stdout, on_output)
            text = (await said).decode("utf-8", "replace")
        finally:
            said.cancel()
        if status is None:  # the keeper itself is gone, and with it all it started
            status = await process.wait()
        return Ended(status, text)


async def _status(
    stream: asyncio.StreamReader, on_output: Callable[[bytes], Awaitable[None]] | None
) -> int | None:
    """Pass on what is printed, up to the status behind the NUL; None when the stream ends without one."""
    while chunk := await stream.read(1 << 16):
        output, nul, rest = chunk.partition(b"\0")
        if output and on_output is not None:
            await on_output(output)
        if nul:
            return int(rest if rest.endswith(b"\n") else rest + await stream.readline())
    return None


async def _until_nul(stream: asyncio.StreamReader, most: int) -> bytes:
    """Read up to a NUL or the end; keep the first bytes and drop the others."""
    kept = b""
    while chunk := await stream.read(1 << 16):
        said, nul, _ = chunk.partition(b"\0")
        kept += said[: most - len(kept)]
        if nul:
            break
    return kept
