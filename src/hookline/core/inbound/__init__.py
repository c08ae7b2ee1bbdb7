"""Requests from other systems: are they who they say, what do they ask, and if not, why.

    scheme = scheme_from({"preset": "stripe"})              # or an own scheme's fields; InputError
    check_secret(scheme, secret)                            # when a trigger is made; InputError
    answer = handshake(scheme, secrets, …)                  # first: an answer to send, or None
    verified = verify(scheme, secrets, …)                   # then: dedupe_id, secret_index; VerificationError
    diagnosis = diagnose(scheme, secrets, …)                # for the owner of the secret only: plain sentences

A trigger keeps the definition without SECRET_FIELDS, and those encrypted. ``url`` is the whole public URL as the sender
was given it, with the query exactly as it came (Square and Twilio sign it). Ask ``handshake`` before the trigger's
methods are checked: Meta asks with GET. Dedupe by ``Verified.dedupe_id`` within the trigger; None means that the
sender gave no id. While secrets are rotated give all of them, newest first.

Pure: no clock, no I/O; 10 to 25 us a request (150 for Ed25519) plus the hash of its body.
``sign`` makes what ``verify`` takes.
"""

from __future__ import annotations

from hookline.core.inbound.content import check_secret
from hookline.core.inbound.diagnose import NO_IDEA, Diagnosis, diagnose, hints
from hookline.core.inbound.handshake import HandshakeAnswer, handshake
from hookline.core.inbound.presets import NOT_YET, PRESETS, SECRET_FIELDS, scheme_from
from hookline.core.inbound.request import Headers, Request, received
from hookline.core.inbound.scheme import Scheme, Source
from hookline.core.inbound.sign import public_key, sign
from hookline.core.inbound.verify import Verified, verify, verify_request
from hookline.errors import VerificationError

__all__ = [
    "NOT_YET",
    "NO_IDEA",
    "PRESETS",
    "SECRET_FIELDS",
    "Diagnosis",
    "HandshakeAnswer",
    "Headers",
    "Request",
    "Scheme",
    "Source",
    "VerificationError",
    "Verified",
    "check_secret",
    "diagnose",
    "handshake",
    "hints",
    "public_key",
    "received",
    "scheme_from",
    "sign",
    "verify",
    "verify_request",
]
