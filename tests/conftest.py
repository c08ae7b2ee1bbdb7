"""For every test: property tests try the same examples each time, so that a check says something about the change.

``HOOKLINE_RANDOM=1`` lets them look for new ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import settings
from programs import program

if TYPE_CHECKING:
    import pytest

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("random", derandomize=False, deadline=None)
settings.load_profile("random" if os.environ.get("HOOKLINE_RANDOM") else "steady")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked ``needs("curl")`` runs only where curl is."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            program(name)
