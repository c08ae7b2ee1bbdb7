"""Say whether the environment asks for spans, in the variables that OpenTelemetry gives names to.

Apart from the adapter, so that a plain install can ask without having the extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from hookline.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

Exporter = Literal["otlp", "console"]

EXPORTER: Final = "OTEL_TRACES_EXPORTER"
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = "http/protobuf"


def wanted_exporter(environ: Mapping[str, str]) -> Exporter | None:
    """Return what spans go to, None when nobody asks for them. Raises SettingError for what we do not have."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = environ.get(EXPORTER, "").strip().lower()
    if not named:
        named = "otlp" if any(environ.get(name) for name in ENDPOINTS) else "none"
    if named == "none":
        return None
    if named not in {"otlp", "console"}:
        raise SettingError(
            f"{EXPORTER} must be otlp, console or none, got {named!r}",
            field=EXPORTER,
            expected="otlp, console or none",
            received=named,
        )
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    if named == "otlp" and protocol != _HTTP:
        raise SettingError(
            f"{_PROTOCOLS[1]} must be {_HTTP}, got {protocol!r}",
            field=_PROTOCOLS[1],
            expected=_HTTP,
            received=protocol,
        )
    return "otlp" if named == "otlp" else "console"
