"""How the demo fails."""

from __future__ import annotations


class DemoError(Exception):
    """Something did not arrive, or could not be shown; the message says what."""
