"""Who is calling, and for which organization: from an API key to a ``Caller``.

A key is looked up by its digest, so nothing is compared byte by byte and the time taken says nothing about near
misses. A key that is unknown, revoked or expired gets the same answer as none at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from hookline.api.errors import is_job_path
from hookline.engine.vault import token_digest
from hookline.errors import ForbiddenError, InputError, MissingError, UnauthorizedError
from hookline.model.ids import Key
from hookline.model.states import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.api.inbound import Inbound
    from hookline.api.services import Services
    from hookline.model.configuration import ApiKey, Organization, Stored

CALLER: Final = "hookline.caller"
"""Where the scope holds who calls. A request from this process, such as a page's, comes with it; one from outside
cannot: a server makes its scopes anew."""

_INCLUDED: Final[dict[Scope, frozenset[Scope]]] = {
    Scope.ADMIN: frozenset(Scope),
    Scope.WRITE: frozenset({Scope.WRITE, Scope.READ, Scope.TRIGGER}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.TRIGGER: frozenset({Scope.TRIGGER}),
}
"""What each scope includes."""

_MOST_KEY_BYTES: Final = 512


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A valid key at work.

    organization_id: the one it acts for.  scopes: with all that they include.
    """

    key_id: Key
    organization_id: Key
    scopes: frozenset[Scope]

    def need(self, scope: Scope) -> None:
        """Raise ForbiddenError unless the key has this scope."""
        if scope not in self.scopes:
            raise ForbiddenError(
                f"This key does not have the scope '{scope}'.",
                field="Authorization",
                expected=f"scope {scope}",
            )

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes


def unauthorized() -> UnauthorizedError:
    """The one answer to a missing and to a wrong credential."""
    return UnauthorizedError("A valid credential is required.")


async def caller_of(services: Services, request: Inbound) -> Caller:
    """Return who sent a request. Render jobs take a key in ``x-api-key``, too (PF-8). Raises as ``identify``."""
    known: Caller | None = request.scope.get(CALLER)
    if known is not None:
        return known
    headers = request.headers
    own = headers.get(b"x-api-key") if is_job_path(request.path) else None
    if own is not None and b"authorization" not in headers:
        headers = headers | {b"authorization": b"Bearer " + own}
    return await identify(services, headers)


async def identify(services: Services, headers: Mapping[bytes, bytes]) -> Caller:
    """Return who calls. headers: by lower-case name. Raises UnauthorizedError, ForbiddenError or MissingError."""
    key = bearer(headers.get(b"authorization"))
    if key is None:
        raise unauthorized()
    stored = await services.api_key(token_digest(key))
    if stored is None or not stored.document.is_live(services.clock.now()):
        raise unauthorized()
    scopes = effective(stored.document.scopes)
    wanted = headers.get(b"hookline-organization")
    organization_id = (
        stored.organization_id if wanted is None else await _acting_for(services, wanted, stored, scopes)
    )
    return Caller(key_id=stored.id, organization_id=organization_id, scopes=scopes)


def bearer(authorization: bytes | None) -> str | None:
    """Return the token of a Bearer credential; None when there is none or it is not one."""
    if (
        authorization is None
        or len(authorization) > _MOST_KEY_BYTES
        or authorization[:7].lower() != b"bearer "
    ):
        return None
    token = authorization[7:].strip().decode("latin-1")
    return token or None


def effective(scopes: tuple[Scope, ...]) -> frozenset[Scope]:
    """Return the scopes with all that they include."""
    if len(scopes) == 1:
        return _INCLUDED[scopes[0]]
    return frozenset().union(*[_INCLUDED[scope] for scope in scopes])


async def _acting_for(
    services: Services, wanted: bytes, stored: Stored[ApiKey], scopes: frozenset[Scope]
) -> Key:
    found = await _organization(services, wanted)
    if found is not None and found.id == stored.organization_id:
        return found.id
    if Scope.ADMIN not in scopes:
        # The same words whether the organization exists or not.
        raise ForbiddenError(
            "Only an admin key may act for another organization.",
            field="Hookline-Organization",
            expected="scope admin",
        )
    if found is None:
        raise MissingError("There is no such organization.", field="Hookline-Organization")
    return found.id


async def _organization(services: Services, wanted: bytes) -> Stored[Organization] | None:
    try:
        text = wanted.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InputError(
            "The header is not UTF-8.",
            field="Hookline-Organization",
            expected="UTF-8",
            received="other bytes",
        ) from exc
    if not 0 < len(text) <= 256 or not text.isprintable():
        raise InputError(
            "The header must hold an organization's id or external id.",
            field="Hookline-Organization",
            expected="org_… or an external_id",
            received=f"{len(text)} characters",
        )
    return await services.directory.organization(text)
