"""No code in the documents that nobody runs: each block has a mark that says how it is run, or why it is not."""

from __future__ import annotations

import ast
import json
import re
import subprocess

import pytest
from pages import Block, blocks, pages, source

GENERATED = {"reference/cli", "reference/events"}
"""Written by scripts/reference.py from the code itself, and compared with it."""
TYPED = {"run", "setup", "background"}
LANGUAGES = {
    "run": {"sh"},
    "setup": {"sh"},
    "background": {"sh"},
    "serve": {"sh"},
    "file": {"python", "nginx", "yaml", "json", "sh"},
    "answer": {"json", "text"},
    "body": {"json"},
    "snippet": {"python", "js", "sh", "json", "text"},
    "excerpt": {"sh", "json", "python", "yaml", "js", "text"},
}
"""Mark to the languages that tests can do something with."""
EVERY = [block for page in pages() if page not in GENERATED for block in blocks(page)]


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.kind in LANGUAGES, f"{block} has no mark; tests/support/pages.py says which there are"
    assert block.language in LANGUAGES[block.kind], f"{block}: {block.kind} takes no {block.language!r}"


@pytest.mark.parametrize("block", [block for block in EVERY if block.kind == "file"], ids=str)
def test_readers_are_told_what_a_file_is_called(block: Block) -> None:
    """The mark that says so is not shown."""
    before = "\n".join(source(block.page).splitlines()[max(0, block.line - 16) : block.line - 2])
    shown = re.sub(r"<!--.*?-->", "", before, flags=re.DOTALL)

    assert re.search(rf"[`/]{re.escape(block.name)}`", shown) or block.text.startswith(f"# {block.name}")


@pytest.mark.parametrize("page", sorted({block.page for block in EVERY}))
def test_answers_follow_commands(page: str) -> None:
    kinds = [block.kind for block in EVERY if block.page == page]

    assert [at for at, kind in enumerate(kinds) if kind == "answer" and not TYPED & set(kinds[:at])] == []


@pytest.mark.parametrize("block", [block for block in EVERY if block.kind == "excerpt"], ids=str)
def test_an_excerpt_has_a_reason_and_can_be_read(block: Block) -> None:
    assert len(block.name.split()) >= 2, f"{block}: why does no test run it?"
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "python":
        ast.parse(block.text)
    elif block.language == "sh":
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize("page", [page for page in pages() if not page.startswith("reference/")])
def test_prose_is_wrapped(page: str) -> None:
    """Tables and code are as wide as they must be."""
    prose = re.sub(r"^ *(```.*?^ *```|<!-- .*?-->)$", "", source(page), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in prose.splitlines() if not line.startswith("|")]

    assert [line for line in lines if len(line) > 132] == []
