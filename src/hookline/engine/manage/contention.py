"""Say how often a change is read, made and written again because somebody else wrote in between."""

from __future__ import annotations

from typing import Final

TRIES: Final = 32
"""Each round lets one writer through, so that so many may change one thing at the same moment. A round takes
milliseconds; whoever is still not through is told 409.
"""
