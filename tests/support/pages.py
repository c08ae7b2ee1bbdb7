"""The documents' code blocks: which there are, what each is for, and typing them as a reader would.

The comment on the line above a block says what it is:

| mark | what tests do with it |
|---|---|
| `run`, `run: NAME` | type it into the page's one shell, in the page's order; it must succeed |
| `file: NAME` | write it there first |
| `serve` | start the page's server with it; without one it is `hookline serve app.py` |
| `background` | start it beside the shell, and go on when its port is open |
| `answer` | compare it with what the block above it printed |
| `body: DIALECT/NAME` | compare it with the golden body of that name |
| `snippet: NAME` | run it with values of its own (test_snippets.py) |
| `excerpt: REASON` | only parse it |

A block inside of a comment, `<!-- setup` … `-->`, is typed and not shown. Where a reader puts in what an earlier
command printed, the page has an ellipsis: `wh_…` is the last such id, `whsec_…` the last such secret. In answers an
ellipsis stands for anything.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hookline.testing.nodes import ADMIN_KEY, NodeProcess
from hookline.testing.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
TUTORIAL: Final = "tutorial/first-webhook"

_BLOCK: Final = re.compile(
    r"^(?P<indent>[ ]*)<!-- setup\n(?P<setup>.*?)^[ ]*-->$"
    r"|(?:^[ ]*<!-- (?P<kind>[a-z]+)(?:: (?P<name>[^\n]*?))? -->\n)?"
    r"^(?P<margin>[ ]*)(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=margin)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_PORTS: Final = re.compile(r"(?<=[:\s,(])(?:8700|9\d{3})\b")
"""Ports that pages speak of: each is the page's server's, or a free one, while a test runs."""
_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Block:
    """One block of code. page: its path in docs/, without suffix. kind: its mark, "" without one.

    line: of its fence, from 1.
    """

    page: str
    line: int
    language: str
    kind: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}.md:{self.line}"


def pages() -> list[str]:
    """Every page of docs/, and README, by its path without suffix."""
    return ["README", *sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md"))]


def source(page: str) -> str:
    """Return a page's text."""
    folder = ROOT if page == "README" else DOCS
    return (folder / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, kind: str | None = None) -> list[Block]:
    """Every block of a page, in order; of one kind only where that is given."""
    text = source(page)
    found = [_block(page, text, match) for match in _BLOCK.finditer(text)]
    return [block for block in found if kind is None or block.kind == kind]


def _block(page: str, text: str, match: re.Match[str]) -> Block:
    line = text.count("\n", 0, match.start("fence") if match["setup"] is None else match.start()) + 1
    if match["setup"] is not None:
        return Block(page, line, "sh", "setup", "", match["setup"])
    margin = len(match["margin"])
    body = "".join(row[margin:] if row.strip() else row for row in match["text"].splitlines(keepends=True))
    return Block(page, line, match["language"], match["kind"] or "", match["name"] or "", body)


def named(page: str, kind: str) -> dict[str, str]:
    """Return name to text of a page's blocks of one kind."""
    return {block.name: block.text for block in blocks(page, kind)}


def fits(expected: object, actual: object) -> bool:
    """Say whether a printed JSON value is what was answered; "…" is anything, and as a key any further ones."""
    if isinstance(expected, str) and "…" in expected:
        if expected == "…":
            return True
        return isinstance(actual, str) and text_fits(expected, actual, whole=True)
    if isinstance(expected, dict) and isinstance(actual, dict):
        wanted = {key: value for key, value in expected.items() if key != "…"}
        if "…" not in expected and wanted.keys() != actual.keys():
            return False
        return all(key in actual and fits(value, actual[key]) for key, value in wanted.items())
    if isinstance(expected, list) and isinstance(actual, list):
        if expected and expected[-1] == "…":
            expected, actual = expected[:-1], actual[: len(expected) - 1]
        return len(expected) == len(actual) and all(map(fits, expected, actual))
    return expected == actual and isinstance(expected, bool) == isinstance(actual, bool)


def text_fits(expected: str, actual: str, *, whole: bool = False) -> bool:
    """Say whether a text is in another one; "…" stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("…"))
    return bool((re.fullmatch if whole else re.search)(pattern, actual, re.DOTALL))


def json_values(text: str) -> list[Any]:
    """Every JSON object or array that stands in a text, from the left."""
    decoder, values, at = json.JSONDecoder(), [], 0
    while (begin := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, begin.start())
        except ValueError:
            at = begin.end()
        else:
            values.append(value)
    return values


@dataclass
class Followed:
    """What came of typing a page. printed: each typed block with its output, in order."""

    folder: Path
    node: NodeProcess
    printed: list[tuple[Block, str]] = field(default_factory=list)

    @property
    def said(self) -> dict[str, str]:
        """Name of each named block to what it printed."""
        return {block.name: text for block, text in self.printed if block.name}

    @property
    def output(self) -> str:
        return "".join(text for _, text in self.printed)

    def compare(self, answer: Block) -> None:
        """Raise AssertionError when the block before did not print this."""
        block, output = self.printed[-1]
        if answer.language == "json":
            expected = json.loads(answer.text)
            assert any(fits(expected, one) for one in json_values(output)), f"{answer}: {block} says {output}"
        else:
            assert text_fits(answer.text.strip(), output), f"{answer}: {block} says {output}"


class Shell:
    """One bash that blocks are typed into, one after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._errors = folder / ".errors"
        self._typed = 0
        with self._errors.open("wb") as errors:
            self._bash = subprocess.Popen(
                ["bash", "-eu"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )

    def type(self, text: str) -> str:
        """Run a text; return what it printed to stdout. Raises AssertionError when it fails or takes too long."""
        self._typed += 1
        script, end = f".typed-{self._typed}.sh", f"--- typed {self._typed}\n"
        (self._folder / script).write_text(text, encoding="utf-8")
        assert self._bash.stdin is not None
        self._bash.stdin.write(f". ./{script} </dev/null\nprintf '%s\\n' '{end.strip()}'\n".encode())
        self._bash.stdin.flush()
        printed = self._read(end.encode())
        if printed is None:
            raise AssertionError(f"{text}\n{self._errors.read_text(encoding='utf-8')}")
        return printed

    def _read(self, end: bytes) -> str | None:
        assert self._bash.stdout is not None
        read, found, deadline = self._bash.stdout.fileno(), b"", time.monotonic() + _SECONDS
        while not found.endswith(end):
            if not select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            if not (more := os.read(read, 65_536)):
                return None
            found += more
        return found.removesuffix(end).decode()

    def close(self) -> None:
        """End the shell, and what it left in the background."""
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, 9)
        self._bash.communicate()


