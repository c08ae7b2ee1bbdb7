"""``hookline backup``: a copy of the database while it is in use."""

from __future__ import annotations

from pathlib import Path

from hookline.cli import offline, show
from hookline.cli.client import Client, NoServerError
from hookline.cli.options import Json


def backup(target: Path, /, *, json: Json = False) -> None:
    """Copy the database to a file on the server's machine while it is in use.

    The copy is consistent: it holds everything answered with a 2xx before the command. Keep the key file
    (`FILE.key`) beside it: without it, secrets in the copy cannot be read.

    For example:

    ```
    hookline backup /var/backups/hookline-monday.db
    ```

    Parameters
    ----------
    target
        File to write; it must not exist. A relative path counts from where this command runs.
    """
    path = target.absolute()
    try:
        answer = Client.from_environment().post("/api/v1/backup", {"target": str(path)})
    except NoServerError as reason:
        answer = offline.backup(reason, path)
    if json:
        show.as_json(answer)
        return
    show.line(f"copied to {target}", "green")
