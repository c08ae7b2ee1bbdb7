"""``hookline serve``: run one node until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookline.app import Running
    from hookline.config import Settings


def serve(
    app: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    database: str | None = None,
    roles: str | None = None,
    allow_network: list[str] | None = None,
) -> int:
    """Run a server until SIGTERM or Ctrl-C.

    Everything is kept in one file, `hookline.db` in the working directory, unless `--database` says more.
    The first start with an empty database prints an admin key, once. Ready when `GET /readyz` answers 200.

    For example:

    ```
    hookline serve                          # receive, store and deliver published events
    hookline serve app.py                   # and run the automations of `app` in app.py
    hookline serve app.py:shop --port 9000
    hookline serve --database postgresql://hookline@db/hookline
    hookline serve --allow-network 10.1.0.0/16   # webhooks may go to this private network
    ```

    Every option is a setting too (`HOOKLINE_PORT`, or `port` in `hookline.toml`); a flag wins.

    Parameters
    ----------
    app
        File with your automations, `APP.py` or `APP.py:NAME`.
    host
        Address to listen on; 127.0.0.1 when not set.
    port
        Port to listen on, 0 for any free one; 8700 when not set.
    database
        `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
    roles
        What this node does, of receive,execute,deliver; fewer than all need PostgreSQL.
    allow_network
        A private network that webhooks may be sent to, as a CIDR; may be given more than once.
    """
    from hookline.config import load_settings

    settings = load_settings(
        {
            "app": app,
            "host": host,
            "port": port,
            "database": database,
            "roles": roles,
            "allow_networks": tuple(allow_network) if allow_network else None,
        }
    )
    return run(settings)


def run(settings: Settings) -> int:
    """Serve on the fastest loop there is. Returns the exit code."""
    import uvloop

    from hookline.app import serve as serve_node
    from hookline.cli.logs import configure

    configure(level=settings.log_level, form=settings.log_format)
    _doubt_variables()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve_node(settings, ready=lambda running: announce(settings, running)))


def _doubt_variables() -> None:
    """Warn of variables that are misspelt, most likely: what they were to say is not in force."""
    import structlog

    from hookline.config import unknown_variables

    for name, near in unknown_variables(os.environ).items():
        if near is not None:
            structlog.get_logger("hookline.config").warning(
                "variable_unknown", variable=name, did_you_mean=near
            )


def announce(settings: Settings, running: Running) -> None:
    """Say where the server is, and its admin key if it was just made: it is never shown again."""
    lines = [
        f"hookline is ready on {running.url}",
        f"  database   {settings.database_label}",
        f"  dashboard  {running.url}/, sign in with a key",
        f"  management {running.url}/api/v1, described at {running.url}/docs",
    ]
    if settings.app:
        lines.append(f"  app        {settings.app}")
    if running.admin_key:
        lines += [
            "",
            f"  admin key  {running.admin_key}",
            "  It is shown once. Keep it, and let the other commands use it:",
            f"  export HOOKLINE_URL={running.url} HOOKLINE_API_KEY={running.admin_key}",
        ]
    else:
        lines += [
            "",
            "  Other commands need a key; the first start printed one:",
            f"  export HOOKLINE_URL={running.url} HOOKLINE_API_KEY=…",
        ]
    print("\n".join(lines), file=sys.stdout, flush=True)
