"""Gather the settings of this process from flags, environment and file, and say what is wrong with one."""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import suppress
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from hookline.config.settings import Settings
from hookline.config.values import PREFIX
from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "hookline.toml"
FILE_VARIABLE: Final = "HOOKLINE_CONFIG"
"""Names another file than ``hookline.toml`` in the working directory; then that file must exist."""


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Return the settings of this process. Raises SettingError.

    overrides: by field name, from flags; None values are ignored.  environ: the process's own when None.
    directory: where ``hookline.toml`` is looked for; the working directory when None.
    """
    environ = os.environ if environ is None else environ
    path, values = _read_file(environ, directory or Path())
    origins = {name: f"{name} in {path}" for name in values}
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable in environ:
            values[name], origins[name] = environ[variable], variable
    for name, value in (overrides or {}).items():
        if value is not None:
            values[name], origins[name] = value, _FLAGS.get(name, "--" + name.replace("_", "-"))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _explain(error, values, origins) from None


_FLAGS: Final = {"allow_networks": "--allow-network"}
"""Flags that are not named as their setting is."""


_OF_COMMANDS: Final = frozenset({"HOOKLINE_URL", "HOOKLINE_API_KEY", "HOOKLINE_ORGANIZATION"})
"""Variables of the commands that speak to a server; they are no settings of one."""


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return what begins as a setting's variable does and is none, each with the one that is meant by it, most likely.

    None: no known name is near; it may be a variable of somebody else's.
    """
    known = {variable_of(name) for name in Settings.model_fields} | {FILE_VARIABLE} | _OF_COMMANDS
    ends = [name.removeprefix(PREFIX) for name in known]
    found: dict[str, str | None] = {}
    for name in sorted(environ.keys() - known):
        if name.startswith(PREFIX):
            near = get_close_matches(name.removeprefix(PREFIX), ends, n=1, cutoff=_ALIKE)
            found[name] = f"{PREFIX}{near[0]}" if near else None
    return found


_ALIKE: Final = 0.7
"""Share of letters that a misspelt name has in common with the one meant: ``PROT`` and ``PORT`` have 0.75."""


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def expected_of(name: str) -> str:
    """Return what a field's value must be, in words."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["expected"]) if isinstance(extra, dict) else ""


def _read_file(environ: Mapping[str, str], directory: Path) -> tuple[Path, dict[str, Any]]:
    named = environ.get(FILE_VARIABLE)
    path = Path(named) if named else directory / FILE
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return path, {}
        raise SettingError(
            f"{FILE_VARIABLE} must be a TOML file that exists, got {named!r}", field="config"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path} must be a readable TOML file: {error}", field="config") from error


def _explain(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> SettingError:
    """Word the first thing that is wrong. The library's own words are dropped: they would show a secret."""
    problem = error.errors(include_input=False, include_url=False)[0]
    name = str(problem["loc"][0])
    if name not in Settings.model_fields:
        near = get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return SettingError(f"{origins.get(name, name)}: there is no such setting{hint}", field=name)
    expected, received = expected_of(name), _shown(name, values[name])
    return SettingError(
        f"{origins[name]} must be {expected}, got {received}{_meant(values[name])}",
        field=name,
        expected=expected,
        received=received,
    )


def _shown(name: str, value: object) -> str:
    if name in {
        "admin_key",
        "secret_key",
        "secret_key_previous",
        "smtp_url",
        "nats_url",
        "egress_proxy",
        "openai_api_key",
    }:
        return "nothing" if not value else f"a secret of {len(str(value))} characters"
    if name in {"database", "database_direct"} and "@" in str(value):
        return "a URL that cannot be read" if "://" not in str(value) else _without_password(str(value))
    return repr(", ".join(map(str, value)) if isinstance(value, tuple | list) else value)


def _meant(value: object) -> str:
    """Say which network an address with a prefix length is in: ``127.0.0.1/8`` is none."""
    texts = value.split(",") if isinstance(value, str) else value if isinstance(value, tuple | list) else ()
    for text in texts:
        with suppress(ValueError):
            network = ip_network(str(text).strip(), strict=False)
            if "/" in str(text) and str(network) != str(text).strip():
                return f"; did you mean {network}?"
    return ""


def _without_password(url: str) -> str:
    return repr(re.sub(r"//.*@", "//…@", url))
