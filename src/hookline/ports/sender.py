"""What the engine needs of whatever carries a request to a receiver.

The engine calls ``Sender``; an adapter in ``senders/`` implements it. Nothing here opens a socket, signs,
retries on a schedule or stores anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from hookline.model.states import AttemptOutcome

if TYPE_CHECKING:
    from typing import BinaryIO

FETCH_REDIRECTS: Final = 3
"""Hops that lead from the URL of a file to the file: stores of files commonly have one or two."""

Headers = tuple[tuple[str, str], ...]

# What is kept of an answer (PROMISES P9): enough for every error page a person wants to read.
KEPT_ANSWER_BYTES = 64 * 1024


class TlsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one webhook's TLS differs from the default. Certificates are verified in every case.

    ca_pem: certificates to trust instead of the system's, PEM, None for the system's.
    certificate_pem, key_pem: client certificate chain and private key for mutual TLS, PEM, both or neither.
    """

    ca_pem: str | None = None
    certificate_pem: str | None = None
    key_pem: str | None = None

    def __repr__(self) -> str:
        """Say which parts are set, never the key."""
        return (
            f"TlsOptions(ca={self.ca_pem is not None}, certificate={self.certificate_pem is not None},"
            f" key={self.key_pem is not None})"
        )


class Outgoing(msgspec.Struct, frozen=True):
    """One request, ready to go: the body is signed and the headers are complete.

    url: as the user saved it; path and query go out byte for byte.
    headers: names and values as they appear on the wire, in order; the sender adds Host, Content-Length and,
    where they are missing, User-Agent, Accept and Accept-Encoding.
    timeout_seconds: from the call to the last byte kept of the answer, over all hops.
    connect_timeout_seconds: for name, connection and TLS handshake, within the above.
    tls: None for the default.  max_redirects: hops that may be followed; 0 follows none.
    credentials: names of headers, lower-case, that no other origin than the URL's own may get.
    query_secret: ``name=value`` that is added to the query as it stands, of this origin alone; None for none.
    """

    url: str
    headers: Headers = ()
    body: bytes = b""
    timeout_seconds: float = 15.0
    method: str = "POST"
    connect_timeout_seconds: float = 5.0
    tls: TlsOptions | None = None
    max_redirects: int = 0
    credentials: frozenset[str] = frozenset()
    query_secret: str | None = None

    def __repr__(self) -> str:
        """Say what is sent where, without credentials, signatures and whatever the URL's query may hold."""
        place = self.url.partition("?")[0]
        return f"<Outgoing {self.method} {place}, {len(self.headers)} headers, {len(self.body)} bytes>"


class Answer(msgspec.Struct, frozen=True):
    """How one attempt ended.

    status: HTTP status as soon as one was read, None without.
    error: one plain sentence for people, without secrets; None when delivered.
    address: the IP that was dialled or refused, None if it never came to that.
    headers: as received.  body: the first 64 KiB at most, as it came, never decompressed.
    is_cut: more of the body followed, or it broke off.
    address, headers, body and what else describes one exchange are of the last one, when redirects were followed.
    location: target of a redirect as received, None when the answer is not one or names none.
    """

    outcome: AttemptOutcome
    status: int | None = None
    error: str | None = None
    address: str | None = None
    duration_ms: int = 0
    headers: Headers = ()
    body: bytes = b""
    is_cut: bool = False
    location: str | None = None


class Sender(Protocol):
    """Makes one HTTP attempt.

    Guarantees: an answer for whatever the receiver, its name server or the network does, never an exception;
    an end within ``timeout_seconds`` (50 ms more at most); bounded memory; no connection to an address that
    the operator's policy refuses; cancellation goes through and closes the connection.
    Does not guarantee: that a request without an answer was not received. A connection that the receiver
    closed while idle is replaced once, within the same attempt, and only when nothing was answered on it.
    """

    async def send(self, request: Outgoing) -> Answer:
        """Send it and read the answer."""

    async def close(self) -> None:
        """Close idle connections and end the requests under way; ``send`` may not be called again."""


class Fetcher(Protocol):
    """Gets a file that a user named by its URL.

    Guarantees those of ``Sender``; every hop of a redirect is judged like the URL itself.
    """

    async def fetch(self, url: str, file: BinaryIO, *, most_bytes: int, timeout_seconds: float) -> Answer:
        """Write the file into an open one. It is whole only when the answer's outcome is DELIVERED; else the file may
        hold a part of it, and the answer's error says why. The answer's body is empty then.

        timeout_seconds: for all of it, redirects included.
        """
        ...
