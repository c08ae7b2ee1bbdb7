"""docs/how-to/run-on-several-machines.md, as it is printed: from the role of the database to the pooler."""

from __future__ import annotations

import http.client
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from nginx import proxied
from pages import named
from pooler import pooled, through

from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.postgres import PostgresServer, find_programs
from hookline.testing.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "how-to/run-on-several-machines"
PASSWORD = "choose-a-long-one"


def printed(mark: str) -> str:
    """Return the one snippet of the page with that mark, such as ``run: key``."""
    kind, _, name = mark.partition(": ")
    return named(PAGE, kind)[name]


def typed(commands: str, folder: Path, **names: str) -> str:
    """Type a snippet into a shell; return what it prints."""
    path = f"{find_programs()}:{folder}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-ec", commands],
        env={**names, "PATH": path, "no_proxy": "*"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Site:
    """A PostgreSQL set up as the page says, and nodes with the settings of its file."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        typed(printed("run: database"), folder, ADMIN_URL=server.url)
        self.url = f"postgresql://hookline:{PASSWORD}@127.0.0.1:{server.port}/hookline"
        self.key = typed(printed("run: key"), folder).strip()
        self.nodes = [self.node(f"node-{number}") for number in range(2)]
        for node in self.nodes:
            node.start(waits=False)
        for node in self.nodes:
            node.wait_ready()

    def node(self, name: str, database: str | None = None, **more: str) -> NodeProcess:
        lines = [line.partition("=") for line in printed("file: hookline.env").splitlines()]
        settings = {key: value for key, _, value in lines} | {
            "HOOKLINE_DATABASE": database or self.url,
            "HOOKLINE_SECRET_KEY": self.key,
            "HOOKLINE_HOST": "127.0.0.1",
            "HOOKLINE_TRUSTED_PROXIES": "127.0.0.1",
        }
        return NodeProcess(
            database=settings["HOOKLINE_DATABASE"], folder=self.folder, name=name, settings=settings | more
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with PostgresServer() as server:
        one = Site(server, tmp_path_factory.mktemp("site"))
        try:
            yield one
        finally:
            for node in one.nodes:
                node.kill()


@pytest.fixture
def balancer(site: Site, tmp_path: Path) -> Iterator[int]:
    """The page's nginx over both nodes. Yields its port."""
    port = free_port()
    text = printed("file: nginx.conf").replace("listen 80;", f"listen 127.0.0.1:{port};")
    for address, node in zip(("10.0.0.11:8700", "10.0.0.12:8700"), site.nodes, strict=True):
        assert address in text
        text = text.replace(address, f"127.0.0.1:{node.port}")
    with proxied(text, tmp_path, port):
        yield port


class Callers(threading.Thread):
    """Publishes through the balancer, one event after the other, until told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.answers: list[int | str] = []
        self.is_over = threading.Event()
        self._port = port

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.is_over.is_set():
            try:
                connection.request("POST", "/api/v1/events", '{"type":"order.paid","data":{"n":1}}', headers)
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as exc:
                connection.close()
                self.answers.append(repr(exc))
        connection.close()


class Restarts:
    """The command ``restart`` of the page: what ``systemctl restart`` does to a machine's node."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.codes: list[int] = []
        self._asked = {folder / f"127.0.0.1:{node.port}.asked": node for node in site.nodes}
        script = folder / "restart"
        script.write_text('#!/bin/bash\ntouch "$1.asked"; while [ -e "$1.asked" ]; do sleep 0.05; done\n')
        script.chmod(0o755)

    def serve(self, shell: threading.Thread) -> None:
        """Do what the shell asks until it ends. Not in a thread: a node dies with the thread that started it."""
        while shell.is_alive():
            shell.join(0.02)
            for path, node in self._asked.items():
                if path.exists():
                    self.codes.append(node.stop())
                    node.start(waits=False)
                    path.unlink()


@pytest.mark.needs("nginx", "curl", "openssl")
def test_callers_behind_nginx_do_not_notice_a_rolling_upgrade(
    site: Site, balancer: int, tmp_path: Path
) -> None:
    """Issue 6, point 5: nodes restart one after the other, and every request is answered 202."""
    restarts, callers = Restarts(site, tmp_path), [Callers(balancer) for _ in range(4)]
    names = " ".join(f"127.0.0.1:{node.port}" for node in site.nodes)
    shell = threading.Thread(
        target=typed, args=(printed("run: rolling"), tmp_path), kwargs={"NODES": names}, daemon=True
    )
    for thread in (*callers, shell):
        thread.start()
    try:
        restarts.serve(shell)
    finally:
        for caller in callers:
            caller.is_over.set()
            caller.join(30)
    told = [answer for caller in callers for answer in caller.answers]
    kept = int(site.server.execute("SELECT count(*) FROM events", url=site.url))

    assert restarts.codes == [0, 0]
    assert set(told) == {202}
    assert len(told) > 40
    assert kept == len(told)


@pytest.mark.needs("openssl")
def test_a_dump_restored_into_another_database_is_the_same_system(site: Site, tmp_path: Path) -> None:
    webhook = site.nodes[0].api.call(
        "POST", "/api/v1/webhooks", {"name": "kept", "url": "https://example.com/hook", "events": ["*"]}
    )
    site.server.execute("CREATE DATABASE restored OWNER hookline")
    restored = site.url.rpartition("/")[0] + "/restored"
    typed(printed("run: backup"), tmp_path, HOOKLINE_DATABASE=site.url)
    typed(printed("run: restore"), tmp_path, RESTORED=restored)
    node = site.node("restored", restored)
    node.start()
    try:
        found = node.api.call("GET", f"/api/v1/webhooks/{webhook['id']}")
    finally:
        assert node.stop() == 0

    assert found["name"] == "kept"


@pytest.mark.needs("openssl", "pgbouncer")
def test_a_node_behind_the_pooler_of_the_page_starts_and_works(site: Site, tmp_path: Path) -> None:
    """Issue 6, point 5: with the role's settings as printed, and the address past it."""
    typed(printed("run: pooler"), tmp_path, HOOKLINE_DATABASE_DIRECT=site.url)
    with pooled(site.server, users={"hookline": PASSWORD}) as port:
        node = site.node("pooled", through(site.url, port), HOOKLINE_DATABASE_DIRECT=site.url)
        node.start()
        try:
            published: dict[str, Any] = node.api.call(
                "POST", "/api/v1/events", {"type": "order.paid", "data": {}, "id": "by-way-of-the-pooler"}
            )
        finally:
            assert node.stop() == 0

    assert published["id"] == "by-way-of-the-pooler"
