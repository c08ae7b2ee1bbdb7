"""Parts: the use cases that belong together, wired to each other. ``node.py`` puts the groups together.

A group is made whole by its constructor and then only read; each part is built once and knows nothing of groups.
"""

from __future__ import annotations

from hookline.engine.parts.ground import Ground, Limits
from hookline.engine.parts.instances import Instances
from hookline.engine.parts.outgoing import Outgoing
from hookline.engine.parts.running import Running
from hookline.engine.parts.upkeep import Upkeep

__all__ = ["Ground", "Instances", "Limits", "Outgoing", "Running", "Upkeep"]
