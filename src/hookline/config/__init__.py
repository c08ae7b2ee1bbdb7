"""Say how this node is set up: one frozen object, from flags, environment and ``hookline.toml``.

An earlier source wins. A value that cannot be used stops the start with its key, what was expected and what
was found; the text of a secret is never part of that message, nor of ``repr``. Nothing here opens a database.

Importing this module imports pydantic: the command line does it only once a command needs it.
"""

from __future__ import annotations

from hookline.config.loading import (
    FILE,
    FILE_VARIABLE,
    expected_of,
    load_settings,
    unknown_variables,
    variable_of,
)
from hookline.config.settings import Settings
from hookline.config.values import ALL_ROLES, PREFIX, Role

__all__ = [
    "ALL_ROLES",
    "FILE",
    "FILE_VARIABLE",
    "PREFIX",
    "Role",
    "Settings",
    "expected_of",
    "load_settings",
    "unknown_variables",
    "variable_of",
]
