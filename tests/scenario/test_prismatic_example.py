"""examples/prismatic: the page's own curl commands, against a real server and a stand-in for Acme."""

from __future__ import annotations

import json
import runpy
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookline.testing.nodes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "prismatic"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


@pytest.fixture(scope="module")
def acme() -> Iterator[Any]:
    server = runpy.run_path(str(EXAMPLE / "acme.py"))["Acme"](0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("prismatic")
    node = NodeProcess(database=f"sqlite:///{folder}/p.db", folder=folder, app=EXAMPLE / "app.py")
    node.start()
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def instance(node: NodeProcess, acme: Any) -> dict[str, Any]:
    config = {"acme_url": f"http://127.0.0.1:{acme.server_port}", "api_key": "acme-key"}
    body = {"integration": "acme", "customer": {"external_id": "customer-42"}, "config": config}
    made: dict[str, Any] = node.api.call("POST", "/api/v1/instances", body)
    assert made["status"] == "active", made
    return made


def curl(url: str, *arguments: str, folder: Path | None = None) -> tuple[int, dict[str, str], bytes]:
    """Run curl as printed; return status, headers and body."""
    done = subprocess.run(
        ["curl", url, "--silent", "--include", *arguments],
        capture_output=True,
        check=True,
        timeout=30,
        cwd=folder,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while body.startswith(b"HTTP/1.1 "):  # the answer after a 100 or a redirect
        head, _, body = body.partition(b"\r\n\r\n")
    status, *rows = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
    return int(status.split()[1]), headers, body


def output(node: NodeProcess, flow: str) -> Any:
    """Wait for the newest run of a flow and return what it returned."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        runs = node.api.call("GET", "/api/v1/executions")["executions"]
        newest = next((run for run in runs if run["automation"]["id"] == f"acme.{flow}"), None)
        if newest is not None and newest["status"] in {"succeeded", "failed"}:
            assert newest["status"] == "succeeded", newest
            return node.api.call("GET", f"/api/v1/executions/{newest['id']}")["output"]
        time.sleep(0.05)
    raise AssertionError(f"no run of {flow} ended")


def test_deploying_makes_the_webhook_in_acme_with_the_customers_key(
    instance: dict[str, Any], acme: Any, node: NodeProcess
) -> None:
    """PR-13: the remote webhook points to the flow's own URL; Acme's message runs it with its state."""
    assert list(acme.webhooks.values()) == [instance["webhook_urls"]["messages"]]
    assert acme.keys == {"Bearer acme-key"}
    assert acme.send({"text": "hello"}) == [200]
    (webhook_id,) = acme.webhooks
    assert output(node, "messages") == {"message": "hello", "webhook_id": webhook_id}


def test_a_deploy_time_flow_calls_its_sibling(instance: dict[str, Any], node: NodeProcess) -> None:
    """PR-13, PR-13b: deploy triggers run flows, which call others by their webhook URLs."""
    called = output(node, "setup")

    assert called["called"] == instance["webhook_urls"]["renders"]
    assert set(called["answer"]) == {"executionId"}
    assert output(node, "renders") == {"render_id": 1, "customer": "customer-42"}


def test_the_first_example_of_the_page(instance: dict[str, Any], node: NodeProcess) -> None:
    """PR-2: a render is complete."""
    status, headers, body = curl(
        instance["webhook_urls"]["renders"],
        "--data",
        '{"renderId":51266,"s3Bucket":"test-customer-renders","status":"complete"}',
        "--header",
        "Content-Type: application/json",
    )

    assert (status, headers["content-type"]) == (200, "application/json")
    assert set(json.loads(body)) == {"executionId"}
    assert output(node, "renders") == {"render_id": 51266, "customer": "customer-42"}


def test_path_query_headers_and_odd_keys(instance: dict[str, Any], node: NodeProcess) -> None:
    """PR-9: the page's long example."""
    curl(
        instance["webhook_urls"]["inspect"]
        + "/my/custom/path?param-one=ParamValueOne&param-two=ParamValueTwo",
        "--header",
        "header-one: First header value",
        "--header",
        "Content-Type: application/json",
        "--data",
        '{"Payload Key 1":"Payload Value 1","Do Thing?":true,"quantity":123}',
    )

    assert output(node, "inspect") == {
        "header": "First header value",
        "path": ["my", "custom", "path"],
        "parameters": {"param-one": "ParamValueOne", "param-two": "ParamValueTwo"},
        "quantity": 123,
        "do_thing": True,
    }


def test_a_binary_file(instance: dict[str, Any], node: NodeProcess, tmp_path: Path) -> None:
    """PR-10: ``--data-binary`` of an image."""
    (tmp_path / "my-image.png").write_bytes(PNG)
    arguments = ("--request", "POST", "--header", "Content-Type: image/png", "--data-binary", "@my-image.png")
    curl(instance["webhook_urls"]["photos"], *arguments, folder=tmp_path)

    assert output(node, "photos") == {"bytes": len(PNG), "content_type": "image/png"}


def test_a_form_with_json_and_a_photo(instance: dict[str, Any], node: NodeProcess, tmp_path: Path) -> None:
    """PR-10: ``--form person=…;type=application/json --form photo=@…``."""
    (tmp_path / "taylor.png").write_bytes(PNG)
    person = 'person={"firstname":"Taylor","lastname":"Reece"};type=application/json'
    curl(
        instance["webhook_urls"]["photos"],
        "--request",
        "POST",
        "--header",
        "Content-Type: multipart/form-data",
        "--form",
        person,
        "--form",
        "photo=@taylor.png",
        folder=tmp_path,
    )

    assert output(node, "photos") == {
        "firstname": "Taylor",
        "photo_bytes": len(PNG),
        "filename": "taylor.png",
    }


def test_the_xml_example(instance: dict[str, Any], node: NodeProcess) -> None:
    """PR-12: the challenge comes back as ``text/plain``, and the flow runs with the parsed body."""
    status, headers, body = curl(
        instance["webhook_urls"]["notifications"],
        "--header",
        "Content-Type: application/xml",
        "--data",
        "<notification><challenge>c-17</challenge><event>paid</event></notification>",
    )

    assert (status, headers["content-type"], body) == (200, "text/plain", b"c-17")
    assert "prismatic-executionid" in headers
    assert output(node, "notifications") == {"event": "paid"}


def test_a_broken_notification_is_told(instance: dict[str, Any]) -> None:
    """PR-6: what ``on_trigger`` raises is the answer."""
    status, _, body = curl(instance["webhook_urls"]["notifications"], "--data", "no XML")

    assert status == 400
    assert "syntax error" in json.loads(body)["error"]


def test_a_synchronous_flow_answers_with_its_result(instance: dict[str, Any]) -> None:
    """PR-4, PR-6, PR-14: 303 to the result; what it throws is 400 with the page's own words."""
    arguments = ("--location", "--header", "Content-Type: application/json", "--data")
    status, _, body = curl(instance["webhook_urls"]["widgets"], *arguments, '{"item":"Widgets"}')
    thrown, _, words = curl(instance["webhook_urls"]["widgets"], *arguments, '{"item":"Gadgets"}')

    assert (status, json.loads(body)) == (200, {"item": "Widgets", "quantity": 5})
    assert (thrown, words) == (400, b'{"error":"The widget requested is not in the database"}')


def test_removing_deletes_the_webhook_in_acme(node: NodeProcess, acme: Any, instance: dict[str, Any]) -> None:
    """PR-13, PR-X7, PR-X8: ``on_instance_remove`` has the state; afterwards the URL is as if it had never been."""
    url = instance["webhook_urls"]["renders"]
    assert node.api.call("POST", f"/api/v1/instances/{instance['id']}/disable")["status"] == "disabled"
    assert acme.webhooks == {}
    disabled = curl(url, "--data", "{}")
    assert node.api.call("POST", f"/api/v1/instances/{instance['id']}/enable")["status"] == "active"
    assert len(acme.webhooks) == 1
    assert node.api.call("DELETE", f"/api/v1/instances/{instance['id']}") is None
    assert acme.webhooks == {}
    removed = curl(url, "--data", "{}")
    unknown = curl(url[:-6] + "AAAA==", "--data", "{}")

    assert disabled[0] == removed[0] == unknown[0] == 404
    assert disabled[2] == removed[2] == unknown[2]
