"""The seed's own commands, run by curl as they are printed (host, id and file paths aside), over both stores."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

import pytest
from world import World, database_of, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.needs("curl")

URL: Final = "https://hooks.prismatic.io/trigger/EXAMPLE=="
IMAGE: Final = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("curl")
    with world(database_of(request, folder), folder) as found:
        yield found


class Shell:
    """Runs the commands. url: the trigger that stands for the seed's."""

    def __init__(self, one: World, folder: Path) -> None:
        made = one.trigger("mirror", profile="prismatic", auth={"type": "none"})
        self.url: str = made["url"]
        self.one = one
        self.folder = folder
        (folder / "my-image.png").write_bytes(IMAGE)
        (folder / "taylor.png").write_bytes(IMAGE)

    def __call__(self, command: str, *more: str) -> str:
        command = command.replace(URL, self.url).replace("@/path/to/", "@")
        assert self.url in command
        done = subprocess.run(
            ["bash", "-c", f"{command} --silent --show-error --noproxy '*' --max-time 20 {' '.join(more)}"],
            cwd=self.folder,
            capture_output=True,
            check=True,
            timeout=30,
        )
        return done.stdout.decode()

    def seen(self, command: str) -> dict[str, Any]:
        """Run the command synchronously, following the redirect as the seed says; returns what the flow saw."""
        answer: dict[str, Any] = json.loads(
            self(command, "--location", "--header 'prismatic-synchronous: true'")
        )
        return answer

    def started(self, answer: str) -> dict[str, Any]:
        """Return the execution that an answer names, ended."""
        kind, _, uuid = b64decode(json.loads(answer)["executionId"]).decode().partition(":")
        assert kind == "InstanceExecutionResult"
        return self.one.ended(f"exec_{uuid}")


@pytest.fixture
def shell(one: World, tmp_path: Path) -> Shell:
    return Shell(one, tmp_path)


RENDERED = f"""curl '{URL}' \\
--data '{{"renderId":51266,"s3Bucket":"test-customer-renders","status":"complete"}}' \\
--header "Content-Type: application/json" """

PLAIN = f"""curl \\
--data '{{}}' \\
--header "Content-Type: application/json" \\
'{URL}'"""

MALFORMED = f"""curl '{URL}' -v \\
--data "{{bad-data" \\
--header "content-type: application/json" """

WITH_ALL = f"""curl \\
'{URL}/my/custom/path?param-one=ParamValueOne&param-two=ParamValueTwo' \\
--header "header-one: First header value" \\
--header "header-two: Second header value" \\
--header "Content-Type: application/json" \\
--data '{{"Payload Key 1":"Payload Value 1","Do Thing?":true,"quantity":123}}'"""

BINARY = f"""curl '{URL}' \\
--request POST \\
--header 'Content-Type: image/png' \\
--data-binary '@/path/to/my-image.png'"""

MULTIPART = f"""curl '{URL}' \\
--request POST \\
--header "Content-Type: multipart/form-data" \\
--form person='{{"firstname":"Taylor","lastname":"Reece"}};type=application/json' \\
--form photo=@taylor.png"""


@pytest.mark.parametrize("command", [RENDERED, PLAIN])
def test_pr2_the_answer_is_the_seeds(shell: Shell, command: str) -> None:
    """PR-1, PR-2."""
    execution = shell.started(shell(command))

    assert execution["status"] == "succeeded"
    assert execution["automation"]["id"] == "mirror"


def test_pr2_the_payload_is_the_input(shell: Shell) -> None:
    """PR-9."""
    seen = shell.seen(RENDERED)

    assert seen["body"] == {"renderId": 51266, "s3Bucket": "test-customer-renders", "status": "complete"}
    assert seen["input"] == seen["body"]


def test_pr5_malformed_json(shell: Shell) -> None:
    """PR-5: body, code and length as printed."""
    told = shell(
        MALFORMED, "--write-out '|%{http_code}|%header{content-length}|%header{prismatic-executionid}'"
    )
    body, status, length, id_ = told.split("|")

    assert (body, status, length) == ('{"error":"Received malformed JSON payload."}', "400", "44")
    assert b64decode(id_).startswith(b"InstanceExecutionResult:")


def test_pr9_headers_path_and_parameters(shell: Shell) -> None:
    """PR-9, PR-X2."""
    seen = shell.seen(WITH_ALL)

    assert seen["path_fragment"] == "my/custom/path"
    assert seen["query_parameters"] == {"param-one": "ParamValueOne", "param-two": "ParamValueTwo"}
    assert seen["headers"]["header-one"] == "First header value"
    assert seen["headers"]["header-two"] == "Second header value"
    assert seen["body"] == {"Payload Key 1": "Payload Value 1", "Do Thing?": True, "quantity": 123}
    assert seen["execution_id"].startswith("exec_")


def test_pr10_binary_data_are_the_bytes(shell: Shell) -> None:
    """PR-10, PR-X1."""
    # The redirect is followed with GET: an explicit POST would be kept, as the seed warns.
    seen = shell.seen(BINARY.replace("--request POST \\\n", ""))
    plain = shell.started(shell(BINARY))

    assert seen["body"] == seen["raw_body"] == seen["input"] == {"bytes": IMAGE.hex()}
    assert plain["output"]["body"] == {"bytes": IMAGE.hex()}


def test_pr10_multipart_has_json_parts_and_files(shell: Shell) -> None:
    """PR-10: `body.data.person.data.firstname`, the image at `body.data.photo`."""
    seen = shell.started(shell(MULTIPART))["output"]

    assert seen["body"]["person"]["part"]["data"]["firstname"] == "Taylor"
    photo = seen["body"]["photo"]["part"]
    assert photo == {"data": {"bytes": IMAGE.hex()}, "content_type": "image/png", "filename": "taylor.png"}
    assert seen["input"] == seen["body"]
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")


def test_pr4_an_explicit_post_with_location_is_refused_at_the_result(shell: Shell) -> None:
    """PR-4: what the seed warns of."""
    told = shell(
        BINARY, "--location", "--header 'prismatic-synchronous: true'", "--write-out '|%{http_code}'"
    )

    assert told.endswith("|405")


def test_pr7_too_many_in_a_second(one: World) -> None:
    """PR-7: one limit for each URL."""
    made = one.trigger("mirror", profile="prismatic", auth={"type": "none"}, rate_per_second=2)
    path = made["url"].partition("/trigger/")[2]
    answers = [one("POST", f"/trigger/{path}", {}, key=None) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "1"
    assert (
        answers[2]
        .json["error"]
        .startswith(f"Endpoint with id: {path} has exceeded maximum allowed throughput of 2 ")
    )


@pytest.mark.parametrize("kind", ["application/json", "image/png"])
def test_pr20_the_largest_request_reaches_the_flow(one: World, kind: str) -> None:
    """PR-20: 6 MB."""
    made = one.trigger("length", profile="native", auth={"type": "none"}, synchronous=True, wait_seconds=60)
    path = made["url"].partition("/trigger/")[2]
    body = b'["' + b"x" * 5_999_996 + b'"]'
    answer = one("POST", f"/trigger/{path}", body, key=None, Content_Type=kind, seconds=60)

    assert (answer.status, answer.json) == (
        200,
        {"raw": 6_000_000, "input": 1 if kind.endswith("json") else 6_000_000},
    )
