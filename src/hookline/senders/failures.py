"""What kept a connection from coming about, as the outcome of an attempt and one sentence for people."""

from __future__ import annotations

import errno
import ssl

from hookline.model.states import AttemptOutcome
from hookline.senders import tls

_CONNECT_ERRORS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.EHOSTUNREACH: "there is no route to it",
    errno.ENETUNREACH: "there is no route to its network",
    errno.ETIMEDOUT: "it did not answer",
}


class UnopenedError(Exception):
    """No connection came about. address: the one that was dialled or refused, None if it never came to that."""

    def __init__(self, outcome: AttemptOutcome, message: str, address: str | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.address = address


def stopping() -> UnopenedError:
    """This node closes."""
    return UnopenedError(AttemptOutcome.INTERRUPTED, "This node is stopping.")


def connect_failure(error: OSError, address: str) -> UnopenedError:
    """The kernel made no connection, or one that was reset before anything could be asked."""
    if error.errno == errno.ECONNRESET:
        message = f"The connection to {address} was lost before it answered: it was reset."
        return UnopenedError(AttemptOutcome.CONNECTION_LOST, message, address)
    reason = _CONNECT_ERRORS.get(error.errno or 0, error.strerror or "the connection failed")
    return UnopenedError(AttemptOutcome.CONNECT_FAILED, f"No connection to {address}: {reason}.", address)


def tls_failure(error: OSError, address: str) -> UnopenedError:
    """The handshake failed."""
    outcome = AttemptOutcome.TLS_FAILED
    if isinstance(error, ssl.SSLError):
        if tls.is_name_mismatch(error):
            outcome = AttemptOutcome.TLS_NAME
        reason = tls.describe(error)
    elif isinstance(error, TimeoutError):
        reason = "the handshake took too long"
    else:
        reason = "the receiver closed the connection during the handshake"
    return UnopenedError(outcome, f"No secure connection to {address}: {reason}.", address)


def tunnel_failure(status: int | None, address: str) -> UnopenedError:
    """The egress proxy opened no tunnel. status: what it answered, None when that was no HTTP.

    That a proxy does not know us is no fault of the receiver; that it refuses or does not reach the address counts.
    """
    if status is None:
        return UnopenedError(AttemptOutcome.NOT_SENT, "The egress proxy does not answer in HTTP.", address)
    if status in {401, 407}:
        message = f"The egress proxy answered {status}: it does not know our user name and password."
        return UnopenedError(AttemptOutcome.NOT_SENT, message, address)
    if 400 <= status <= 499:
        message = f"The egress proxy answered {status}: it does not allow {address}."
        return UnopenedError(AttemptOutcome.ADDRESS_REFUSED, message, address)
    message = f"No connection to {address}: the egress proxy answered {status}."
    return UnopenedError(AttemptOutcome.CONNECT_FAILED, message, address)
