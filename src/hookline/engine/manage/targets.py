"""Where a delivery may go, as far as its URL says: names are resolved and judged anew at every attempt."""

from __future__ import annotations

from typing import Protocol

from hookline.core.addresses import how_to_allow, parse_target
from hookline.errors import InputError


class Addresses(Protocol):
    """Says which addresses may be dialled; ``core.addresses.AddressPolicy`` is one."""

    def check(self, ip: str, /) -> str | None:
        """Return why the address is refused, or None when it is allowed."""


def check_target(url: object, addresses: Addresses, *, field: str) -> None:
    """Raise InputError for what is no plain http or https URL, or names an address that may not be dialled."""
    target = parse_target(url, field=field)
    reason = addresses.check(target.address) if target.address is not None else None
    if target.address is not None and reason is not None:
        raise InputError(
            f"The address {target.address} may not be a target: {reason}.{how_to_allow(target.address)}",
            code="ADDRESS_REFUSED",
            field=field,
            expected="public address, or one the operator allows",
            received=reason,
        )
