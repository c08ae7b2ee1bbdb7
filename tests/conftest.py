"""For every test: property tests try the same examples each time, so that a check says something about the change.

``HOOKLINE_RANDOM=1`` lets them look for new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile("random" if os.environ.get("HOOKLINE_RANDOM") else "steady")
