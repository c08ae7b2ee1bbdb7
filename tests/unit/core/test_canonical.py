from __future__ import annotations

import pytest

from hookline.core.canonical import (
    MAX_DEPTH,
    canonical,
    compact,
    decode,
    encode,
    faithful,
    number,
    parse_numbers,
    survives,
    type_name,
    write,
)
from hookline.errors import InputError


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"12.0", b"12"),
        (b'{"credits_used": 12.0}', b'{"credits_used":12}'),
        (b"[-0, -0.0, 0e5, -1e-400]", b"[0,0,0,0]"),
        (b"[1e-7, 0.000001, 1E-6, 1.5e-9]", b"[1e-7,0.000001,0.000001,1.5e-9]"),
        (b"[1e20, 1e21, 123456789012345680000.0]", b"[100000000000000000000,1e+21,123456789012345680000]"),
        (b"[5e-324, 1.7976931348623157e308]", b"[5e-324,1.7976931348623157e+308]"),
        (b"[1e400000]".replace(b"400000", b"2"), b"[100]"),
        (
            b'"\\u00e9\\/\\u0000\\u001f\\u007f\\u2028\\ud83d\\ude00"',
            '"é/\\u0000\\u001f\x7f\u2028😀"'.encode(),
        ),
        (b'{"b":1,"10":2,"a":3,"2":4}', b'{"2":4,"10":2,"b":1,"a":3}'),
        (b'{"b":1,"\\u0031":2}', b'{"1":2,"b":1}'),
        (
            b'{"b":0,"4294967295":1,"4294967294":2,"01":3,"-1":4}',
            b'{"4294967294":2,"b":0,"4294967295":1,"01":3,"-1":4}',
        ),
        (b'{"line1":1,"sha256":"x","a":["b1"]}', b'{"line1":1,"sha256":"x","a":["b1"]}'),
        (b'{"a":1,"b":2,"a":3}', b'{"a":3,"b":2}'),
        (b" [ ]\n", b"[]"),
        (b"{ }", b"{}"),
        (b"9007199254740993", b"9007199254740992"),
        (b"[123456789012345678901234567890]", b"[1.2345678901234568e+29]"),
        (b"[" + b"9" * 400 + b"]", b"[null]"),
        (b'{"a":[12345678901234567]}', b'{"a":[12345678901234568]}'),
        (b"[-12345678901234567]", b"[-12345678901234568]"),
    ],
)
def test_canonical_json_is_what_javascript_prints_after_parsing(raw: bytes, written: bytes) -> None:
    """AF-X1: both of the seed's verifiers must accept the bytes."""
    assert canonical(raw) == written
    assert encode(decode(raw)) == written
    assert canonical(written) == written


def test_a_trim_happens_between_reading_and_writing() -> None:
    """AF-X6: filter first, then sign."""
    raw = b'{"a":1.50,"b":123456789012345678,"c":{"2":1,"1":2}}'

    assert canonical(raw, lambda data: {"c": data["c"], "a": data["a"]}) == b'{"c":{"1":2,"2":1},"a":1.5}'
    assert compact(raw, lambda data: {"b": data["b"], "a": data["a"]}) == b'{"b":123456789012345678,"a":1.50}'
    assert compact(b"[" + b"9" * 30 + b", 1e5]", lambda data: data) == b"[" + b"9" * 30 + b",1e5]"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "INVALID_JSON"),
        (b" ", "INVALID_JSON"),
        (b"NaN", "INVALID_JSON"),
        (b"[Infinity]", "INVALID_JSON"),
        (b"[-Infinity]", "INVALID_JSON"),
        (b"{'a':1}", "INVALID_JSON"),
        (b'{"a":1,}', "INVALID_JSON"),
        (b"[1,]", "INVALID_JSON"),
        (b"[01]", "INVALID_JSON"),
        (b"[+1]", "INVALID_JSON"),
        (b"[.5]", "INVALID_JSON"),
        (b"[1.]", "INVALID_JSON"),
        (b"{} {}", "INVALID_JSON"),
        (b"// c\n{}", "INVALID_JSON"),
        (b"[1e400]", "INVALID_JSON"),
        (b"1" * 5000, "INVALID_JSON"),
        (b"\xef\xbb\xbf{}", "INVALID_JSON"),
        (b'["a\x00b"]', "INVALID_JSON"),
        (b"[1]\x00", "INVALID_JSON"),
        (b'["\t"]', "INVALID_JSON"),
        (b'["\\ud800"]', "INVALID_JSON"),
        (b'["\\udc00\\ud800"]', "INVALID_JSON"),
        (b'{"\\ud800":1}', "INVALID_JSON"),
        (b'["\xff"]', "INVALID_UTF8"),
        (b'["\xed\xa0\x80"]', "INVALID_UTF8"),
        (b'["\xc0\x80"]', "INVALID_UTF8"),
        (b'{"\xe9":1}', "INVALID_UTF8"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "JSON_TOO_DEEP"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "JSON_TOO_DEEP"),
        (b"[" * 100_000 + b"]" * 100_000, "JSON_TOO_DEEP"),
        (b"[" * 100_000, "JSON_TOO_DEEP"),
    ],
)
def test_bad_json_is_an_input_error_and_nothing_else(raw: bytes, code: str) -> None:
    """CONTRACT section 2; PROMISES section 5: never a RecursionError or ValueError."""
    with pytest.raises(InputError) as caught:
        decode(raw)
    assert caught.value.code == code
    if code != "JSON_TOO_DEEP" or len(raw) > 10_000:
        with pytest.raises(InputError) as caught:
            canonical(raw)
        assert caught.value.code == code


