"""A script's way to the network: through the node's guard, and no other."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from script_bed import launch

from hookline.core.addresses import AddressPolicy
from hookline.ports.runner import Failed, Succeeded
from hookline.runners.script.runner import ScriptRunner
from hookline.senders.relay import PageRelay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

PYTHON = """
import urllib.request
from hookline_agent import get_argument, set_result_object
def get(url):
    try:
        return urllib.request.urlopen(url, timeout=10).read().decode()
    except OSError as exc:
        return type(exc).__name__
set_result_object([get(url) for url in get_argument()])
"""
NODE = """
const http = require('http')
const { getArgument, setResultObject } = require('hookline_agent')
const viaHttp = (url) => new Promise((resolve) => http.get(url, (answer) => {
  let text = ''
  answer.on('data', (piece) => { text += piece }).on('end', () => resolve(text))
}).on('error', () => resolve('refused')))
const viaFetch = (url) => fetch(url).then((answer) => answer.text()).catch(() => 'refused')
async function main () {
  const [open, closed] = getArgument()
  setResultObject([await viaHttp(open), await viaFetch(open), await viaHttp(closed), await viaFetch(closed)])
  process.exit()
}
main()
"""
DIRECT = """
import socket, os
from hookline_agent import get_argument, set_result_object
def attempt(work):
    try:
        return repr(work())
    except OSError as exc:
        return type(exc).__name__
host, port = get_argument()
set_result_object([
    attempt(lambda: socket.create_connection((host, port), 3)),
    attempt(lambda: socket.create_connection(("169.254.169.254", 80), 3)),
    attempt(lambda: socket.getaddrinfo("example.com", 80)),
    sorted(name for name in os.listdir("/proc/self/fd")).__len__(),
])
"""


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"hello {self.path}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[Any]:
    """A web server on 127.0.0.2, which the guard of these tests lets through, and 127.0.0.1, which it does not."""
    server = ThreadingHTTPServer(("127.0.0.2", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[ScriptRunner]:
    runner = ScriptRunner(lambda: PageRelay(AddressPolicy(["127.0.0.2/32"])))
    yield runner
    await runner.close(0)


async def test_python_reaches_what_the_guard_allows_and_nothing_else(runner: ScriptRunner, site: Any) -> None:
    """P21: private addresses are refused unless the operator allows them."""
    port = site.server_port
    urls = [f"http://127.0.0.2:{port}/page", f"http://127.0.0.3:{port}/page", "http://10.0.0.1/"]
    run = launch(runner, PYTHON, argument=urls, network=True)
    outcome = await run.ended()

    assert isinstance(outcome, Succeeded), (outcome, run.listener.logs)
    found = msgspec.json.decode(outcome.output)
    assert found[0] == "hello /page"
    assert "hello" not in "".join(found[1:])


async def test_javascript_does_by_http_and_by_fetch(runner: ScriptRunner, site: Any) -> None:
    port = site.server_port
    urls = [f"http://127.0.0.2:{port}/page", f"http://127.0.0.3:{port}/page"]
    run = launch(runner, NODE, slug="net.js", argument=urls, network=True)
    outcome = await run.ended()

    assert isinstance(outcome, Succeeded), (outcome, run.listener.logs)
    assert msgspec.json.decode(outcome.output) == ["hello /page", "hello /page", "refused", "refused"]


async def test_there_is_no_other_way(runner: ScriptRunner, site: Any) -> None:
    """No connection of its own, no names, and no descriptor of the door in its hands."""
    run = launch(runner, DIRECT, argument=["127.0.0.2", site.server_port], network=True)
    outcome = await run.ended()

    assert isinstance(outcome, Succeeded), (outcome, run.listener.logs)
    *refused, descriptors = msgspec.json.decode(outcome.output)
    assert set(refused) <= {"ConnectionRefusedError", "OSError", "gaierror"}
    assert descriptors == 5  # three streams, the channel, and the folder that it lists


async def test_without_a_network_of_its_own_it_is_not_started(
    runner: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only Landlock holds nothing could keep it to the proxy."""
    from hookline.runners.script import languages

    made = languages.spec_of
    monkeypatch.setattr(
        "hookline.runners.script.run.spec_of", lambda *args, **more: made(*args, **more, namespaces=False)
    )
    outcome = await launch(runner, "print(1)", network=True).ended()

    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "RUNNER_UNAVAILABLE"
