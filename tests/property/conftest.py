"""JavaScript's own reading of JSON, asked of Node."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest
from programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Javascript = Callable[[bytes], bytes | None]

_SCRIPT = """
require('readline').createInterface({input: process.stdin}).on('line', line => {
  let answer;
  try {
    const bytes = Buffer.from(line, 'base64');
    const text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
    answer = Buffer.from(JSON.stringify(JSON.parse(text))).toString('base64');
  } catch (error) { answer = '!'; }
  process.stdout.write(answer + '\\n');
});
"""


@pytest.fixture(scope="session")
def javascript() -> Iterator[Javascript]:
    """JSON.stringify(JSON.parse(body)) by Node itself; None when it does not parse."""
    with subprocess.Popen(
        [program("node"), "-e", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def round_trip(body: bytes) -> bytes | None:
            stdin.write(base64.b64encode(body) + b"\n")
            stdin.flush()
            answer = stdout.readline().strip()
            return None if answer == b"!" else base64.b64decode(answer)

        yield round_trip
        stdin.close()
