"""Read a scheme that a user wrote, and refuse one that would verify less than it seems to.

An own scheme has the fields of a preset (SEEDS, "Provider presets"):

- ``header``: the header that holds the signature; with several names any of them will do.
- ``signature``: instead of ``header``, for senders that repeat a secret there: ``query:NAME`` or ``body:PATH``.
- ``algorithm``: ``sha1``, ``sha256`` (default), ``sha512`` (HMAC), ``ed25519``, or ``equality`` (a shared secret).
- ``encoding``: ``hex`` (default, lower case) or ``base64``.
- ``prefix``: what stands before the encoded signature, such as ``sha256=``.
- ``item_separator``: splits the value into items, such as ``,``; spaces around an item do not count.
- ``field_separator``, ``field``: an item is a name, this separator, a value; signatures have this name.
- ``template``: the signed text: ``{body}`` (default), ``{timestamp}``, ``{id}``, ``{url}``, ``{form}``, plain text.
- ``id``: where ``{id}`` is read: ``header:NAME``.
- ``timestamp``: the signed time: ``header:NAME``, ``field:NAME`` (an item beside the signature) or ``body:PATH``.
- ``timestamp_unit``: ``s`` (default), ``ms`` or ``iso8601``.
- ``tolerance_seconds``: how old or how far ahead that time may be; without it the time is not judged.
- ``secret_transform``: how a key is read: ``utf8`` (default), ``whsec`` (decoded after that prefix, else UTF-8),
  ``whsec_base64`` (the prefix may be missing), ``base64`` or ``hex``.
- ``dedupe_id``: the sender's own id of a request: ``header:NAME`` or ``body:PATH``; ``+`` joins several names; a list
  is tried in order.
- ``handshake``: how this sender asks whether the URL is yours: ``slack``, ``meta``, ``zoom``, ``discord``,
  ``msgraph`` or ``challenge``.

A PATH goes through a JSON body by names and list indexes joined with dots; ``[]`` after a name means each element.
For a form body it is the name of a parameter. ``{form}`` is Twilio's: the parameters sorted by name, each name
followed by its value; for other bodies nothing, and the URL must then carry ``bodySHA256``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.core.inbound.scheme import Scheme, Source, template_parts
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ALGORITHMS: Final = ("sha1", "sha256", "sha512", "ed25519", "equality")
_ENCODINGS: Final = ("hex", "base64")
_UNITS: Final = ("s", "ms", "iso8601")
_TRANSFORMS: Final = ("utf8", "whsec", "whsec_base64", "whpk", "base64", "hex")
_HANDSHAKES: Final = ("slack", "meta", "zoom", "discord", "msgraph", "challenge")

# RFC 9110 section 5.6.2.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_NAME: Final = r"[^.\[\]+\s]{1,128}(?:\[\])?"
_PATH: Final = re.compile(rf"{_NAME}(?:\.{_NAME}){{0,15}}")
_PLACEHOLDERS: Final = frozenset({"body", "form", "id", "timestamp", "url"})
_MOST_CHARACTERS: Final = 200
# A day: a longer memory for captured requests is no check at all.
_MOST_TOLERANCE_SECONDS: Final = 86_400
_MOST_SOURCES: Final = 8


def own_scheme(definition: Mapping[str, Any], *, name: str = "own", field: str = "auth") -> Scheme:
    """Make a scheme of a definition with the fields above.

    field: where the definition stands in the caller's input.  Raises InputError with field, expected and received
    for an unknown field, a wrong value, or fields that would leave the body or the time unsigned.
    """
    values: dict[str, Any] = {}
    for key, value in definition.items():
        read = FIELDS.get(key)
        if read is None:
            raise InputError(
                f"A signature scheme has no field '{key[:64]}'.",
                field=f"{field}.{key[:64]}",
                expected=" ".join(FIELDS),
                received=type_name(value),
            )
        values[key] = read(value, f"{field}.{key}")
    header = values.pop("header", None)
    if (header is None) == ("signature" not in values):
        raise InputError(
            "A signature scheme says where the signature stands, once.",
            field=f"{field}.header",
            expected="header, or signature with query:NAME or body:PATH",
            received="null" if header is None else "both",
        )
    if header is not None:
        values["signature"] = header
    if values.get("algorithm") == "ed25519":
        values.setdefault("secret_transform", "hex")
    scheme = Scheme(name=name, **values)
    for place, is_wrong, message, expected in _RULES:
        if is_wrong(scheme):
            raise InputError(
                message,
                field=f"{field}.{place}",
                expected=expected,
                received=_received(definition.get(place)),
            )
    return scheme


def _wrong(field: str, expected: str, value: object) -> InputError:
    return InputError(
        f"The field {field.rpartition('.')[2]} of a signature scheme is not valid.",
        field=field,
        expected=expected,
        received=_received(value),
    )


def _received(value: object) -> str:
    """A scheme's words are no secrets: they are shown as they came."""
    return value[:64] if isinstance(value, str) else type_name(value)


