"""Organizations and their members."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.engine.manage.start import FIRST, default_organization
from hookline.errors import ConflictError, InputError, MissingError
from hookline.model.configuration import Member, Organization, RunQuota
from hookline.model.ids import new_key, parse

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.model.configuration import Stored
    from hookline.model.ids import Key
    from hookline.ports import Registry

EXTERNAL_IDS: Final = "external_id"
"""Name space of the platform's own ids."""

# What a header can carry, since an admin key names the organization in one.
_EXTERNAL_ID: Final = re.compile(r"[!-~]{1,200}", re.ASCII)
_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,253}")
_MOST_NAME_CHARACTERS: Final = 200


def check_name(name: str, field: str = "name") -> str:
    """Return a name for people, or raise InputError."""
    if not 0 < len(name) <= _MOST_NAME_CHARACTERS or not name.isprintable() or not name.strip():
        raise InputError(
            f"A name has 1 to {_MOST_NAME_CHARACTERS} printable characters.",
            field=field,
            expected=f"1 to {_MOST_NAME_CHARACTERS} printable characters",
            received="string",
        )
    return name


async def create_organization(
    registry: Registry, *, name: str, external_id: str | None, now: datetime
) -> Stored[Organization]:
    """Make an organization. Raises InputError, or ConflictError when the external id is taken."""
    id = new_key()
    try:
        return await registry.add(
            Organization,
            id=id,
            organization_id=id,
            document=Organization(name=check_name(name), external_id=_check_external_id(external_id)),
            names=_names(external_id),
            at=now,
        )
    except ConflictError as exc:
        raise _taken() from exc


async def update_organization(
    registry: Registry, id: Key, fields: dict[str, Any], *, now: datetime
) -> Stored[Organization]:
    """Change name, external id or quota. Raises MissingError, InputError or ConflictError."""
    stored = await registry.get(Organization, id, organization_id=id)
    if stored is None:
        raise MissingError("There is no such organization.")
    external_id = fields.get("external_id", stored.document.external_id)
    quota = fields.get("run_quota", stored.document.run_quota)
    document = msgspec.structs.replace(
        stored.document,
        run_quota=RunQuota(**quota) if isinstance(quota, dict) else quota,
        name=check_name(fields.get("name", stored.document.name)),
        external_id=_check_external_id(external_id),
    )
    names = None
    if external_id != stored.document.external_id:
        is_first = await default_organization(registry) == id
        names = [*([FIRST] if is_first else []), *_names(external_id)]
    try:
        return await registry.put(msgspec.structs.replace(stored, document=document), names=names, at=now)
    except ConflictError as exc:
        raise _taken() from exc


def _check_external_id(text: str | None) -> str | None:
    if text is None:
        return None
    if _EXTERNAL_ID.fullmatch(text) is None or parse("organization", text) is not None:
        raise InputError(
            "An external id has 1 to 200 visible ASCII characters and does not look like one of our ids.",
            field="external_id",
            expected="1 to 200 visible ASCII characters",
            received="string",
        )
    return text


def _names(external_id: str | None) -> list[tuple[str, str]]:
    return [] if external_id is None else [(EXTERNAL_IDS, external_id)]


def _taken() -> ConflictError:
    return ConflictError(
        "Another organization has this external id.", code="EXTERNAL_ID_TAKEN", field="external_id"
    )


# --- members ------------------------------------------------------------------------------------------------


async def add_member(
    registry: Registry, organization_id: Key, *, name: str, email: str, now: datetime
) -> Stored[Member]:
    """Add a person who gets the organization's alert mails. Raises InputError, or ConflictError for a second time."""
    member = Member(name=check_name(name), email=check_address(email))
    try:
        return await registry.add(
            Member,
            id=new_key(),
            organization_id=organization_id,
            document=member,
            names=[("email", f"{organization_id.hex()} {member.email.lower()}")],
            at=now,
        )
    except ConflictError as exc:
        raise ConflictError(
            "There is a member with this address.", code="MEMBER_EXISTS", field="email"
        ) from exc


async def update_member(
    registry: Registry, organization_id: Key, id: Key, fields: dict[str, Any], *, now: datetime
) -> Stored[Member]:
    """Change name or address. Raises MissingError, InputError or ConflictError."""
    stored = await registry.get(Member, id, organization_id=organization_id)
    if stored is None:
        raise MissingError("There is no such member.")
    member = Member(
        name=check_name(fields.get("name", stored.document.name)),
        email=check_address(fields.get("email", stored.document.email)),
    )
    names = [("email", f"{organization_id.hex()} {member.email.lower()}")]
    try:
        return await registry.put(msgspec.structs.replace(stored, document=member), names=names, at=now)
    except ConflictError as exc:
        raise ConflictError(
            "There is a member with this address.", code="MEMBER_EXISTS", field="email"
        ) from exc


def check_address(text: str, field: str = "email") -> str:
    """Return a mail address. Raises InputError."""
    if _ADDRESS.fullmatch(text) is None:
        raise InputError(
            "This is not a mail address.", field=field, expected="name@example.com", received="string"
        )
    return text
