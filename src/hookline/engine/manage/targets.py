"""Where a delivery may go, as far as its URL says: names are resolved and judged anew at every attempt."""

from __future__ import annotations

from typing import Final, Protocol

from hookline.core.addresses import how_to_allow, parse_target
from hookline.errors import InputError

_LOOPBACK: Final = ("127.0.0.1", "::1")


class Addresses(Protocol):
    """Says which addresses may be dialled; ``core.addresses.AddressPolicy`` is one."""

    def check(self, ip: str, /) -> str | None:
        """Return why the address is refused, or None when it is allowed."""


def check_target(url: object, addresses: Addresses, *, field: str) -> None:
    """Raise InputError for what is no plain http or https URL, or names an address that may not be dialled."""
    target = parse_target(url, field=field)
    named = (target.address,) if target.address is not None else _known(target.host)
    reasons = [addresses.check(address) for address in named]
    if named and reasons[0] is not None and None not in reasons:
        raise InputError(
            f"The address {named[0]} may not be a target: {reasons[0]}.{how_to_allow(named[0])}",
            code="ADDRESS_REFUSED",
            field=field,
            expected="public address, or one the operator allows",
            received=reasons[0],
        )


def _known(host: str) -> tuple[str, ...]:
    """The addresses of a name that every machine gives the same ones (RFC 6761, section 6.3), without asking."""
    return _LOOPBACK if host == "localhost" or host.endswith(".localhost") else ()
