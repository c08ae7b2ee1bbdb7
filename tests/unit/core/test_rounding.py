from __future__ import annotations

import pytest

from hookline.core.canonical import canonical
from hookline.core.filters import compile_filter
from hookline.core.rounding import MOST_TOLD, rounded_numbers


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (b"{}", []),
        (b'{"a":9007199254740992,"b":-9007199254740992,"c":9007199254740994,"d":100000000000000000000}', []),
        (b'{"a":1.50,"b":1e-7,"c":12.0,"d":0.1234567890123456,"e":-0.0,"f":null,"g":"9007199254740993"}', []),
        (b'{"a":{"b":[1,9007199254740993]},"c":-12345678901234567}', ["a.b.1", "c"]),
        (b'{"a":0.12345678901234567890,"b":1e-400,"c":[3.14159265358979323846]}', ["a", "b", "c.0"]),
        (b'{"a":%b}' % (b"9" * 400), ["a"]),
        (b"12345678901234567", [""]),
    ],
)
def test_numbers_that_javascript_cannot_hold_have_a_path(raw: bytes, paths: list[str]) -> None:
    """AF-X1: what is changed is told, and nothing else is."""
    assert rounded_numbers(raw) == paths


def test_what_a_filter_takes_away_is_not_told() -> None:
    raw = b'{"a":9007199254740993,"b":{"c":9007199254740993}}'

    assert rounded_numbers(raw, compile_filter(["b"], None)) == ["b.c"]


def test_many_are_told_in_part() -> None:
    raw = b"[%b]" % b",".join([b"9007199254740993"] * 100)

    assert rounded_numbers(raw) == [str(number) for number in range(MOST_TOLD)]


def test_depth_is_no_obstacle() -> None:
    """What was let in 128 deep stands deeper inside our own payloads."""
    raw = b"[" * 200 + b"9007199254740993" + b"]" * 200

    assert canonical(raw) != raw
    assert rounded_numbers(raw) == [".".join(["0"] * 200)]
