"""TLS settings for the connections of one webhook: always verified, never weaker than TLS 1.2.

Contexts are costly (milliseconds to read the certificates), so they are built once and kept by their options.
A private key is handed to OpenSSL through memory: it never touches a disk. Verification cannot be skipped.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from hookline.errors import InputError

if TYPE_CHECKING:
    from hookline.ports.sender import TlsOptions

# Webhooks with certificates of their own whose contexts stay in memory, at some 100 KB each.
_CONTEXTS = 128
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h.
_NAME_MISMATCH = frozenset({62, 64})


class TlsContexts:
    """Contexts by options."""

    def __init__(self) -> None:
        self._default: ssl.SSLContext | None = None
        self._own: dict[TlsOptions, ssl.SSLContext] = {}

    def get(self, options: TlsOptions | None) -> ssl.SSLContext:
        """Return the context for these options. Raises InputError when a certificate or key is bad."""
        if options is None:
            if self._default is None:
                self._default = _build(None)
            return self._default
        context = self._own.get(options)
        if context is None:
            context = self._own[options] = _build(options)
            if len(self._own) > _CONTEXTS:
                del self._own[next(iter(self._own))]
        return context


def is_name_mismatch(error: ssl.SSLError) -> bool:
    """The certificate is good, but for another name."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _NAME_MISMATCH


def describe(error: ssl.SSLError) -> str:
    """What went wrong in words, without OpenSSL's numbers and source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    reason = (error.reason or "").replace("_", " ").lower()
    return f"the handshake failed ({reason})" if reason else "the handshake failed"


def _build(options: TlsOptions | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=options.ca_pem if options is not None else None)
        if options is not None and options.certificate_pem is not None:
            _load_own_certificate(context, options.certificate_pem, options.key_pem or "")
    except (ssl.SSLError, ValueError) as exc:
        raise InputError("A certificate or key of this webhook cannot be read.", field="tls") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_own_certificate(context: ssl.SSLContext, certificate_pem: str, key_pem: str) -> None:
    # OpenSSL reads it from a path only; this one names memory of this process.
    memory = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(f"{key_pem.strip()}\n{certificate_pem.strip()}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
