"""Credentials of triggers: how each kind is made, stored, found and rotated.

Of a token or API key only a SHA-256 is kept, of a name and password a digest keyed with the installation's secret and
bound to the route; the secret of a signature is sealed, since it is needed to check one. What is shown once is not
kept.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import type_name
from hookline.core.inbound import SECRET_FIELDS, check_secret, scheme_from
from hookline.engine.vault import TRIGGER_OPTIONS, token_digest
from hookline.errors import InputError
from hookline.model.configuration import TriggerAuth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.core.inbound import Scheme
    from hookline.engine.vault import Vault

TOKENS: Final = "token"
"""Name space of live tokens and API keys of the agenticflow profile, by SHA-256 in hex."""
BASICS: Final = "basic"
"""Name space of user names and passwords of that profile, by keyed digest."""

AUTH_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "agenticflow": ("token", "basic", "api_key"),
    "prismatic": ("token", "basic", "api_key", "signature", "none"),
    "native": ("token", "basic", "api_key", "signature", "none"),
}
"""Profile to the ways in which its callers may be known (CONTRACT section 3)."""

_SEALED: Final = "sealed"
_PREFIXES: Final = {"token": "wht_", "api_key": "hwk_"}
_OWN_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,256}", re.ASCII)
# A sender's password may be fixed where it comes from, so that only what is no password at all is refused.
_LEAST_PASSWORD: Final = 4


class SignatureSecrets(msgspec.Struct, frozen=True):
    """What is sealed of a signature. secrets: newest first.  verify_token: for Meta's subscription form, or None."""

    secrets: tuple[str, ...]
    verify_token: str | None = None

    def __repr__(self) -> str:
        return f"SignatureSecrets({len(self.secrets)})"


def basic_digest(vault: Vault, place: str, username: str, password: str) -> str:
    """Return the name of a basic credential of a route. place: ``agents/ID``, ``workflows/ID`` or ``path_place``."""
    return vault.digest("basic", place, username, password)


def path_place(path_id: str) -> str:
    """Return the place of a trigger with a path of its own."""
    return f"trigger/{path_id}"


def new_credential(kind: str) -> str:
    """Return a fresh token or API key. kind: ``token`` or ``api_key``."""
    return _PREFIXES[kind] + urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def new_auth(
    vault: Vault, given: Mapping[str, Any], *, profile: str, place: str
) -> tuple[TriggerAuth, str | None]:
    """Return how callers are known, and the token or API key to show once. Raises InputError.

    given: the ``auth`` object as it came.  place: see ``basic_digest``.
    """
    kind = _auth_type(given, profile)
    if kind in _PREFIXES:
        own = given.get(kind)
        _refuse_others(given, {"type", kind})
        text = new_credential(kind) if own is None else _own_token(own, kind)
        return TriggerAuth(type=kind, digests=(token_digest(text),)), text
    if kind == "basic":
        return _basic_auth(vault, given, place), None
    if kind == "signature":
        return _signature_auth(vault, given), None
    _refuse_others(given, {"type"})
    return TriggerAuth(type="none"), None


def _auth_type(given: Mapping[str, Any], profile: str) -> str:
    kind, allowed = given.get("type"), AUTH_TYPES[profile]
    if isinstance(kind, str) and kind in allowed:
        return kind
    message = "auth.type must be chosen."
    if isinstance(kind, str):
        message = f"There is no auth.type '{kind[:40]}' here."
    if isinstance(kind, str) and kind in AUTH_TYPES["native"]:
        message = (
            f"In the profile {profile} the credential alone says which trigger a request is for, and '{kind}' names "
            "none: choose another, or profile native, whose triggers have a URL of their own."
        )
    raise InputError(
        message,
        field="auth.type",
        expected=" or ".join(allowed),
        received=type_name(kind),
    )


