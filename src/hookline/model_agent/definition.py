"""What may be said of a model agent, checked where it is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from hookline.errors import ModelFailedError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENAI_URL: Final = "https://api.openai.com/v1"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Price = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model answers, and within what bounds; ``options.ModelOptions`` says what each is."""

    model: _Name | None = None
    base_url: str | None = None
    api_key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    parameters: dict[str, Any] = {}
    can_resolve: bool = False
    history_turns: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20
    max_rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3
    answer_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 120.0
    tool_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    input_credits: _Price = 0.0
    output_credits: _Price = 0.0

    def __repr__(self) -> str:
        # Not the fields: a key is among them (P13).
        return f"Model({self.model!r})"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model answers. relay: the proxy that every connection goes through, with its secret."""

    url: str
    key: str | None
    model: str
    relay: str

    def __repr__(self) -> str:
        return f"Endpoint({self.host!r}, {self.model!r})"

    @property
    def host(self) -> str:
        """For people."""
        return urlsplit(self.url).hostname or self.url


def read_model(where: str, given: Mapping[str, Any]) -> Model:
    """Return the checked settings of a model agent. where: names it in the error.  Raises SettingError."""
    try:
        model = msgspec.convert(dict(given), Model)
    except msgspec.ValidationError as exc:
        # The library shows what was expected and its type, never the value.
        raise SettingError(f"{where}: {exc}") from None
    if model.base_url is not None and not _is_url(model.base_url):
        raise SettingError(f"{where}: base_url must be an http or https URL without user and password")
    if model.api_key is not None and not (model.api_key.isascii() and model.api_key.isprintable()):
        raise SettingError(f"{where}: api_key must be visible ASCII letters")
    return model


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def endpoint_of(model: Model, server: Mapping[str, Any] | None) -> Endpoint:
    """Return where a turn asks. server: what the node gives it, ``runners.model_access``; None where it gives nothing.

    The server's key belongs to the server's URL: an agent with a URL of its own gets no key but its own.
    Raises ModelFailedError.
    """
    if server is None:
        raise ModelFailedError("This process was given no way to a model.")
    name = model.model or server.get("model")
    if name is None:
        raise ModelFailedError("No model is named: give the agent model=…, or set HOOKLINE_OPENAI_MODEL.")
    is_own = model.base_url is not None or model.api_key is not None
    return Endpoint(
        url=model.base_url or server.get("base_url") or OPENAI_URL,
        key=model.api_key if is_own else server.get("api_key"),
        model=name,
        relay=server["relay"],
    )