def _one_of(words: tuple[str, ...]) -> Callable[[object, str], str]:
    def read(value: object, field: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise _wrong(field, " ".join(words), value)
        return value

    return read


def _text(least: int) -> Callable[[object, str], str]:
    def read(value: object, field: str) -> str:
        if not (
            isinstance(value, str)
            and least <= len(value) <= _MOST_CHARACTERS
            and value.isascii()
            and value.isprintable()
        ):
            raise _wrong(field, f"{least} to {_MOST_CHARACTERS} printable ASCII characters", value)
        return value

    return read


def _template(value: object, field: str) -> str:
    text = _text(1)(value, field)
    unknown = {part for part, is_literal in template_parts(text) if not is_literal} - _PLACEHOLDERS
    if unknown or any(
        brace in part for part, is_literal in template_parts(text) for brace in "{}" if is_literal
    ):
        raise _wrong(field, "plain text with {body} {form} {id} {timestamp} {url}", value)
    return text


def _tolerance(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_TOLERANCE_SECONDS:
        raise _wrong(field, f"1 to {_MOST_TOLERANCE_SECONDS} seconds", value)
    return value


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, (list, tuple)) else [value]


def _headers(value: object, field: str) -> tuple[Source, ...]:
    names = list(_listed(value))
    if not 1 <= len(names) <= _MOST_SOURCES:
        raise _wrong(field, f"1 to {_MOST_SOURCES} header names", value)
    if not all(isinstance(name, str) and _TOKEN.fullmatch(name) for name in names):
        raise _wrong(field, "a header name", value)
    return tuple(Source("header", (str(name).lower(),)) for name in names)


def _source(places: tuple[str, ...]) -> Callable[[object, str], Source]:
    expected = " or ".join(f"{place}:{'PATH' if place == 'body' else 'NAME'}" for place in places)

    def read(value: object, field: str) -> Source:
        place, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
        names = tuple(rest.split("+")) if place != "query" else (rest,)
        shape = _PATH if place == "body" else _TOKEN
        if not colon or place not in places or not all(shape.fullmatch(name) for name in names):
            raise _wrong(field, expected, value)
        return Source(place, tuple(name.lower() for name in names) if place == "header" else names)

    return read


def _single(places: tuple[str, ...]) -> Callable[[object, str], Source]:
    read_any = _source(places)

    def read(value: object, field: str) -> Source:
        source = read_any(value, field)
        if len(source.names) != 1:
            raise _wrong(field, "one place", value)
        return source

    return read


def _sources(value: object, field: str) -> tuple[Source, ...]:
    listed = list(_listed(value))
    if len(listed) > _MOST_SOURCES:
        raise _wrong(field, f"at most {_MOST_SOURCES} places", value)
    return tuple(_source(("header", "body"))(each, field) for each in listed)


FIELDS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "header": _headers,
    "signature": lambda value, field: (_single(("header", "query", "body"))(value, field),),
    "algorithm": _one_of(_ALGORITHMS),
    "encoding": _one_of(_ENCODINGS),
    "prefix": _text(1),
    "item_separator": _text(1),
    "field_separator": _text(1),
    "field": _text(1),
    "template": _template,
    "id": _single(("header",)),
    "timestamp": _single(("header", "field", "body")),
    "timestamp_unit": _one_of(_UNITS),
    "tolerance_seconds": _tolerance,
    "secret_transform": _one_of(_TRANSFORMS),
    "dedupe_id": _sources,
    "handshake": _one_of(_HANDSHAKES),
}
"""How each field is read: from the caller's value and its place to ours, or InputError."""


def _is_signed(scheme: Scheme) -> bool:
    return scheme.algorithm != "equality"


def _time_place(scheme: Scheme) -> str | None:
    return scheme.timestamp.place if scheme.timestamp is not None else None


_RULES: Final[tuple[tuple[str, Callable[[Scheme], bool], str, str], ...]] = (
    (
        "algorithm",
        lambda it: (
            not _is_signed(it) and (it.template != "{body}" or bool(it.timestamp or it.id or it.field))
        ),
        "A shared secret signs nothing: it has no template, id, time or field.",
        "no such fields",
    ),
    (
        "signature",
        lambda it: _is_signed(it) and it.signature[0].place == "body",
        "A body cannot hold its own signature.",
        "header:NAME or query:NAME",
    ),
    (
        "signature",
        lambda it: it.signature[0].place == "query" and "url" in it.placeholders,
        "A URL cannot hold its own signature.",
        "header:NAME, or a template without {url}",
    ),
    (
        "template",
        lambda it: not it.placeholders & {"body", "form"},
        "The template leaves the body unsigned.",
        "{body} or {form}",
    ),
    (
        "template",
        lambda it: "form" in it.placeholders and "url" not in it.placeholders,
        "{form} needs the URL, which carries the hash of other bodies.",
        "{url}{form}",
    ),
    (
        "field",
        lambda it: (it.field is None) != (it.field_separator is None),
        "field and field_separator come together.",
        "both or neither",
    ),
    (
        "id",
        lambda it: ("id" in it.placeholders) != (it.id is not None),
        "id and {id} in the template come together.",
        "both or neither",
    ),
    (
        "timestamp",
        lambda it: ("timestamp" in it.placeholders) != (_time_place(it) in {"header", "field"}),
        "A time proves something only if the template signs it.",
        "{timestamp} in the template, or body:PATH",
    ),
    (
        "timestamp",
        lambda it: _time_place(it) == "body" and "body" not in it.placeholders,
        "A time in the body needs {body} in the template.",
        "{body} in the template",
    ),
    (
        "timestamp",
        lambda it: _time_place(it) == "field" and it.field is None,
        "field:NAME needs field and field_separator.",
        "both",
    ),
    (
        "tolerance_seconds",
        lambda it: it.tolerance_seconds is not None and it.timestamp is None,
        "Without a signed time there is nothing to tolerate.",
        "timestamp",
    ),
    (
        "secret_transform",
        lambda it: it.algorithm == "ed25519" and it.secret_transform not in {"hex", "base64", "whpk"},
        "A public key is written in hex or base64.",
        "hex base64 whpk",
    ),
)
"""Field, what is wrong with a scheme, the message and what was expected; the first that applies is raised."""
