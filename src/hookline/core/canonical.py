"""Read JSON strictly, and write it so that JavaScript's own round trip gives the same bytes.

A receiver that verifies ``JSON.stringify(req.body)`` instead of the bytes it got, as one seed's example does
(AF-X1), still verifies what ``encode`` and ``canonical`` write: compact, non-ASCII unescaped, numbers as ECMAScript
prints them (``12.0`` is ``12``), canonical integer keys 0 to 4294967294 first in numeric order, and only the
escapes that ``JSON.stringify`` uses (ECMA-262 sections 6.1.6.1.20, 10.1.11.1 and 25.5.2).

JavaScript has no integers beyond 2^53. They are written as the nearest double, as JavaScript itself would print it
after parsing (``null`` beyond the range of doubles); ``survives`` says whether that changed a value, ``rounding`` which
of them, and ``faithful`` leaves a text alone rather than change one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from sys import float_info
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Deeper nesting is an attack on the recursion of whoever parses it next, the receiver's parser included.
MAX_DEPTH: Final = 128

# Up to here every integer is a double.
_SAFE: Final = 2**53
_DIGITS_OF_DOUBLE: Final = 15
_SMALLEST_NORMAL: Final = float_info.min
# The largest array index of ECMA-262: keys that spell one come first in every JavaScript object.
_MAX_INDEX: Final = 2**32 - 2


class Double(float):
    """A float that ``write`` prints as JavaScript does; as ``parse_numbers`` returns it."""

    __slots__ = ()


def _spelled(value: object) -> msgspec.Raw:
    if isinstance(value, Double):
        return msgspec.Raw(number(value).encode())
    raise TypeError(f"{type(value).__name__} has no place in JSON")


_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder(enc_hook=_spelled)
_write: Final = _encoder.encode

# Digits become 0, and what may stand before a number in compact JSON becomes [ or :, so that "is there an integer
# of 16 digits" and "does a key end in a digit" are plain substring searches: 1 us where a regex needs 10.
_SHAPE: Final = bytes(
    ord("0") if chr(byte).isdigit() and byte < 128 else ord("[") if byte in b"[," else byte
    for byte in range(256)
)
_LONG: Final = b"0" * 16
_OPENS_VALUE: Final = b":["
_MINUS: Final = ord("-")
_INDEX_KEY: Final = re.compile(rb'[{,]"(?:0|[1-9][0-9]{0,9})":')


def decode(raw: bytes | bytearray | memoryview | str, *, field: str | None = None) -> Any:
    """Return the value of a JSON text. A repeated key keeps its last value, as in JavaScript.

    Raises InputError with code ``INVALID_JSON`` (syntax, NaN, raw NUL, lone surrogates, a byte order mark, numbers
    beyond a double or 4,300 digits), ``INVALID_UTF8`` or ``JSON_TOO_DEEP``; never RecursionError. An escaped NUL
    is legal. field: what the error points at.
    """
    if not isinstance(raw, bytes):
        raw = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else bytes(raw)
    value = _decode(_decoder, raw, field)
    # Depth is bounded by the number of opening brackets; counting those is cheap, so most texts are never walked.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(value):
        raise _too_deep(field)
    return value


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes, field: str | None) -> Any:
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as exc:
        raise InputError(
            "The text is not valid UTF-8.",
            code="INVALID_UTF8",
            field=field,
            expected="UTF-8",
            received="other bytes",
        ) from exc
    except RecursionError as exc:
        raise _too_deep(field) from exc
    except (msgspec.DecodeError, ValueError) as exc:
        raise _invalid(raw, exc, field) from exc


def _is_too_deep(value: Any) -> bool:
    level = [value] if type(value) in (dict, list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in (dict, list)
        ]
        if not level:
            return False
    return True


def _too_deep(field: str | None) -> InputError:
    return InputError(
        f"The JSON is nested deeper than {MAX_DEPTH} levels.",
        code="JSON_TOO_DEEP",
        field=field,
        expected=f"at most {MAX_DEPTH} levels",
        received="more",
    )


def _invalid(raw: bytes, exc: Exception, field: str | None) -> InputError:
    if raw.startswith(b"\xef\xbb\xbf"):
        detail = "it starts with a byte order mark"
    elif not raw.strip():
        detail = "it is empty"
    else:
        detail = str(exc).removeprefix("JSON is malformed: ")
        detail = detail[:1].lower() + detail[1:]
    return InputError(
        f"The text is not valid JSON: {detail}.",
        code="INVALID_JSON",
        field=field,
        expected="JSON",
        received="nothing" if not raw.strip() else "other text",
    )


def canonical(raw: bytes, trim: Callable[[Any], Any] | None = None) -> bytes:
    """Return the same JSON as ``JSON.stringify(JSON.parse(raw))`` writes it.

    trim: applied to the decoded value in between (its floats are opaque to it).  Raises InputError like ``decode``,
    but allows any depth that fits the stack: what was let in stands deeper inside our own payloads.
    """
    value = parse(raw)
    return write(value if trim is None else trim(value))


def parse(raw: bytes) -> Any:
    """Return the value of a JSON text for ``write``: as ``decode`` does, but every float is opaque and stands as
    JavaScript prints it.

    Raises InputError like ``canonical``.
    """
    return _decode(_number_decoder, raw, None)


def parse_numbers(raw: bytes) -> Any:
    """``parse`` for who compares numbers, too: every float is a ``Double``."""
    return _decode(_double_decoder, raw, None)


def write(value: Any) -> bytes:
    """Return JSON that JavaScript's round trip leaves unchanged, ten times as fast as ``encode``.

    value: what ``parse`` or ``parse_numbers`` returns, alone or inside objects and arrays of our own. A float of ours
    must stand there as a ``Double``, because plain floats are written as Python prints them.
    """
    text = _write(value)
    shape = text.translate(_SHAPE)
    if (
        shape[:1] not in (b"{", b"[")  # a bare scalar: no room for the shortcuts below
        or _may_hold_long(shape)
        or (b'0":' in shape and _INDEX_KEY.search(text))
    ):
        return encode(value)
    return text


def _may_hold_long(shape: bytes) -> bool:
    """Say whether a text may have an integer of 16 digits: in a string, so many seldom stand behind [ or :."""
    place = shape.find(_LONG)
    while place > 0:
        before = shape[place - 2] if shape[place - 1] == _MINUS else shape[place - 1]
        if before in _OPENS_VALUE:
            return True
        place = shape.find(_LONG, place + len(_LONG))
    return False


def encode(value: Any) -> bytes:
    """Return a decoded value as JSON that JavaScript's round trip leaves unchanged.

    value: what ``decode`` returns (dict with str keys, list, str, int, float, bool, None); anything else is a
    TypeError, a float that is not finite a ValueError.
    """
    parts: list[bytes] = []
    _append(value, parts.append)
    return b"".join(parts)


def faithful(raw: bytes, trim: Callable[[Any], Any] | None = None) -> bytes:
    """Return the JSON as ``canonical`` writes it where that changes no number, else as it came.

    As it came means byte for byte, or with a trim ``compact``. A number is changed when JavaScript cannot hold it: an
    integer beyond 2^53 that is no double, a fraction with more digits than a double has. Raises InputError like
    ``canonical``.
    """
    try:
        value = _decode(_exact_decoder, raw, None)
    except _InexactError:
        return raw if trim is None else compact(raw, trim)
    if trim is not None:
        value = trim(value)
    if _LONG in raw.translate(_SHAPE) and not survives(value):
        return raw if trim is None else compact(raw, trim)
    return write(value)


def compact(raw: bytes, trim: Callable[[Any], Any]) -> bytes:
    """Return JSON with ``trim`` applied and every number spelled as it came (an exact one stays exact).

    Raises InputError like ``decode``.
    """
    return _write(trim(_decode(_verbatim_decoder, raw, None)))


def survives(value: Any) -> bool:
    """Say whether every integer of a decoded value reaches a JavaScript receiver as the same number (AF-X1)."""
    level = [value]
    while level:
        for item in level:
            if type(item) is int and not -_SAFE <= item <= _SAFE and not _is_same_in_js(item):
                return False
        level = [
            child
            for parent in level
            if type(parent) in (dict, list)
            for child in (parent.values() if type(parent) is dict else parent)
        ]
    return True


def type_name(value: Any) -> str:
    """The JSON word for a value's type, as errors name it (AF-5): ``null boolean number string array object``."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case dict():
            return "object"
        case _:
            return "array"


def number(value: float) -> str:
    """Return a finite double as ECMAScript's Number::toString prints it. ValueError otherwise."""
    text = repr(value)  # the shortest digits that read back the same, as ECMAScript demands
    if "e" not in text and "n" not in text:
        if text.endswith(".0"):
            return text[:-2] if text != "-0.0" else "0"
        if value > 1e-3 or value < -1e-3:
            return text
    if "n" in text:  # nan, inf
        raise ValueError("JSON has no such number")
    sign, digits, point = _digits(text)
    if 0 < point <= 21:
        whole = digits[:point].ljust(point, "0")
        return f"{sign}{whole}.{digits[point:]}" if digits[point:] else sign + whole
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{sign}{mantissa}e{point - 1:+d}"


def _digits(text: str) -> tuple[str, str, int]:
    """Split a float's repr: sign, significant digits, and where the point stands counted from the first digit."""
    sign = "-" if text[0] == "-" else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) - (len(whole + fraction) - len(digits)) + int(exponent or 0)
    return sign, digits.rstrip("0"), point


