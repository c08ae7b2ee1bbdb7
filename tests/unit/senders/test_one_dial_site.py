"""P11: one place in the code opens connections to where a user points, and this test knows it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hookline

ROOT = Path(hookline.__file__).parent

# What can open a connection or resolve a name, by the name it is called under.
DIALLING_CALLS = {
    "create_connection",
    "create_datagram_endpoint",
    "getaddrinfo",
    "gethostbyname",
    "open_connection",
    "sock_connect",
    "socket",
    "start_tls",
    "urlopen",
}
CLIENT_MODULES = {
    "aiohttp",
    "ftplib",
    "httpx",
    "httpx2",
    "niquests",
    "openai",
    "requests",
    "smtplib",
    "telnetlib",
    "urllib3",
}
CLIENT_PARTS = {("http", "client"), ("urllib", "request"), ("xmlrpc", "client")}

# Who may, and why.
EXCEPTIONS = {
    "senders/guard.py": "the dial site",
    "senders/dns.py": "its resolver",
    "senders/http.py": "puts HTTP and TLS on the guard's socket",
    "senders/relay.py": "relays pages of robots and answers of models on the guard's socket",
    "model_agent/client.py": "asks models in a child process, by that relay alone",
    "api/server.py": "binds the sockets it listens on",
    "app.py": "binds the socket it listens on",
}
EXEMPT_FOLDERS = {
    "testing": "receivers for tests and demonstrations",
    "cli": "talks to this machine's own API",
    "runners": "talks to child processes over socket pairs",
    "stores": "talks to the operator's database",
    "mail": "talks to the operator's mail server",
}


def dialling(source: str) -> set[str]:
    """Names in a module's text that can reach the network."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if _is_client(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if _is_client(node.module) else set()
            found |= {
                f"{node.module}.{alias.name}"
                for alias in node.names
                if _is_client(f"{node.module}.{alias.name}") or alias.name in DIALLING_CALLS
            }
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found |= {node.func.attr} & DIALLING_CALLS
    return found


def _is_client(module: str) -> bool:
    parts = tuple(module.split("."))
    return parts[0] in CLIENT_MODULES or parts[:2] in CLIENT_PARTS


MODULES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0] not in EXEMPT_FOLDERS
)


@pytest.mark.parametrize("module", MODULES)
def test_no_other_module_can_reach_the_network(module: str) -> None:
    found = dialling((ROOT / module).read_text(encoding="utf-8"))

    assert module in EXCEPTIONS or not found, f"{module} uses {sorted(found)}"


def test_only_the_guard_connects() -> None:
    connecting = [
        module
        for module in MODULES
        if dialling((ROOT / module).read_text(encoding="utf-8")) & {"sock_connect", "open_connection"}
    ]

    assert connecting == ["senders/guard.py"]


@pytest.mark.parametrize("module", ["senders/http.py", "senders/relay.py"])
def test_every_connection_is_made_on_a_socket_of_the_guard(module: str) -> None:
    """``create_connection`` dials by itself when it is given a host instead of a socket."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "create_connection"
    ]

    assert calls
    for call in calls:
        assert len(call.args) == 1
        assert {keyword.arg for keyword in call.keywords} & {"sock", "host"} == {"sock"}


@pytest.mark.parametrize(
    "source",
    [
        "import aiohttp",
        "from urllib.request import urlopen",
        "import http.client",
        "from http import client",
        "import asyncio\nasyncio.open_connection('a', 1)",
        "import socket\nsocket.create_connection(('a', 1))",
        "from socket import create_connection",
        "async def f(loop): await loop.sock_connect(s, ('a', 1))",
    ],
)
def test_the_check_sees_what_it_must(source: str) -> None:
    assert dialling(source)


def test_a_models_client_has_no_way_but_the_relay() -> None:
    """A client of its own making would dial by itself; so would one that reads proxies out of the environment."""
    tree = ast.parse((ROOT / "model_agent/client.py").read_text(encoding="utf-8"))
    made = {
        node.func.attr: {one.arg: ast.unparse(one.value) for one in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"AsyncOpenAI", "AsyncClient", "AsyncHTTPTransport"}
    }

    assert made["AsyncOpenAI"]["http_client"] == "_client(endpoint.relay)"
    client, transport = made["AsyncClient"], made["AsyncHTTPTransport"]
    assert (client["transport"], client["trust_env"], client["follow_redirects"]) == (
        "_Relayed(relay)",
        "False",
        "False",
    )
    assert (transport["proxy"], transport["trust_env"]) == ("relay", "False")
