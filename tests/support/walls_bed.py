"""Machines that give a sandbox fewer walls than this one: without mounts, without namespaces, without Landlock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hookline.runners.sandbox import cell, husk
from hookline.runners.script import languages

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hookline.model.scripts import ScriptDefinition

WAYS = ("namespaces", "no mounts", "landlock")
"""With namespaces, with such that allow no mounts (AppArmor), and with none (containers)."""


def raise_walls(way: str, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let scripts run behind the walls of one of WAYS. folder: an empty one."""
    if way == "no mounts":
        broken = {"enter.py": ("        mount(None", "        raise OSError\n        mount(None")}
        patch.setattr(husk, "ENTER", changed_sandbox(folder, broken))
        made = cell.Spec
        patch.setattr(languages, "Spec", lambda **fields: made(**{**fields, "must_isolate": False}))
    if way == "landlock":
        # Root's interpreter may lie where no other user can reach it; then the walls are too few for strangers.
        forbid_namespaces(patch, must_isolate=False)


def forbid_namespaces(patch: pytest.MonkeyPatch, **changes: bool) -> None:
    made = languages.spec_of

    def without(definition: ScriptDefinition, **given: Any) -> cell.Spec:
        spec = made(definition, **given, namespaces=False)
        return msgspec.structs.replace(spec, **changes)

    patch.setattr("hookline.runners.script.run.spec_of", without)


def changed_sandbox(folder: Path, changes: dict[str, tuple[str, str]]) -> Path:
    """A copy of the sandbox for a kernel that lacks something. changes: by file, a text and what stands instead."""
    for file in husk.ENTER.parent.glob("*.py"):
        text = file.read_text("utf-8")
        if file.name in changes:
            assert text.count(changes[file.name][0]) == 1
            text = text.replace(*changes[file.name])
        (folder / file.name).write_text(text, "utf-8")
    return folder / "enter.py"
