"""``hookline triggers send``: call a trigger as its sender would, signed where it must be."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

from cyclopts import Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.options import Json, read_bytes, read_secret


def send(
    trigger_id: Annotated[str, Parameter(help="Its id from `hookline triggers list`.")],
    /,
    *,
    data: Annotated[str, Parameter(name=["--data", "-d"])] = "{}",
    content_type: str = "application/json",
    path: str = "",
    method: str = "POST",
    header: Annotated[list[str] | None, Parameter(name=["--header", "-H"])] = None,
    secret: str | None = None,
    token: str | None = None,
    api_key: str | None = None,
    user: str | None = None,
    json: Json = False,
) -> int:
    """Send a request to a trigger as its sender would, signed where it must be, and print the answer.

    The credential is yours to give: the server shows it once and keeps none. Exit code 0 only for an answer below 400.

    For example:

    ```
    hookline triggers send trg_… --token wht_… --data '{"order": 17}'
    hookline triggers send trg_… --secret @secret.txt --data @push.json -H 'X-GitHub-Event: push'
    ```

    Parameters
    ----------
    data
        The body's text, `@FILE` for a file's exact bytes, or `-` for standard input.
    content_type
        What the body is.
    path
        What follows the trigger's own URL, such as `a/b?x=1`.
    method
        The request's method.
    header
        One more header, `Name: value`; may be repeated.
    secret
        What signs the request, or `@FILE` with it; for Discord the seed of the key.
    token
        Of a trigger that asks for one.
    api_key
        Of a trigger that asks for one.
    user
        `NAME:PASSWORD` of a trigger that asks for them.
    """
    client = Client.from_environment()
    trigger = client.get(f"/api/v1/triggers/{segment(trigger_id)}")
    if trigger["url"] is None:
        raise CommandError(
            "this key may not see the trigger's URL: `hookline keys create --scope write` makes one that may"
        )
    rest = f"/{path}" if path and path[0] not in "/?" else path
    url, body = trigger["url"] + rest, _body(data)
    headers = {"Content-Type": content_type, **_credential(token, api_key, user), **_headers(header or [])}
    if trigger["auth"]["type"] == "signature":
        url, headers, body = _signed(trigger, secret, method=method, url=url, headers=headers, body=body)
    status, answer = Client(client.url).send(method, _target(url), body, headers)
    text = answer.decode("utf-8", "replace")
    if json:
        show.as_json({"status": status, "body": text})
    else:
        show.line(str(status), "green" if status < 400 else "red")
        show.line(text)
    return 0 if status < 400 else 1


def _target(url: str) -> str:
    """Return what is asked of the server that is spoken to, whatever address the public one is reached by."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _body(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    return read_bytes(Path(data[1:])) if data.startswith("@") else data.encode("utf-8", "surrogateescape")


def _credential(token: str | None, api_key: str | None, user: str | None) -> dict[str, str]:
    from base64 import b64encode

    found = {} if token is None else {"Authorization": f"Bearer {token}"}
    if user is not None:
        found["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    return found if api_key is None else found | {"Api-Key": api_key}


def _headers(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise CommandError(f"--header must be written 'Name: value', got {one!r}")
        found[name.strip()] = value.strip()
    return found


def _signed(
    trigger: dict[str, Any],
    secret: str | None,
    *,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
) -> tuple[str, dict[str, str], bytes]:
    """Return the request as its sender would make it: some write the time into the body, or a digest into the URL."""
    from hookline.core.inbound import scheme_from, sign

    if secret is None:
        raise CommandError("its sender signs: give what it signs with, --secret @FILE")
    definition = {name: value for name, value in trigger["auth"].items() if name != "type"}
    try:
        request = sign(
            scheme_from(definition),
            read_secret(secret),
            now=datetime.now(UTC),
            body=body,
            url=url,
            method=method,
            headers=headers,
            message_id=f"msg_{uuid4().hex}",
        )
    except ValueError as error:
        raise CommandError(f"it cannot be signed so: {error}; check --data and --secret") from error
    return request.url, dict(request.headers), request.body
