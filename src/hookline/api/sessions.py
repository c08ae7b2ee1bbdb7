"""Sessions of the dashboard: who is signed in, in a sealed cookie, and the token that each form must carry.

A session stands on an API key: it acts for one organization, with no more than the key's scopes, and ends when the key
does. The cookie holds no key; nothing about sessions is stored.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from hookline.api.identity import Caller, effective
from hookline.engine.vault import SESSION, SealBrokenError
from hookline.model.configuration import ApiKey
from hookline.model.ids import Key, new_key
from hookline.model.states import Scope

if TYPE_CHECKING:
    from hookline.api.services import Services

COOKIE: Final = "hookline_session"
LIFETIME: Final = timedelta(hours=12)
_MOST_BYTES: Final = 2_048
_ORDER: Final = (Scope.READ, Scope.WRITE, Scope.ADMIN)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in. scope: the widest thing it may do, ``read`` (viewer), ``write`` (operator) or ``admin``."""

    id: Key
    key_id: Key
    organization_id: Key
    scope: Scope
    expires_at: datetime

    @property
    def role(self) -> str:
        return {Scope.ADMIN: "admin", Scope.WRITE: "operator"}.get(self.scope, "viewer")


class Sessions:
    """Makes and reads them. One per node; every node of an installation reads what another made."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __repr__(self) -> str:
        return "Sessions()"

    async def begin(
        self,
        key_id: Key,
        *,
        organization_id: Key | None = None,
        scope: Scope | None = None,
        lifetime: timedelta = LIFETIME,
    ) -> Session | None:
        """A session on a key, or None when the key cannot look at anything.

        organization_id: whom it acts for, None for the key's own; the caller has checked that the key may.
        scope: as much of the key's as the session gets, None for all of it.
        """
        key = await self._services.directory.get(ApiKey, key_id)
        most = None if key is None else widest(key.document.scopes)
        if key is None or most is None:
            return None
        return Session(
            id=new_key(),
            key_id=key.id,
            organization_id=key.organization_id if organization_id is None else organization_id,
            scope=most if scope is None else min(scope, most, key=_ORDER.index),
            expires_at=self._services.clock.now() + lifetime,
        )

    def prolonged(self, link: Session) -> Session:
        """The session that a sign-in link begins: the link itself may expire sooner."""
        return msgspec.structs.replace(link, id=new_key(), expires_at=self._services.clock.now() + LIFETIME)

    def text(self, session: Session) -> str:
        """The cookie's value."""
        return urlsafe_b64encode(self._services.vault.seal(msgspec.msgpack.encode(session), SESSION)).decode()

    async def read(self, text: str | None) -> Session | None:
        """The session of a cookie, or None when it is not ours, has expired, or its key is gone."""
        if not text or len(text) > _MOST_BYTES:
            return None
        try:
            sealed = urlsafe_b64decode(text.encode("ascii"))
            session = msgspec.msgpack.decode(self._services.vault.open(sealed, SESSION), type=Session)
        except (Base64Error, ValueError, SealBrokenError, msgspec.DecodeError):
            return None
        now = self._services.clock.now()
        if session.expires_at <= now:
            return None
        key = await self._services.directory.get(ApiKey, session.key_id)
        return session if key is not None and key.document.is_live(now) else None

    def token(self, session: Session) -> str:
        """What a form of this session must carry, so that no other site's form is taken for ours."""
        return self._services.vault.digest("form", session.id.hex())


def caller_of(session: Session) -> Caller:
    """The session as the management API knows callers."""
    return Caller(
        key_id=session.key_id,
        organization_id=session.organization_id,
        scopes=effective((session.scope,)),
    )


def widest(scopes: tuple[Scope, ...]) -> Scope | None:
    """The widest of those that a person can use, None when there is none among them."""
    return next((scope for scope in reversed(_ORDER) if scope in scopes), None)