def _js_integer(value: int) -> str:
    if -_SAFE <= value <= _SAFE:
        return str(value)
    try:
        return number(float(value))
    except OverflowError:
        return "null"  # JSON.stringify(Infinity)


def _is_same_in_js(value: int) -> bool:
    text = _js_integer(value)
    return text != "null" and int(Decimal(text)) == value


def _append(value: Any, put: Callable[[bytes], None]) -> None:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        put(_write(value))
    elif kind is int:
        put(_js_integer(value).encode())
    elif kind is dict:
        opening = b"{"
        for key, child in _js_items(value):
            put(opening + _write(key) + b":")
            _append(child, put)
            opening = b","
        put(b"}" if value else b"{}")
    elif kind is list:
        opening = b"["
        for child in value:
            put(opening)
            _append(child, put)
            opening = b","
        put(b"]" if value else b"[]")
    elif kind is float or kind is Double:
        put(number(value).encode())
    elif kind is msgspec.Raw:
        put(bytes(value))
    else:
        raise TypeError(f"{kind.__name__} has no place in JSON")


def _js_items(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The items in JavaScript's order: array indices first, by number."""
    indices = [key for key in value if key[:1].isdigit() and _is_index(key)]
    if not indices:
        return value.items()
    indices.sort(key=int)
    first = [(key, value[key]) for key in indices]
    taken = set(indices)
    return first + [item for item in value.items() if item[0] not in taken]


def _is_index(key: str) -> bool:
    return (
        len(key) <= 10
        and key.isascii()
        and key.isdigit()
        and (key[0] != "0" or key == "0")
        and int(key) <= _MAX_INDEX
    )


def _js_float(text: str) -> msgspec.Raw:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return msgspec.Raw(number(value).encode())


def _double(text: str) -> Double:
    value = Double(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return value


class _InexactError(Exception):
    """A number that is not the double it would become."""


def _exact_float(text: str) -> msgspec.Raw:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _InexactError
    spelled = number(value)
    # Up to 15 digits always survive (IEEE 754) unless they are too small for a double's full width; only longer
    # spellings and tiny values need the comparison.
    is_tiny = -_SMALLEST_NORMAL < value < _SMALLEST_NORMAL
    if (is_tiny or len(text) > _DIGITS_OF_DOUBLE) and Decimal(text) != Decimal(spelled):
        raise _InexactError
    return msgspec.Raw(spelled.encode())


def _verbatim_float(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


# Floats are rewritten while they are parsed, so that the common text needs no second walk.
_number_decoder: Final = msgspec.json.Decoder(float_hook=_js_float)
_double_decoder: Final = msgspec.json.Decoder(float_hook=_double)
_exact_decoder: Final = msgspec.json.Decoder(float_hook=_exact_float)
_verbatim_decoder: Final = msgspec.json.Decoder(float_hook=_verbatim_float)
