"""Script agents: the source that people store, the agent that runs it, and what its runner is given."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from hookline.model.configuration import Document
from hookline.model.ids import Key


class ScriptLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run may take. Each has a ceiling in ``engine/manage/scripts.py``.

    time_seconds: wall time.  memory_mb: of all its processes together, in mebibytes.  disk_mb: of the files it writes,
    which are memory, too.  processes: processes and threads.
    """

    time_seconds: int = 900
    memory_mb: int = 256
    disk_mb: int = 64
    processes: int = 64


class Script(Document, frozen=True, kw_only=True):
    """Source of one organization. Each change is a revision, and those stay readable.

    slug: with its suffix, ``.py`` or ``.js``; unique in its organization and branch.  org: the organization's slug, as
    PB-3 tells it.
    """

    kind: ClassVar[str] = "script"
    slug: str
    org: str
    branch: str
    source: str


class ScriptAgent(Document, frozen=True, kw_only=True):
    """What launches a script (PB-1, PB-4).

    number: 16 digits, below 2^53, stable and unique; its public id.  script, branch: which source, by its name, always
    as it is now.  argument: JSON text of the argument of a launch that brings none, or None.
    network: whether it may reach public addresses.
    webhook_id: the webhook of its own that was made with it, or None.  max_parallelism: runs at once on one node.
    """

    kind: ClassVar[str] = "script_agent"
    number: str
    name: str
    script: str
    branch: str
    argument: str | None = None
    limits: ScriptLimits = ScriptLimits()
    network: bool = False
    max_parallelism: int = 1
    webhook_id: Key | None = None


class ScriptDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner of scripts is given at each start (``RunJob.definition``).

    must_isolate: refuse to run it where the machine has no walls to put around it.
    """

    slug: str
    org: str
    branch: str
    source: str
    limits: ScriptLimits
    network: bool = False
    must_isolate: bool = True
