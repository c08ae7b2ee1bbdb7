"""How requests to a trigger are signed, and with which secrets: a trigger's own, or those of an instance's flow.

Nothing here verifies anything (``core.inbound`` does) or reads HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hookline.core.inbound import Scheme, scheme_from
from hookline.engine.manage.credentials import scheme_of, secrets_of
from hookline.errors import InputError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookline.engine.contexts import Contexts
    from hookline.engine.vault import Vault
    from hookline.model.configuration import TriggerAuth
    from hookline.model.integrations import Flow, Instance, Integration


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are signed. secrets: those that count now, newest first; none refuses every request.

    verify_tokens: the words that Meta's subscription form may show.
    """

    scheme: Scheme
    secrets: tuple[str, ...]
    verify_tokens: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Signing({self.scheme.name!r}, {len(self.secrets)} secrets)"  # P13


def of_trigger(vault: Vault, auth: TriggerAuth, *, is_previous_live: bool) -> Signing | None:
    """Return how requests to a trigger with a URL of its own are signed, None when they are not."""
    if auth.type != "signature":
        return None
    held = secrets_of(vault, auth)
    return Signing(
        scheme=scheme_of(auth),
        secrets=held.secrets if is_previous_live else held.secrets[:1],
        verify_tokens=() if held.verify_token is None else (held.verify_token,),
    )


def of_flow(contexts: Contexts, instance: Instance, flow: Flow) -> Signing | None:
    """Return how requests to a flow of an instance are signed, None when they are not."""
    signature = flow.signature
    if signature is None:
        return None
    config = contexts.config(instance)
    token = None if signature.verify_token is None else config.get(signature.verify_token)
    return Signing(
        scheme=scheme_from(signature.definition),
        secrets=tuple(config[name] for name in signature.secrets if config.get(name)),
        verify_tokens=(token,) if token else (),
    )


def check_signatures(integrations: Iterable[Integration]) -> None:
    """Raise SettingError for a flow whose declared scheme is none."""
    for integration in integrations:
        for flow in integration.flows:
            if flow.signature is None:
                continue
            try:
                scheme_from(flow.signature.definition, field="scheme")
            except InputError as exc:
                what = f"flow {flow.name!r} of integration {integration.id!r}"
                raise SettingError(
                    f"{what}: its signature is none: {exc.message} ({exc.field}: expected {exc.expected})"
                ) from exc
