"""The pages "Moving from …": the bodies they print are ours, and their snippets verify what we send."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import golden
import pytest
from programs import program

from hookline.core.signing import agenticflow_signature, new_secret
from hookline.dialects import NAMES

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = sorted(FOLDER.glob("moving-from-*.md"))
BODY = re.compile(r"^<!-- body: (\S+) -->\n```json\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r"^<!-- snippet: (\w+) -->\n```\w+\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PRINTED = [(page.stem, *found) for page in PAGES for found in BODY.findall(page.read_text(encoding="utf-8"))]
SNIPPETS = dict(SNIPPET.findall((FOLDER / "moving-from-agenticflow.md").read_text(encoding="utf-8")))

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
    assert [page.stem.removeprefix("moving-from-") for page in PAGES] == [
        "agenticflow",
        "maxun",
        "phantombuster",
        "phantomflow",
        "standard-webhooks",
    ]
    assert {page for page, _, _ in PRINTED} == {page.stem for page in PAGES}


@pytest.mark.parametrize(("page", "place", "text"), PRINTED)
def test_a_printed_body_is_what_is_sent(page: str, place: str, text: str) -> None:
    """Keys in order and every value, but for white space."""
    sent = (golden.FOLDER / f"{place}.json").read_bytes()

    assert json.dumps(json.loads(text)) == json.dumps(json.loads(sent)), page


def test_every_dialect_has_a_row_in_the_table() -> None:
    table = (FOLDER / "deliver-and-verify.md").read_text(encoding="utf-8")

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
