"""Certificates of a webhook: what it trusts instead of the system's authorities, and what we show of ourselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from hookline.core.canonical import type_name
from hookline.engine.vault import CERTIFICATES
from hookline.errors import InputError
from hookline.ports.sender import TlsOptions

if TYPE_CHECKING:
    from hookline.engine.vault import Vault
    from hookline.model.configuration import Webhook

_MOST_CHARACTERS: Final = 64 * 1024
_FIELDS: Final = ("ca_pem", "certificate_pem", "key_pem")
_SHOWN: Final = ("trusts", "certificate")


def tls(vault: Vault, webhook: Webhook, value: Any) -> dict[str, Any]:
    """Check what was given and seal it: a private key is among it. None unsets all of it; what is shown of it instead
    of the texts leaves it as it is. Raises InputError.
    """
    if value is None:
        return {"tls": {}, "sealed_tls": None}
    given = {name: value[name] for name in _FIELDS if value.get(name) is not None}
    told = {name: value[name] for name in _SHOWN if value.get(name) is not None}
    if told and not given:
        _check_unchanged(told, webhook.tls)
        return {}
    for name, text in given.items():
        if len(text) > _MOST_CHARACTERS:
            raise _bad(name, f"is longer than {_MOST_CHARACTERS} characters")
    if ("certificate_pem" in given) != ("key_pem" in given):
        missing = "key_pem" if "certificate_pem" in given else "certificate_pem"
        raise _bad(missing, "is missing: a certificate and its key come together")
    if not given:
        return {"tls": {}, "sealed_tls": None}
    shown: dict[str, Any] = {}
    if "ca_pem" in given:
        shown["trusts"] = [_named(one) for one in _certificates(given["ca_pem"], "ca_pem")]
    if "certificate_pem" in given:
        own = _certificates(given["certificate_pem"], "certificate_pem")[0]
        if not _belongs(own, given["key_pem"]):
            raise _bad("key_pem", "is not the key of that certificate")
        shown["certificate"] = _named(own)
    options = TlsOptions(**{name: given.get(name) for name in _FIELDS})
    return {"tls": shown, "sealed_tls": vault.seal(msgspec.json.encode(options), CERTIFICATES)}


def opened(vault: Vault, webhook: Webhook) -> TlsOptions | None:
    """What a sender needs of it, None for the default."""
    if webhook.sealed_tls is None:
        return None
    return msgspec.json.decode(vault.open(webhook.sealed_tls, CERTIFICATES), type=TlsOptions)


def _check_unchanged(told: dict[str, Any], stored: dict[str, Any]) -> None:
    for name in _SHOWN:
        if told.get(name) != stored.get(name):
            raise InputError(
                f"tls.{name} only tells what is there; certificates are given as PEM texts.",
                field=f"tls.{name}",
                expected="as it is shown, or ca_pem, certificate_pem and key_pem",
                received=type_name(told.get(name)),
            )


def _certificates(text: str, field: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _bad(field, "holds no certificate in PEM") from exc
    for one in found:
        if one.not_valid_after_utc < datetime.now(UTC):
            raise _bad(field, f"holds a certificate that ended on {one.not_valid_after_utc:%Y-%m-%d}")
    return found


def _belongs(certificate: x509.Certificate, key_pem: str) -> bool:
    try:
        key = load_pem_private_key(key_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _bad("key_pem", "holds no unencrypted private key in PEM") from exc
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def _named(certificate: x509.Certificate) -> dict[str, str]:
    """What people recognize a certificate by; no part of it is secret."""
    return {
        "subject": certificate.subject.rfc4514_string()[:200],
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
    }


def _bad(field: str, why: str) -> InputError:
    return InputError(f"tls.{field} {why}.", field=f"tls.{field}", expected="PEM text", received="string")
