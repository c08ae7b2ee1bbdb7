from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hookline.core.canonical import canonical, compact, decode, encode, number, survives
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Javascript = Callable[[bytes], bytes | None]

ORACLE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = (
    texts
    | st.integers(0, 2**33).map(str)
    | st.sampled_from(["0", "01", "1", "4294967294", "4294967295", "a1", "-1"])
)
integers = st.integers(-(2**53), 2**53) | st.integers(-(2**70), 2**70) | st.integers(-(10**320), 10**320)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=6)
)
numerals = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
spaced = st.sampled_from([None, 1, "\t"])


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
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    with subprocess.Popen([node, "-e", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
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


@ORACLE
@given(value=values, is_ascii=st.booleans(), indent=spaced)
def test_canonical_json_equals_javascripts_round_trip(
    javascript: Javascript, value: Any, is_ascii: bool, indent: int | str | None
) -> None:
    """AF-X1, DESIGN section 5: whatever spelling comes in."""
    raw = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()

    assert canonical(raw) == javascript(raw)
    assert encode(decode(raw)) == canonical(raw)
    assert javascript(canonical(raw)) == canonical(raw)


@ORACLE
@given(text=numerals)
def test_numbers_print_as_javascript_prints_them(javascript: Javascript, text: str) -> None:
    """AF-X1: 12.0 is 12, 1e-7 is 1e-7."""
    raw = f"[{text}]".encode()
    is_out_of_range = math.isinf(float(text)) and not text.lstrip("-").isdigit()

    if is_out_of_range:
        for read in (decode, canonical):
            try:
                read(raw)
            except InputError:
                continue
            raise AssertionError("a number beyond a double was taken")
    else:
        assert canonical(raw) == javascript(raw)


@settings(max_examples=300, deadline=None)
@given(value=floats)
def test_floats_print_as_rfc_8785_says(value: float) -> None:
    assert number(value).encode() == rfc8785.dumps(value)
    assert float(number(value)) == value


@ORACLE
@given(value=values, position=st.integers(0, 200), junk=st.binary(max_size=3))
def test_decode_takes_what_javascript_takes_and_nothing_more(
    javascript: Javascript, value: Any, position: int, junk: bytes
) -> None:
    """CONTRACT section 2: damaged text is an InputError, never another exception."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    raw = raw[:position] + junk + raw[position:]
    try:
        decode(raw)
        is_taken = True
    except InputError as exc:
        is_taken = False
        # The documented differences: what JavaScript reads as Infinity, or cannot be encoded.
        assume("out of range" not in exc.message)

    assert is_taken is (javascript(raw) is not None)


@settings(max_examples=150, deadline=None)
@given(value=values)
def test_compact_changes_white_space_only(value: Any) -> None:
    raw = json.dumps(value, ensure_ascii=False, indent=1).encode()

    assert (
        compact(raw, lambda data: data)
        == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    )


@settings(max_examples=150, deadline=None)
@given(value=values)
def test_survives_says_whether_integers_come_back_equal(value: Any) -> None:
    """AF-X1: what JavaScript changes is told."""

    def integers_of(item: Any) -> list[int]:
        if isinstance(item, dict):
            return [number for child in item.values() for number in integers_of(child)]
        if isinstance(item, list):
            return [number for child in item for number in integers_of(child)]
        return [item] if type(item) is int else []

    def is_same(integer: int) -> bool:
        again = json.loads(encode(integer), parse_float=lambda text: int(rfc_integer(text)))
        return bool(again == integer)

    assert survives(value) is all(is_same(integer) for integer in integers_of(value))


def rfc_integer(text: str) -> int:
    mantissa, _, exponent = text.partition("e+")
    whole, _, fraction = mantissa.partition(".")
    return int(whole + fraction.ljust(int(exponent), "0"))