@contextmanager
def running(
    page: str,
    folder: Path,
    command: str = "hookline serve app.py",
    more: Mapping[str, str] | None = None,
) -> Iterator[NodeProcess]:
    """A server with the page's app, else the tutorial's, started by a command as a page prints it.

    Its flags and variables are given as settings, which is what they are; port, database and keys are the test's.
    """
    words = shlex.split(command, comments=True)
    begin = words.index("serve")
    settings = dict(word.split("=", 1) for word in words[: begin - 1])
    flags = words[begin + 1 :]
    app = flags.pop(0) if flags and not flags[0].startswith("-") else None
    names = {"--allow-network": "HOOKLINE_ALLOW_NETWORKS"}
    settings |= dict(more or {})
    settings |= {
        names.get(flag, f"HOOKLINE_{flag[2:].upper().replace('-', '_')}"): value
        for flag, value in zip(flags[::2], flags[1::2], strict=True)
    }
    if app is not None and not (folder / app).exists():
        files = named(page, "file")
        (folder / app).write_text(files.get(app) or named(TUTORIAL, "file")[app], encoding="utf-8")
    node = NodeProcess(
        database=f"sqlite:///{folder}/page.db",
        folder=folder,
        app=folder / app if app is not None else None,
        settings=settings,
    )
    node.start()
    try:
        yield node
    finally:
        assert node.stop() == 0


def follow(
    page: str,
    folder: Path,
    *,
    node: NodeProcess | None = None,
    then: str = "",
    settings: Mapping[str, str] | None = None,
) -> Followed:
    """Type a page: write its files, start its server, run its commands and compare its answers.

    node: a server that runs already. then: commands of the test, typed last.  settings: more of them for the
    page's own server.
    """
    found = [*blocks(page), *([Block(page, 0, "sh", "run", "then", then)] if then else [])]
    with ExitStack() as stack:
        ports: dict[str, str] = {}
        for block in found:
            if block.kind == "file":
                (folder / block.name).write_text(_with_ports(block.text, ports), encoding="utf-8")
        for name in ("examples", "deploy"):
            (folder / name).symlink_to(ROOT / name)
        serves = [block.text for block in found if block.kind == "serve"] or ["hookline serve app.py"]
        node = node or stack.enter_context(running(page, folder, serves[0], settings))
        for number, other in enumerate(serves[1:]):
            (apart := folder / f"other-{number}").mkdir()
            with running(page, apart, other):
                pass
        shell = Shell(folder, environment(node))
        stack.callback(shell.close)
        followed = Followed(folder, node)
        ports["8700"] = str(node.port)
        for block in found:
            if block.kind == "answer":
                followed.compare(block)
            elif block.kind in {"run", "setup", "background"}:
                text = filled(block.text, followed.output, ports)
                followed.printed.append(
                    (block, shell.type(_behind(text) if block.kind == "background" else text))
                )
        return followed


def environment(node: NodeProcess) -> dict[str, str]:
    """Return what a reader has exported."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "HOOKLINE_URL": f"http://127.0.0.1:{node.port}",
        "HOOKLINE_API_KEY": ADMIN_KEY,
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "no_proxy": "*",
        "PYTHONUNBUFFERED": "1",
    }


def filled(text: str, printed: str, ports: dict[str, str]) -> str:
    """Put in what a reader puts in: ids and secrets that were printed, the key, ports that are free."""

    def latest(match: re.Match[str]) -> str:
        known = re.findall(rf"{match[1]}_[A-Za-z0-9+/=-]{{16,}}", printed)
        assert known, f"nothing printed {match[0]} before {text!r}"
        return str(known[-1])

    text = text.replace("HOOKLINE_API_KEY=…", f"HOOKLINE_API_KEY={ADMIN_KEY}")
    return _with_ports(re.sub(r"\b([a-z]+)_…", latest, text), ports)


def _with_ports(text: str, ports: dict[str, str]) -> str:
    """Put a free port wherever a page names one."""
    return _PORTS.sub(lambda match: ports.setdefault(match[0], str(free_port())), text)


def _behind(text: str) -> str:
    """Return commands that start a text beside the shell and wait for the port that it names last."""
    port = re.findall(r"\b(\d{4,5})\b", text)
    wait = f"until (exec 3<>/dev/tcp/127.0.0.1/{port[-1]}) 2>/dev/null; do sleep 0.05; done" if port else ":"
    return f"{{\n{text}}} >>background.log 2>&1 &\n{wait}\n"
