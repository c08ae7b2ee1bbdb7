"""``hookline backup``: a copy of the database while it is in use."""

from __future__ import annotations

from pathlib import Path

from hookline.cli import offline, show
from hookline.cli.client import Client, NoServerError
from hookline.cli.options import Json


def backup(target: Path, /, *, json: Json = False) -> None:
    """Copy the database to a file on the server's machine while it is in use.

    The copy is consistent: it holds everything answered with a 2xx before the command. Keep `hookline.db.key` with
    it, which lies beside the database: without the key nothing that is secret in the copy can be read. Large
    bodies and files lie beside the database too, in `hookline.db-blobs`, and are not in the copy.

    To restore it: stop the server, put the copy in the place of `hookline.db` and the key in that of
    `hookline.db.key`, remove `hookline.db-wal` and `hookline.db-shm`, and start the server.

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
    show.line(
        "keep the key file with it (hookline.db.key, beside the database), or its secrets are lost", "yellow"
    )
