from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import rfc8785
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from json_values import floats, numerals, spaced, values

from hookline.core.canonical import canonical, compact, decode, encode, faithful, number, survives
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    Javascript = Callable[[bytes], bytes | None]

ORACLE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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


@ORACLE
@given(value=values, text=numerals, is_ascii=st.booleans(), indent=spaced)
@example(value=None, text="1E-400", is_ascii=False, indent=None)
@example(value=None, text="5e-324", is_ascii=False, indent=None)
@example(value=None, text="-0.0", is_ascii=False, indent=None)
def test_a_faithful_text_is_javascripts_own_or_the_very_bytes(
    javascript: Javascript, value: Any, text: str, is_ascii: bool, indent: int | str | None
) -> None:
    """CONTRACT section 5: unchanged data, in the spelling that survives wherever JavaScript can hold every number."""
    raw = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()
    for given_text in (raw, f"[{text}, 0]".encode()):
        written = faithful(given_text)

        assert json.loads(written, parse_float=Decimal) == json.loads(given_text, parse_float=Decimal)
        assert written in (given_text, javascript(given_text))
        assert written == javascript(written) or written == given_text