def test_what_was_let_in_may_be_wrapped_and_still_goes_out() -> None:
    """CONTRACT section 5: dialects never refuse, and an input at full depth stands deeper in its event."""
    inner = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    decode(inner)

    assert canonical(b'{"data":{"input_data":' + inner + b"}}") == b'{"data":{"input_data":' + inner + b"}}"
    assert canonical(b'{"b":{"1":' + inner + b"}}") == b'{"b":{"1":' + inner + b"}}"


def test_what_looks_odd_but_is_legal_is_read() -> None:
    """CONTRACT section 2: an escaped NUL is legal, a repeated key keeps its last value."""
    assert decode(b'{"a":"\\u0000"}') == {"a": "\0"}
    assert decode(b'{"a":1,"a":2}') == {"a": 2}
    assert decode(b"1" * 400) == int("1" * 400)
    assert decode('["é"]') == ["é"]
    assert decode(bytearray(b"[1]")) == [1]
    assert decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    assert len(decode(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000


def test_text_with_lone_surrogates_is_invalid_utf8() -> None:
    with pytest.raises(InputError) as caught:
        decode('["\ud800"]', field="data")

    assert (caught.value.code, caught.value.field) == ("INVALID_UTF8", "data")


def test_what_json_cannot_hold_is_our_bug() -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="no such number"):
            encode(value)
        with pytest.raises(ValueError, match="no such number"):
            number(value)
    with pytest.raises(TypeError):
        encode({"a": {1, 2}})


@pytest.mark.parametrize(
    ("raw", "is_same"),
    [
        (b"[9007199254740992, -9007199254740992]", True),
        (b"[9007199254740993]", False),
        (b'{"a":{"b":[9007199254740994]}}', True),
        (b'{"a":{"b":[12345678901234567]}}', False),
        (b"[100000000000000000000]", True),
        (b"[" + b"9" * 400 + b"]", False),
        (b'{"id":"12345678901234567","n":1.5}', True),
        (b"12345678901234567", False),
        (b"[0.1234567890123456]", True),
    ],
)
def test_integers_that_javascript_cannot_hold_are_told(raw: bytes, is_same: bool) -> None:
    """AF-X1."""
    assert survives(decode(raw)) is is_same


def test_types_have_their_json_names() -> None:
    """AF-5."""
    values: tuple[object, ...] = (None, True, 1, 1.5, "a", [], {})

    assert [type_name(value) for value in values] == [
        "null",
        "boolean",
        "number",
        "number",
        "string",
        "array",
        "object",
    ]


HUGE = b"9" * 400


@pytest.mark.parametrize("text", [b'{"a":%b,"b":1}', b'[{"a":%b}]'])
def test_integers_beyond_64_bits_are_written_in_every_way(text: bytes) -> None:
    """AF-X1: as JavaScript prints them where it must be canonical, to the digit where numbers stay exact."""
    raw = text % HUGE

    assert canonical(raw) == text % b"null"
    assert canonical(text % b"123456789012345678901") == text % b"123456789012345680000"
    assert compact(raw, lambda value: value) == raw
    assert faithful(raw, lambda value: value) == raw


@pytest.mark.parametrize("value", [b"bytes", object(), {"a": {1, 2}}, [(1, 2)]])
def test_what_is_no_value_of_json_is_our_bug(value: object) -> None:
    with pytest.raises(TypeError, match="has no place in JSON"):
        encode(value)


@pytest.mark.parametrize(
    "raw", [b"[12.0,-0.0,1e21,1e-7]", b'{"b":1.50,"1":2,"n":12345678901234567890}', b"1.0", b"{}"]
)
def test_numbers_that_are_parsed_to_be_worked_with_are_written_as_javascript_does(raw: bytes) -> None:
    """AF-X1."""
    assert write(parse_numbers(raw)) == canonical(raw)


def test_what_is_parsed_to_be_worked_with_is_as_strict() -> None:
    with pytest.raises(InputError):
        parse_numbers(b"[1e400]")
    with pytest.raises(TypeError, match="object has no place in JSON"):
        write([object()])


@pytest.mark.parametrize("raw", [b'{"a": 1e400}', b"[-1e999]", b"[0.12345678901234567890]", b"[1e-400]"])
def test_a_fraction_that_is_no_double_leaves_the_text_as_it_came(raw: bytes) -> None:
    """P4: a number is sent unchanged or not touched at all, even one that no double can hold."""
    assert faithful(raw) == raw
    assert faithful(raw, lambda value: value) == raw.replace(b" ", b"")


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"nope", "invalid character"),
    ],
)
def test_a_text_that_is_no_json_is_told_why(raw: bytes, detail: str) -> None:
    """AF-5."""
    with pytest.raises(InputError) as caught:
        decode(raw, field="data")

    assert caught.value.message.startswith(f"The text is not valid JSON: {detail}")
    assert (caught.value.field, caught.value.expected) == ("data", "JSON")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (0.001, "0.001"),
        (-0.001, "-0.001"),
        (0.0009, "0.0009"),
        (-0.25, "-0.25"),
        (1e-7, "1e-7"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (123.5, "123.5"),
        (1.5e-9, "1.5e-9"),
    ],
)
def test_numbers_are_printed_as_javascript_prints_them(value: float, text: str) -> None:
    """ECMA-262 section 6.1.6.1.20."""
    assert number(value) == text
