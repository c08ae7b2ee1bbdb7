"""The pages "Moving from …": the bodies they print are ours, and their snippets verify what we send."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import golden
import pytest
from pages import Block, blocks, named, pages, source
from programs import program

from hookline.core.signing import agenticflow_signature, new_secret
from hookline.dialects import NAMES

if TYPE_CHECKING:
    from pathlib import Path

PRINTED = [block for page in pages() for block in blocks(page, "body")]
SNIPPETS = named("how-to/moving-from-agenticflow", "snippet")

PYTHON = """
import base64, json, sys
for case in json.load(sys.stdin):
    print(int(verify(base64.b64decode(case["body"]), case["signature"], case["secret"])))
"""
NODE = """
for (const given of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
  console.log(Number(verify(Buffer.from(given.body, "base64"), given.signature, given.secret)));
}
"""


def test_each_system_has_a_page() -> None:
    found = {page.rpartition("moving-from-")[2] for page in pages() if "moving-from-" in page}

    assert found >= {
        "agenticflow",
        "maxun",
        "phantombuster",
        "phantomflow",
        "prismatic",
        "svix",
        "convoy",
        "n8n",
    }


@pytest.mark.parametrize("block", PRINTED, ids=str)
def test_a_printed_body_is_what_is_sent(block: Block) -> None:
    """Keys in order and every value, but for white space."""
    sent = (golden.FOLDER / f"{block.name}.json").read_bytes()

    assert json.dumps(json.loads(block.text)) == json.dumps(json.loads(sent))


def test_every_dialect_has_a_row_in_the_table() -> None:
    table = source("how-to/deliver")

    assert [name for name in NAMES if f"`{name}`" not in table] == []


@pytest.mark.parametrize("language", ["python", "node"])
def test_the_corrected_agenticflow_verifier_takes_bytes(language: str, tmp_path: Path) -> None:
    """AF-15, AF-X1: it accepts what is signed, refuses what is not, and a missing header is no error."""
    interpreter = sys.executable if language == "python" else program("node")
    secret, body = new_secret(b"s" * 32), '{"total":12.0,"note":"Zo\\u00eb \xff"}'.encode("latin-1")
    good = agenticflow_signature(secret, body)
    cases = [
        (body, good, secret, 1),
        (body + b" ", good, secret, 0),
        (body, good, new_secret(b"t" * 32), 0),
        (body, good.removeprefix("sha256="), secret, 0),
        (body, "", secret, 0),
        (body, None, secret, 0),
        (body, "größe", secret, 0),
    ]
    given = [
        {"body": base64.b64encode(text).decode(), "signature": signature, "secret": key}
        for text, signature, key, _ in cases
    ]
    script = tmp_path / ("snippet.js" if language == "node" else "snippet.py")
    script.write_text(SNIPPETS[language] + (NODE if language == "node" else PYTHON), encoding="utf-8")

    done = subprocess.run(
        [interpreter, script], input=json.dumps(given), text=True, capture_output=True, check=True, timeout=60
    )

    assert done.stdout.split() == [str(accepted) for *_, accepted in cases]
