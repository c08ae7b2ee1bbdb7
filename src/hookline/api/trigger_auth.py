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
from hookline.api.identity import unauthorized
from hookline.core.inbound import Diagnosis, diagnose, handshake, verify
from hookline.engine import signing
from hookline.engine.manage.credentials import basic_digest, path_place
from hookline.engine.vault import token_digest
from hookline.errors import VerificationError
from hookline.model.integrations import Instance

if TYPE_CHECKING:
    from hookline.api.call import Call
    from hookline.api.services import Site
    from hookline.core.inbound import HandshakeAnswer, Scheme
    from hookline.engine.signing import Signing
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


async def signing_of(site: Site, trigger: Trigger) -> Signing | None:
    """Return how requests to this URL must be signed; None when they need not be, or when only what a request says
    tells which flow it is for.
    """
    endpoint = trigger.endpoint
    if endpoint is None:
        is_live = is_previous_live(site.services, trigger)
        return signing.of_trigger(site.services.vault, trigger.auth, is_previous_live=is_live)
    contexts = site.services.contexts
    integration = contexts.integration(endpoint.integration_id)
    flow = None if integration is None or endpoint.flow is None else integration.flow(endpoint.flow)
    if flow is None or flow.signature is None or endpoint.instance_id is None:
        return None
    stored = await site.services.directory.get(Instance, endpoint.instance_id)
    return None if stored is None else signing.of_flow(contexts, stored.document, flow)


def may_be_signed(site: Site, trigger: Trigger) -> bool:
    """Say whether a request to this URL may turn out to need a signature: then all its bytes are held."""
    endpoint = trigger.endpoint
    integration = None if endpoint is None else site.services.contexts.integration(endpoint.integration_id)
    if endpoint is None or integration is None:
        return trigger.auth.type == "signature"
    flows = [flow for flow in integration.flows if endpoint.flow in {None, flow.name}]
    return any(flow.signature is not None for flow in flows)


def credentials_in_query(trigger: Trigger, scheme: Scheme | None) -> frozenset[str]:
    """Return the query parameters that are credentials, which the automation does not see."""
    if scheme is None:
        return frozenset({"token"} if trigger.auth.type == "token" else ())
    return frozenset(name for source in scheme.signature if source.place == "query" for name in source.names)


def must_be_signed(call: Call, signed: Signing | None) -> None:
    """Note how a request must be signed."""
    assert call.trigger is not None
    call.signing = signed
    scheme = None if signed is None else signed.scheme
    call.hidden = credentials_in_query(call.trigger.document, scheme)


def answer_handshake(site: Site, call: Call) -> HandshakeAnswer | None:
    """Return the answer to a sender that asks whether this URL is ours, None when it asks nothing.

    Raises VerificationError for one that does not prove itself.
    """
    signed = call.signing
    if signed is None or signed.scheme.handshake is None:
        return None
    return handshake(
        signed.scheme,
        _secrets(signed),
        verify_tokens=signed.verify_tokens,
        now=call.received_at,
        **_signed(site, call),
    )


def verify_signature(site: Site, call: Call) -> str | None:
    """Return the sender's own id of a request, None when it gives none. Raises VerificationError for one that is not
    signed as it must be.
    """
    if call.signing is None:
        return None
    secrets = _secrets(call.signing)
    return verify(call.signing.scheme, secrets, now=call.received_at, **_signed(site, call)).dedupe_id


def _secrets(signed: Signing) -> tuple[str, ...]:
    if not signed.secrets:
        raise VerificationError(
            "The instance has no secret to check a signature with.", reason="secret_missing"
        )
    return signed.secrets


async def explain(site: Site, call: Call, error: VerificationError) -> str:
    """Return why a signature does not verify, in sentences for the owner of its secret."""
    return " ".join((await findings(site, call, error)).findings)[:_MOST_REASON_CHARACTERS]


async def findings(site: Site, call: Call, error: VerificationError | None) -> Diagnosis:
    """Return all that can be said of a signature. error: what came of checking it, None when it fits."""
    signed = call.signing
    told = (
        Diagnosis(False, error.reason, (error.message,)) if error is not None else Diagnosis(True, None, ())
    )
    if signed is None or not signed.secrets or len(call.body) > _MOST_EXPLAINED_BYTES:
        return told
    asked = partial(diagnose, signed.scheme, signed.secrets, now=call.received_at, **_signed(site, call))
    # It tries a hundred variants of the body.
    found = await asyncio.to_thread(asked)
    if found.is_valid and error is not None:  # a handshake that is refused for something else
        return told
    return found


def _signed(site: Site, call: Call) -> dict[str, Any]:
    """Return the request as its sender signed it: the URL is the one that we gave out, its query as it came."""
    assert call.trigger is not None
    scope = call.request.scope
    raw: bytes = scope.get("raw_path") or call.request.path.encode()
    _, _, rest = raw.partition(b"/trigger/")[2].partition(b"/")
    url = f"{site.settings.public_url}/trigger/{call.trigger.document.path_id}"
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
