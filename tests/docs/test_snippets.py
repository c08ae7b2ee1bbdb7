"""The receivers' snippets of docs/how-to/sign.md, run as they are printed there."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from pages import named, pages
from programs import program

from hookline.core.signing import SigningKey, new_secret, new_signing_key, standard_signature

if TYPE_CHECKING:
    from pathlib import Path

SNIPPETS = named("how-to/sign", "snippet")
RUN = {
    "how-to/sign": {"package", "python", "node", "shell", "node_v1a"},
    "how-to/moving-from-agenticflow": {"python", "node"},  # test_moving.py
    "how-to/verify-providers": {"own"},  # test_verifying_pages.py
    "how-to/test-your-handler": {"test", "clock", "captured"},  # test_verifying_pages.py
}
"""Every snippet of the documents. A page that has another one needs a test that runs it."""

PYTHON = """
import base64, json, sys
case = json.load(sys.stdin)
sys.exit(0 if verify(base64.b64decode(case["body"]), case["headers"], case["secret"]) else 1)
"""
NODE = """
const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
process.exit(verify(Buffer.from(given.body, "base64"), given.headers, given.secret) ? 0 : 1);
"""


@dataclass(frozen=True)
class Case:
    """One request."""

    body: bytes
    secret: str
    timestamp: int
    signature: str

    @classmethod
    def valid(cls) -> Case:
        secret, body, now = (
            new_secret(bytes(range(32))),
            '{"type":"a","data":"Zoë\\n"}'.encode(),
            int(time.time()),
        )
        return cls(body, secret, now, standard_signature(secret, "evt_1", now, body))

    def accepted_by(self, name: str, folder: Path) -> bool:
        """Run the snippet on this request."""
        if name == "shell":
            return self._shell(folder) == 0
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(self.timestamp),
            "webhook-signature": self.signature,
        }
        given = json.dumps(
            {"body": base64.b64encode(self.body).decode(), "headers": headers, "secret": self.secret}
        )
        is_node = name.startswith("node")
        script = folder / ("snippet.js" if is_node else "snippet.py")
        script.write_text(SNIPPETS[name] + (NODE if is_node else PYTHON), encoding="utf-8")
        interpreter = program("node") if is_node else sys.executable
        done = subprocess.run([interpreter, script], input=given, text=True, capture_output=True, check=False)
        assert done.returncode in {0, 1}, done.stderr
        assert "Error" not in done.stderr
        return done.returncode == 0

    def _shell(self, folder: Path) -> int:
        (folder / "body").write_bytes(self.body)
        script = SNIPPETS["shell"] + 'verify "$@"\n'
        values = [str(folder / "body"), "evt_1", str(self.timestamp), self.signature, self.secret]
        return subprocess.run(
            ["sh", "-c", script, "sh", *values], capture_output=True, check=False
        ).returncode


def test_no_snippet_is_left_out() -> None:
    assert {page: set(found) for page in pages() if (found := named(page, "snippet"))} == RUN


def runnable(name: str) -> object:
    needed = {"node": "node", "node_v1a": "node", "shell": "openssl"}.get(name)
    return pytest.param(name, marks=pytest.mark.needs(needed) if needed is not None else ())


@pytest.mark.parametrize("name", [runnable(name) for name in ("package", "python", "node", "shell")])
def test_a_printed_snippet_accepts_what_is_signed_and_nothing_else(name: str, tmp_path: Path) -> None:
    case = Case.valid()
    old = case.timestamp - 3600
    refused = {
        "another body": replace(case, body=case.body + b" "),
        "another secret": replace(case, secret=new_secret(bytes(32))),
        "an old request": replace(
            case, timestamp=old, signature=standard_signature(case.secret, "evt_1", old, case.body)
        ),
        "no version": replace(case, signature=case.signature.removeprefix("v1,")),
    }

    assert case.accepted_by(name, tmp_path)
    assert replace(case, signature=f"v1,{'A' * 43}= {case.signature}").accepted_by(name, tmp_path)
    assert [why for why, other in refused.items() if other.accepted_by(name, tmp_path)] == []


@pytest.mark.parametrize("name", [runnable("node_v1a"), "package"])
def test_a_printed_snippet_takes_a_public_key(name: str, tmp_path: Path) -> None:
    """P12."""
    case = Case.valid()
    key, other = (SigningKey(new_signing_key(seed * 32)) for seed in (b"k", b"o"))
    signature = key.standard("evt_1", case.timestamp, case.body)
    case = replace(case, secret=key.public_text, signature=f"{case.signature} {signature}")

    assert case.accepted_by(name, tmp_path)
    assert not replace(case, secret=other.public_text).accepted_by(name, tmp_path)
    assert not replace(case, body=case.body + b" ").accepted_by(name, tmp_path)
    assert not replace(case, signature=signature.replace("v1a,", "v1,")).accepted_by(name, tmp_path)
