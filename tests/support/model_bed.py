"""A node with agents that a model answers for, and their model."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trustme
from model_server import ModelServer

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APP: Final = Path(__file__).parent / "model_app.py"
SERVER_KEY: Final = "sk-server-1d0f6b2c77"
PATIENCE: Final = 30.0


class Bed:
    """A node with the agents, and their model; another copy of it speaks TLS."""

    def __init__(self, node: NodeProcess, model: ModelServer, secure: ModelServer, folder: Path) -> None:
        self.node, self.model, self.secure, self.folder = node, model, secure, folder

    def forget(self) -> None:
        """What earlier tests did."""
        self.model.asked.clear()
        (self.folder / "calls").unlink(missing_ok=True)

    def begin(self, agent: str, **fields: Any) -> str:
        made = self.node.api.call("POST", "/api/v1/conversations", {"agent_id": agent, **fields})
        return str(made["id"])

    def say(self, conversation: str, message: str) -> str:
        path = f"/api/v1/conversations/{conversation}/messages"
        return str(self.node.api.call("POST", path, {"message": message})["execution_id"])

    def ended(self, execution: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.node.api.call("GET", f"/api/v1/executions/{execution}")
            return found if found["completed_at"] else None

        ended: dict[str, Any] = waited(look)
        return ended

    def turn(self, agent: str, message: str = "hi") -> dict[str, Any]:
        """One turn of a new conversation, ended."""
        return self.ended(self.say(self.begin(agent), message))

    def logs(self, execution: dict[str, Any]) -> list[dict[str, Any]]:
        found = self.node.api.call("GET", f"/api/v1/executions/{execution['id']}/logs?limit=500")
        return list(found["logs"])

    def events(self, type_: str, conversation: str) -> list[dict[str, Any]]:
        found = self.node.api.call("GET", "/api/v1/events?limit=500")["events"]
        told = [one["data"] for one in found if one["type"] == type_]
        return [data for data in told if data["conversation_id"] == conversation]

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


def waited(look: Callable[[], Any]) -> Any:
    """Return the first answer that is none of None and False."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError


def _tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextmanager
def serving(database: str, folder: Path) -> Iterator[Bed]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    with ModelServer() as model, ModelServer(_tls(authority)) as secure:
        settings = {
            "HOOKLINE_OPENAI_BASE_URL": model.url,
            "HOOKLINE_OPENAI_MODEL": "talk",
            "HOOKLINE_OPENAI_API_KEY": SERVER_KEY,
            "HOOKLINE_APP_FOLDER": str(folder),
            "HOOKLINE_APP_MODEL_URL": model.url,
            "HOOKLINE_APP_SECURE_URL": secure.url,
            "HOOKLINE_ENV_PASSTHROUGH": "SSL_CERT_FILE",
            "SSL_CERT_FILE": str(folder / "authority.pem"),
        }
        node = NodeProcess(database=database, folder=folder, app=APP, settings=settings)
        node.start()
        try:
            yield Bed(node, model, secure, folder)
        finally:
            model.closing.set()
            assert node.stop() == 0
