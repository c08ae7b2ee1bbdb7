"""``hookline capture``: a request that came in, as files and as a test that reads them."""

from __future__ import annotations

import json as json_
import keyword
import re
from pathlib import Path
from typing import Any, Final

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment

_PLAIN: Final = '''"""A request that came in at {received_at}, as `hookline capture` found it: {id}.

Change it as you like.
"""

from pathlib import Path

HERE = Path(__file__).parent


def test_{name}(hookline_captured):
    request = hookline_captured(HERE)

    # Call what you want to test with request.method, request.headers and request.body.
    assert request.method == "{method}"
    assert len(request.body) == {size}
'''

_SIGNED: Final = (
    _PLAIN
    + """

def test_{name}_signed(hookline_captured, hookline_signed):
    captured = hookline_captured(HERE)
    # The secret is not captured: what signs here is public, and your handler must be given it (request.secret) and the
    # clock that stands still (request.now).
    request = hookline_signed(
        captured.scheme,
        body=captured.body,
        url=captured.url,
        method=captured.method,
        headers=captured.unsigned_headers,
    )

    # Call what checks the signature with request.headers, request.body, request.secret and request.now.
    assert request.method == captured.method
    assert not captured.signature_headers - request.headers.keys()
"""
)


def capture(request_id: str, /, *, out: Path, force: bool = False) -> None:
    """Write a request that came in into a folder: its exact body, its headers, and a pytest test that reads them.

    The test uses the fixtures that come with Hookline and passes as it is; put a call of your handler into it. No
    credential is in the files, but the body is what came: look at it before you commit it.

    For example:

    ```
    hookline capture req_… --out tests/fixtures/first_order
    pytest tests/fixtures/first_order
    hookline verify --secret … --headers tests/fixtures/first_order/headers.txt --body tests/fixtures/first_order/body
    ```

    Parameters
    ----------
    request_id
        Its id from `hookline requests list`.
    out
        The folder, which is made; the test is named after it.
    force
        Write over files that are there.
    """
    client = Client.from_environment()
    path = f"/api/v1/requests/{segment(request_id)}"
    request = client.get(path)
    body = client.fetch(f"{path}/body")
    scheme = _scheme(client, request["trigger_id"])
    name = _name(out)
    files = {
        "request.json": json_.dumps(_meta(request, scheme), indent=2, ensure_ascii=False) + "\n",
        "headers.txt": "".join(f"{header}: {value}\n" for header, value in request["headers"]),
        f"test_{name}.py": (_PLAIN if scheme is None else _SIGNED).format(
            id=request["id"],
            received_at=request["received_at"],
            name=name,
            method=request["method"],
            size=len(body),
        ),
    }
    _check_free(out, [*files, "body"], force=force)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "body").write_bytes(body)
        for file, text in files.items():
            (out / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}") from error
    show.line(f"{request_id} is in {out}: run `pytest {out}`", "green")


def _check_free(out: Path, files: list[str], *, force: bool) -> None:
    taken = [file for file in files if (out / file).exists()]
    if taken and not force:
        raise CommandError(f"{out} holds {', '.join(taken)} already: add --force to write over them")


def _scheme(client: Client, trigger_id: str | None) -> dict[str, Any] | None:
    """Return how the trigger's sender signs, None when it does not or the trigger is gone."""
    if trigger_id is None:
        return None
    try:
        auth = client.get(f"/api/v1/triggers/{segment(trigger_id)}")["auth"]
    except CommandError:
        return None
    return (
        {name: value for name, value in auth.items() if name != "type"}
        if auth["type"] == "signature"
        else None
    )


def _meta(request: dict[str, Any], scheme: dict[str, Any] | None) -> dict[str, Any]:
    """Return what ``hookline_captured`` reads. The URL is none of yours: a trigger's own may be a credential."""
    from hookline.testing.samples import URL

    rest = request["path"].partition("/trigger/")[2].partition("/")[2]
    url = URL + (f"/{rest}" if rest else "") + (f"?{request['query']}" if request["query"] else "")
    kept = ("id", "received_at", "method", "status", "reason", "headers")
    return {name: request[name] for name in kept} | {"url": url, "scheme": scheme}


def _name(out: Path) -> str:
    name = re.sub(r"\W", "_", out.resolve().name, flags=re.ASCII).lower()
    return name if name and not keyword.iskeyword(name) else f"request_{name}"
