"""Who calls a trigger that its path has selected: the credential of that trigger, and of no other.

Compared by digest and in constant time. A signature is checked on the raw bytes, with every secret that is live; a
rotated credential lives on until its time is over.
"""

from __future__ import annotations

import asyncio
import hmac
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hookline.api.credentials import basic_of, is_previous_live, tokens_of
from hookline.api.errors import Answer
from hookline.api.identity import unauthorized
from hookline.core.inbound import Diagnosis, diagnose, handshake, verify
from hookline.engine.manage.credentials import basic_digest, path_place, scheme_of, secrets_of
from hookline.engine.vault import token_digest

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.api.call import Call
    from hookline.api.services import Site
    from hookline.core.inbound import Scheme, Verified
    from hookline.errors import VerificationError
    from hookline.model.configuration import Trigger

_MOST_EXPLAINED_BYTES: Final = 256 * 1024
"""Of a body: explaining hashes it again and again."""
_MOST_REASON_CHARACTERS: Final = 2_000


def authenticate(site: Site, call: Call, trigger: Trigger) -> None:
    """Check what does not need the body: a token, an API key, a name and password. Raises UnauthorizedError."""
    auth, headers = trigger.auth, call.request.headers
    match auth.type:
        case "none" | "signature" | "integration":  # the latter two are checked when more is known
            return
        case "token":
            given = tokens_of(headers, call.parameters)
        case "api_key":
            given = [headers.get(b"api-key", b"").decode("latin-1")]
        case "basic":
            pair = basic_of(headers.get(b"authorization"))
            place = path_place(trigger.path_id or "")
            digest = "" if pair is None else basic_digest(site.services.vault, place, *pair)
            if hmac.compare_digest(digest, auth.password_digest or "-"):
                return
            raise unauthorized()
        case _:
            raise unauthorized()
    live = auth.digests if is_previous_live(site.services, trigger) else auth.digests[:1]
    if not any(_is_one_of(credential, live) for credential in given):
        raise unauthorized()


def _is_one_of(credential: str, digests: tuple[bytes, ...]) -> bool:
    digest = token_digest(credential)
    is_known = False
    for known in digests:
        is_known |= hmac.compare_digest(digest, known)
    return is_known


# --- signatures ---------------------------------------------------------------------------------------------


def scheme_with(trigger: Trigger) -> Scheme | None:
    """Return how requests to a trigger are signed, None when they are not."""
    return scheme_of(trigger.auth) if trigger.auth.type == "signature" else None


def credentials_in_query(trigger: Trigger, scheme: Scheme | None) -> frozenset[str]:
    """Return the query parameters that are credentials, which the automation does not see."""
    if scheme is None:
        return frozenset({"token"} if trigger.auth.type == "token" else ())
    return frozenset(name for source in scheme.signature if source.place == "query" for name in source.names)


def answer_handshake(site: Site, call: Call, trigger: Trigger, scheme: Scheme) -> Answer | None:
    """Return the answer to a sender that asks whether this URL is ours, None when it asks nothing.

    Raises VerificationError for one that does not prove itself.
    """
    if scheme.handshake is None:
        return None
    held = secrets_of(site.services.vault, trigger.auth)
    told = handshake(
        scheme,
        _live(site, trigger, held.secrets),
        verify_tokens=() if held.verify_token is None else (held.verify_token,),
        now=_time_of(site, call),
        **_signed(site, call, trigger),
    )
    if told is None:
        return None
    kinds = [value.encode() for name, value in told.headers if name == "content-type"]
    return Answer(told.status, told.body, content_type=kinds[0] if kinds else b"text/plain")


def verify_signature(site: Site, call: Call, trigger: Trigger, scheme: Scheme) -> Verified:
    """Return what a request with a good signature says; else raise VerificationError."""
    secrets = _live(site, trigger, secrets_of(site.services.vault, trigger.auth).secrets)
    return verify(scheme, secrets, now=_time_of(site, call), **_signed(site, call, trigger))


async def explain(site: Site, call: Call, error: VerificationError) -> str:
    """Return why a signature does not verify, in sentences for the owner of its secret."""
    return " ".join((await findings(site, call, error)).findings)[:_MOST_REASON_CHARACTERS]


async def findings(site: Site, call: Call, error: VerificationError | None) -> Diagnosis:
    """Return all that can be said of a signature. error: what came of checking it, None when it fits."""
    assert call.trigger is not None
    trigger = call.trigger.document
    scheme = scheme_with(trigger)
    told = (
        Diagnosis(False, error.reason, (error.message,)) if error is not None else Diagnosis(True, None, ())
    )
    if scheme is None or len(call.body) > _MOST_EXPLAINED_BYTES:
        return told
    secrets = _live(site, trigger, secrets_of(site.services.vault, trigger.auth).secrets)
    asked = partial(diagnose, scheme, secrets, now=_time_of(site, call), **_signed(site, call, trigger))
    # It tries a hundred variants of the body.
    found = await asyncio.to_thread(asked)
    if found.is_valid and error is not None:  # a handshake that is refused for something else
        return told
    return found


def _time_of(site: Site, call: Call) -> datetime:
    """Return the time by which the age of a request is judged: that of its arrival, however late it is checked."""
    return call.received_at or site.services.clock.now()


def _live(site: Site, trigger: Trigger, secrets: tuple[str, ...]) -> tuple[str, ...]:
    return secrets if is_previous_live(site.services, trigger) else secrets[:1]


def _signed(site: Site, call: Call, trigger: Trigger) -> dict[str, Any]:
    """Return the request as its sender signed it: the URL is the one that we gave out, its query as it came."""
    scope = call.request.scope
    raw: bytes = scope.get("raw_path") or call.request.path.encode()
    _, _, rest = raw.partition(b"/trigger/")[2].partition(b"/")
    url = f"{site.settings.public_url}/trigger/{trigger.path_id}"
    if rest:
        url += f"/{rest.decode('latin-1')}"
    query: bytes = scope.get("query_string", b"")
    if query:
        url += f"?{query.decode('latin-1')}"
    return {
        "method": call.request.method,
        "url": url,
        "headers": scope["headers"],
        "body": call.body,
    }