def _basic_auth(vault: Vault, given: Mapping[str, Any], place: str) -> TriggerAuth:
    _refuse_others(given, {"type", "username", "password"})
    username, password = _text(given, "username", 1), _text(given, "password", _LEAST_PASSWORD)
    if ":" in username:
        raise InputError(
            "A user name cannot hold a colon (RFC 7617).",
            field="auth.username",
            expected="string without :",
            received="string with :",
        )
    return TriggerAuth(
        type="basic", username=username, password_digest=basic_digest(vault, place, username, password)
    )


# --- signatures ---------------------------------------------------------------------------------------------


def _signature_auth(vault: Vault, given: Mapping[str, Any]) -> TriggerAuth:
    scheme = scheme_from(given)
    known = [check_secret(scheme, given.get("secret"))]
    if given.get("previous_secret") is not None:
        known.append(check_secret(scheme, given["previous_secret"], field="auth.previous_secret"))
    verify_token = given.get("verify_token")
    if verify_token is not None:
        verify_token = _text(given, "verify_token", 1)
    definition = {name: value for name, value in given.items() if name not in SECRET_FIELDS | {"type"}}
    held = SignatureSecrets(tuple(known), verify_token)
    return TriggerAuth(type="signature", options=definition | {_SEALED: _sealed(vault, held)})


def scheme_of(auth: TriggerAuth) -> Scheme:
    """Return the scheme of a signature."""
    return scheme_from(definition_of(auth))


def definition_of(auth: TriggerAuth) -> dict[str, Any]:
    """Return what may be shown of a signature's settings."""
    return {name: value for name, value in auth.options.items() if name != _SEALED}


def secrets_of(vault: Vault, auth: TriggerAuth) -> SignatureSecrets:
    """Return the secrets of a signature. Raises SealBrokenError."""
    plain = vault.open(b64decode(auth.options[_SEALED]), TRIGGER_OPTIONS)
    return msgspec.json.decode(plain, type=SignatureSecrets)


def with_new_secret(vault: Vault, auth: TriggerAuth, secret: Any, *, keeps_previous: bool) -> TriggerAuth:
    """Return a signature's settings with a new secret before the present one. Raises InputError."""
    fresh = check_secret(scheme_of(auth), secret, field="secret")
    held = secrets_of(vault, auth)
    kept = (fresh, held.secrets[0]) if keeps_previous else (fresh,)
    sealed = _sealed(vault, msgspec.structs.replace(held, secrets=kept))
    return msgspec.structs.replace(auth, options=auth.options | {_SEALED: sealed})


def _sealed(vault: Vault, held: SignatureSecrets) -> str:
    return b64encode(vault.seal(msgspec.json.encode(held), TRIGGER_OPTIONS)).decode()


# --- fields -------------------------------------------------------------------------------------------------


def _own_token(token: Any, kind: str) -> str:
    """A token brought along from elsewhere (``wh_…``), so that senders need not change."""
    if not isinstance(token, str) or _OWN_TOKEN.fullmatch(token) is None:
        raise InputError(
            f"An own {kind} has 16 to 256 characters of A-Z a-z 0-9 . _ ~ -.",
            field=f"auth.{kind}",
            expected="16 to 256 of A-Z a-z 0-9 . _ ~ -",
            received=type_name(token),
        )
    return token


def _text(auth: Mapping[str, Any], name: str, least: int) -> str:
    value = auth.get(name)
    if value is None:
        raise InputError(
            f"Required field 'auth.{name}' is missing",
            field=f"auth.{name}",
            expected="string",
            received="null",
        )
    if not isinstance(value, str) or not (
        least <= len(value.strip()) and len(value) <= 256 and value.isprintable()
    ):
        raise InputError(
            f"auth.{name} must have {least} to 256 printable characters.",
            field=f"auth.{name}",
            expected=f"string of {least} to 256 printable characters",
            received=type_name(value),
        )
    return value


def _refuse_others(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no field 'auth.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"auth.{name[:40]}",
                expected=" ".join(sorted(known)),
                received=type_name(given[name]),
            )
