"""Choose the environment variables that user code may see.

What is not named here stays out: the node's environment holds its database, its keys and whatever else the
operator's shell had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASIC: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    | {"PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
"""What programs need to start, find their files and speak the user's language; none is a secret."""

OWN: Final = "HOOKLINE_"
"""Prefix of the node's settings, which never pass."""

FOR_APPS: Final = "HOOKLINE_APP_"
"""Prefix of variables that are meant for user code and always pass."""


def clean_environment(environment: Mapping[str, str], passthrough: Iterable[str] = ()) -> dict[str, str]:
    """Return what a child process gets.

    passthrough: names the operator lets through, with a final ``*`` for a prefix. Raises SettingError for one
    that would let the node's own settings through.
    """
    names: set[str] = set()
    prefixes = [FOR_APPS, "LC_"]
    for pattern in passthrough:
        _check(pattern)
        if pattern.endswith("*"):
            prefixes.append(pattern[:-1])
        else:
            names.add(pattern)
    allowed = {
        name: value
        for name, value in environment.items()
        if name in BASIC or name in names or name.startswith(tuple(prefixes))
    }
    return {**allowed, "PYTHONUTF8": "1"}


def _check(pattern: str) -> None:
    stem = pattern.removesuffix("*")
    if not stem or "*" in stem or "=" in stem:
        raise SettingError(
            f"env_passthrough: expected names of variables, or a prefix and '*'; got {pattern!r}"
        )
    if stem.startswith(FOR_APPS):
        return
    if stem.startswith(OWN) or (pattern.endswith("*") and OWN.startswith(stem)):
        raise SettingError(
            f"env_passthrough: the node's own settings are not for user code; got {pattern!r}: "
            f"name variables for it {FOR_APPS}…"
        )
