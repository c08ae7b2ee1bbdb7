"""Import a user's app from a file: ``path.py`` or ``path.py:name``.

Only child processes do this; the node never runs user code.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from hookline.errors import SettingError
from hookline.sdk import App

if TYPE_CHECKING:
    from types import ModuleType


class NoAppError(SettingError):
    """There is no app at the place that was named: the place is wrong, no line of the user's code is."""


def load_app(place: str) -> App:
    """Return the App. Modules beside the file can be imported. Raises NoAppError, or what the file raises.

    place: without a name, ``app`` is taken, else the only App in the file.
    """
    path, name = split_place(place)
    if not path.is_file():
        raise NoAppError(f"expected a Python file; there is none at {str(path)!r}")
    module = _import_file(path.resolve())
    found = vars(module).get(name or "app")
    if name is None and not isinstance(found, App):
        apps = {id(value): value for value in vars(module).values() if isinstance(value, App)}
        found = next(iter(apps.values())) if len(apps) == 1 else None
    if not isinstance(found, App):
        wanted = f"an App named {name!r}" if name else "one App, or one named 'app'"
        raise NoAppError(f"expected {wanted} in {str(path)!r}; there is none")
    return found


def split_place(place: str) -> tuple[Path, str | None]:
    """Return the file and the name after the last colon, None without one."""
    path, colon, name = place.rpartition(":")
    if colon and name.isidentifier():
        return Path(path), name
    return Path(place), None


def _import_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NoAppError(f"expected a Python file; got {str(path)!r}")
    sys.path.insert(0, str(path.parent))
    module = module_from_spec(spec)
    # As import does: so that classes of the file can be pickled, and modules beside it can import it.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
