"""``hookline migrate``: take over webhooks and triggers from another system's export."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from hookline.cli import foreign, show
from hookline.cli.client import Client, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

_READERS: Final[dict[str, Callable[[list[Any]], list[foreign.Taken]]]] = {
    "svix": foreign.from_svix,
    "convoy": foreign.from_convoy,
    "n8n": foreign.from_n8n,
}


def migrate(
    system: Literal["svix", "convoy", "n8n"], /, *files: Path, dry_run: bool = False, json: bool = False
) -> None:
    """Take over webhooks from Svix or Convoy, or triggers from n8n, with their secrets.

    What cannot be the same is told in a note; a webhook that would send too much without it begins paused. Nothing is
    changed in the other system.

    For example:

    ```
    hookline migrate svix endpoints.json --dry-run
    hookline migrate convoy endpoints.json subscriptions.json
    hookline migrate n8n workflows.json credentials.json
    ```

    Parameters
    ----------
    system
        Where the export comes from.
    files
        What that system's API or command line wrote, as JSON.
    dry_run
        Show what would be made, without secrets, and make nothing.
    json
        Print JSON, for programs.
    """
    if not files:
        raise CommandError("name the exported files: `hookline migrate --help` has examples")
    taken = _READERS[system]([_read(path) for path in files])
    client = None if dry_run else Client.from_environment()
    made = [_made(one, client) for one in taken]
    if json:
        show.as_json(made)
        return
    for one in made:
        show.line(f"{one['from']}: {one['outcome']}", "red" if one["error"] else "green")
        for note in one["notes"]:
            show.line(f"  {note}")
    if any(one["error"] for one in made):
        raise CommandError("some were refused: mend the export, and give the command those alone")


def _read(path: Path) -> Any:
    try:
        return json_.loads(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON") from error


def _made(one: foreign.Taken, client: Client | None) -> dict[str, Any]:
    """Make it; a refusal is told and stops nothing else. client: None makes nothing."""
    told: dict[str, Any] = {"from": one.source, "id": None, "error": None, "notes": list(one.notes)}
    if client is None:
        kind = "webhook" if one.path.endswith("webhooks") else "trigger"
        paused = ", paused" if one.is_paused else ""
        return told | {"outcome": f"a {kind}{paused}", "would_be": _without_secrets(one.body)}
    try:
        answer = client.post(one.path, one.body)
        if one.is_paused:
            client.post(f"{one.path}/{answer['id']}/pause", {})
    except CommandError as error:
        return told | {"outcome": error.message, "error": error.message}
    told |= {"id": answer["id"], "outcome": f"{answer['id']}{', paused' if one.is_paused else ''}"}
    if one.was_at is not None:
        told["notes"].append(
            f"location = {one.was_at} {{ proxy_pass http://127.0.0.1:8700{_path(answer['url'])}; }}"
        )
    elif "secret" not in one.body:
        told["notes"].append(f"Its new secret: {answer['secret']}")
    return told


def _path(url: str) -> str:
    return urlsplit(url).path


def _without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a body: of a secret, only that there is one."""
    hidden = {"secret": "…", "headers": "…"}
    shown = {name: hidden.get(name, value) for name, value in body.items()}
    for name in ("authentication", "auth"):
        if name in shown:
            shown[name] = {"type": shown[name]["type"]}
    return shown
