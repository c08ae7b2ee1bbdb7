#!/usr/bin/env python3
"""Make databases with the code of an earlier version, and keep them for the upgrade test.

Takes the code of a tag or commit out of the repository, runs its server over both stores, has it do a little of
everything through its own API, stops it, and writes to ``tests/upgrade/NAME/`` for each store the database and, as
JSON, what was asked of it. ``tests/scenario/test_upgrading.py`` opens every folder there with the code of today.

    scripts/keep_database.py v0.1.0
    scripts/keep_database.py b2a92ce --name schema-6

Needs the packages of that version; ``.venv-check/bin/python`` has them as long as they have not changed much.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import apsw

from hookline.testing.postgres import PostgresServer, find_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "tests" / "upgrade"

ADMIN_KEY = "admin-of-a-database-that-is-kept"
SECRET_KEY = "seals-what-is-no-secret-in-a-kept-database"
APP = """
from hookline import App

app = App()


@app.workflow("orders")
async def orders(ctx):
    return {"priced": await ctx.step("price", lambda: ctx.input)}
"""
REFUSES = "http://127.0.0.1:9/"
"""Nobody listens on the discard port."""


def main() -> None:
    """Make and keep a database of each store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ref", help="the tag or commit whose code is run")
    parser.add_argument("--name", help="of the folder; the ref itself when not given")
    given = parser.parse_args()
    target = KEPT / (given.name or given.ref)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, PostgresServer() as postgres:
        code = Path(place)
        take_out(given.ref, code)
        (code / "app.py").write_text(APP)
        file = code / "kept.db"
        facts = tell_story(code, f"sqlite:///{file}")
        keep(target, "sqlite", copied(file), facts)
        url = postgres.fresh_database()
        facts = tell_story(code, url)
        keep(target, "postgres", dumped(url), facts)


def take_out(ref: str, target: Path) -> None:
    """Write the package as of a ref into a folder."""
    archive = subprocess.run(["git", "archive", ref, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)


def keep(target: Path, store: str, database: bytes, facts: dict[str, Any]) -> None:
    packed = gzip.compress(database, mtime=0)
    (target / f"{store}.gz").write_bytes(packed)
    (target / f"{store}.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    print(f"{store}: {len(packed)} bytes, {len(facts['deliveries'])} deliveries")


def copied(file: Path) -> bytes:
    """Return a database file as it is, without free pages."""
    copy = file.with_name("copy.db")
    database = apsw.Connection(str(file))
    database.execute("VACUUM INTO ?", (str(copy),))
    database.close()
    return copy.read_bytes()


def dumped(url: str) -> bytes:
    """Return statements that make a database anew, for a client that knows only SQL."""
    program = Path(find_programs()) / "pg_dump"
    command = [program, "--inserts", "--no-owner", "--no-privileges", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # What psql alone understands, and settings that only some versions of the server have.
    kept = [line for line in text.splitlines() if not line.startswith(("\\", "SET ", "--"))]
    return "\n".join(line for line in kept if "pg_catalog.set_config" not in line).encode()


def tell_story(code: Path, database: str) -> dict[str, Any]:
    """Have a server do a little of everything; return what the upgrade test needs to know of it."""
    with receiving() as url, serving(code, database) as ask:
        webhooks = {
            "arrives": ask("POST", "/api/v1/webhooks", _webhook("arrives", f"{url}/arrives")),
            "waits": ask("POST", "/api/v1/webhooks", _webhook("waits", REFUSES, dialect="standard")),
            "paused": ask("POST", "/api/v1/webhooks", _webhook("paused", f"{url}/paused")),
        }
        ask("POST", f"/api/v1/webhooks/{webhooks['paused']['id']}/pause")
        trigger = ask(
            "POST",
            "/api/v1/triggers",
            {"automation": {"kind": "workflow", "id": "orders"}, "auth": {"type": "token"}},
        )
        events = [
            ask(
                "POST",
                "/api/v1/events",
                {"type": "order.paid", "id": f"paid-{n}", "data": {"n": n, "é": 1.0}},
            )
            for n in range(2)
        ]
        started = ask("POST", trigger["url"], {"input_data": {"total": 12}})
        path = f"/api/v1/executions/{started['execution_id']}"
        execution = until(lambda: ask("GET", path), lambda found: found["status"] == "succeeded")

        def settled(found: list[dict[str, Any]]) -> bool:
            states = sorted(one["state"] for one in found)
            return states == ["held"] * 3 + ["pending"] * 3 + ["succeeded"] * 3 and all(
                one["state"] != "pending" or one["attempts_made"] for one in found
            )

        deliveries = until(lambda: ask("GET", "/api/v1/deliveries?limit=500")["deliveries"], settled)
        return {
            "admin_key": ADMIN_KEY,
            "secret_key": SECRET_KEY,
            "webhooks": {name: {"id": one["id"], "secret": one["secret"]} for name, one in webhooks.items()},
            "trigger": {"id": trigger["id"], "path": "/" + trigger["url"].split("/", 3)[3]},
            "events": [one["id"] for one in events],
            "execution": {"id": execution["id"], "output": execution["output"], "steps": execution["steps"]},
            "deliveries": {one["id"]: one["state"] for one in deliveries},
        }


def _webhook(name: str, url: str, **more: str) -> dict[str, Any]:
    return {"name": name, "url": url, "events": ["order.*", "workflow.execution.completed"], **more}


@contextmanager
def serving(code: Path, database: str) -> Iterator[Callable[..., Any]]:
    """Run the server of that code; yields what asks its API and returns the answer's JSON."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(code / "src"),
        "HOOKLINE_DATABASE": database,
        "HOOKLINE_ADMIN_KEY": ADMIN_KEY,
        "HOOKLINE_SECRET_KEY": SECRET_KEY,
        "HOOKLINE_ALLOW_NETWORKS": "127.0.0.0/8",
        # What fails once is not tried again before the database is kept.
        "HOOKLINE_RETRY_TIME_SCALE": "1000",
    }
    command = [sys.executable, "-m", "hookline", "serve", "app.py", "--port", "0"]
    with subprocess.Popen(command, cwd=code, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = next(line.split()[-1] for line in server.stdout if "is ready on" in line)

        def ask(method: str, path: str, body: object = None) -> Any:
            data = json.dumps(body).encode() if body is not None else b"{}" if method == "POST" else None
            headers = {"Content-Type": "application/json"}
            if not path.startswith("http"):
                path, headers["Authorization"] = url + path, f"Bearer {ADMIN_KEY}"
            return json.load(urlopen(Request(path, data, headers, method=method), timeout=30))

        try:
            yield ask
        finally:
            server.send_signal(signal.SIGTERM)


@contextmanager
def receiving() -> Iterator[str]:
    """Run a receiver that takes everything; yields its URL."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Return the first answer that holds. Raises TimeoutError."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if holds(found := ask()):
            return found
        time.sleep(0.1)
    raise TimeoutError(f"it came no further than {found}")


if __name__ == "__main__":
    main()
