"""docs/how-to/behind-nginx.md: its nginx ends TLS before a node that is started as the page says."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from nginx import proxied
from pages import blocks, named, running

from hookline.api.results import LONGEST_WAIT
from hookline.testing.nodes import ADMIN_KEY
from hookline.testing.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "how-to/behind-nginx"
HOST = "hooks.example.com"


def asked(
    port: int, context: ssl.SSLContext, method: str, path: str, body: object = None
) -> tuple[int, bytes]:
    """Ask through TLS as a client that resolves the page's name to this machine."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    headers = {"Host": HOST, "Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.needs("nginx")
def test_requests_pass_and_triggers_have_the_public_url(tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_port()
    leaf = authority.issue_cert(HOST, "127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    (command,) = blocks(PAGE, "serve")
    only = {"profile": "native", "automation": {"kind": "workflow", "id": "orders"}, "auth": {"type": "none"}}
    refused = only | {"ip_allowlist": ["192.0.2.0/24"]}

    with running(PAGE, tmp_path, command.text) as node:
        servers = named(PAGE, "file")["hookline.conf"]
        for shown, real in {
            "listen 443": f"listen 127.0.0.1:{port}",
            "127.0.0.1:8700": f"127.0.0.1:{node.port}",
            "/etc/ssl/hooks.example.com.pem": str(tmp_path / "cert.pem"),
            "/etc/ssl/hooks.example.com.key": str(tmp_path / "key.pem"),
        }.items():
            assert shown in servers
            servers = servers.replace(shown, real)
        with proxied(servers, tmp_path, port):
            made = [
                json.loads(asked(port, context, "POST", "/api/v1/triggers", one)[1])
                for one in (only, refused)
            ]
            paths = [one["url"].removeprefix(f"https://{HOST}") for one in made]
            statuses = [asked(port, context, "POST", path, {"order_id": 17})[0] for path in paths]
            metrics, _ = asked(port, context, "GET", "/metrics")

    assert all(path.startswith("/trigger/") for path in paths)
    assert statuses == [202, 403]
    assert metrics == 403
    assert f"({LONGEST_WAIT} s)" in servers
