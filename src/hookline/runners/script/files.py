"""Keep the files that a script left behind, each by its name, and say in the log which of them were not kept."""

from __future__ import annotations

import mimetypes
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hookline.core.content import OCTETS
from hookline.errors import InputError, StorageError
from hookline.ports.runner import LogDraft

if TYPE_CHECKING:
    from hookline.ports.runner import RunListener
    from hookline.runners.sandbox.left import LeftFile, LeftFiles

_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table: a machine's would make a file's type depend on the node that ran the script."""


async def keep_files(left: LeftFiles, listener: RunListener, *, most_bytes: int) -> None:
    """Keep one after the other. most_bytes: of all of them; those that come once it is full are not kept.

    Raises what ``RunListener.recorded`` does. A file that cannot be kept changes nothing of how the run ended.
    """
    room = most_bytes
    while (file := left.take()) is not None:
        if file.descriptor is None:
            await _note(listener, file, file.why or "it cannot be read")
            continue
        # What a script makes longer than its disk is holes.
        size = os.fstat(file.descriptor).st_size
        if size > room:
            os.close(file.descriptor)
            await _note(listener, file, f"all files together may have {most_bytes} bytes, its disk_mb")
            continue
        name = file.name or ""
        try:
            await listener.produced(file.descriptor, name, _type_of(name))
        except (InputError, StorageError) as exc:
            await _note(listener, file, exc.message)
        else:
            room -= size


def _type_of(name: str) -> str:
    type_, encoding = _TYPES.guess_type(name)
    return OCTETS if type_ is None or encoding is not None else type_


async def _note(listener: RunListener, file: LeftFile, why: str) -> None:
    what = "Some files were" if file.name is None else f"The file {file.name!r} was"
    text = f"{what} not kept: {why.removesuffix('.')}."
    draft = LogDraft(at=datetime.now(UTC), stream="log", level="warning", text=text)
    await listener.recorded((), (draft,), 0.0, ())
