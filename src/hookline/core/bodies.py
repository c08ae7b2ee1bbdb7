"""Read a request's body as its Content-Type says: JSON, a form, a multipart form, else the bytes (SEEDS PR-X1, PR-10).

Pure and total: whatever a caller sends is a ``Body`` or an InputError, within bounds on parts, headers and depth.
What was sent is data only: a file's name is never a path. A repeated name of a form has a list of its values.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec
from multipart import MultipartError, ParserLimitReached, PushMultipartParser, parse_options_header

from hookline.core.canonical import decode
from hookline.core.octets import Kept, must_be_wrapped, wrapped
from hookline.errors import InputError

MOST_FIELDS: Final = 1_000
"""Fields of a form, parts of a multipart form."""

_MOST_PART_HEADERS: Final = 8
_MOST_PART_HEADER_BYTES: Final = 4_096
_MOST_BOUNDARY_CHARACTERS: Final = 70
"""RFC 2046 section 5.1.1."""

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
if TYPE_CHECKING:
    from collections.abc import Iterator

_write: Final = msgspec.json.Encoder().encode


class MalformedJsonError(InputError):
    """The body says that it is JSON and is not (PR-5)."""

    code = "INVALID_JSON"


class Body(msgspec.Struct, frozen=True):
    """A body as code sees it.

    data: the JSON value; a form's fields; a multipart form's parts, each an object with ``data`` (JSON value or
    bytes), ``content_type`` and ``filename``; None for an empty body, and when ``is_raw``.
    text: ``data`` as JSON text in which bytes are written as ``core.octets`` says; None when ``is_raw``.
    is_raw: nothing is parsed: the data are the bytes.  input: the data as JSON text for people, for JSON the text that
    came; None where bytes are among them.
    """

    data: Any
    text: bytes | None
    is_raw: bool = False
    input: bytes | None = None


_NOTHING: Final = Body(None, b"null")
_RAW: Final = Body(None, None, is_raw=True)


def read_body(body: bytes, content_type: str | None) -> Body:
    """Return the body as its type says. Raises MalformedJsonError, or InputError for a form that cannot be read."""
    declared = content_type or ""
    kind = declared.partition(";")[0].strip().lower()
    if is_json(kind):
        return _json(body) if body else _NOTHING
    if kind == _FORM:
        return _form(body)
    if kind == _MULTIPART:
        return _multipart(body, declared)
    return _RAW if body else _NOTHING


def is_json(kind: str) -> bool:
    """Say whether a media type, without parameters and in lower case, is JSON's."""
    return kind == "application/json" or (kind.endswith("+json") and "/" in kind)


def _json(body: bytes) -> Body:
    value = _decoded(body)
    return Body(value, carried(body, value), input=body)


def _decoded(text: bytes) -> Any:
    try:
        return decode(text)
    except InputError as exc:
        raise MalformedJsonError(exc.message, code=exc.code, field=exc.field, expected=exc.expected) from exc


def carried(text: bytes, value: Any) -> bytes:
    """Return JSON text in which nothing passes for bytes (``core.octets``): nearly always the text itself.

    value: what the text decodes to.
    """
    # Names may be spelt with escapes; only what might hold one of ours is walked.
    if (b"$" in text or b"\\u" in text) and must_be_wrapped(value):
        return json.dumps(wrapped(value), ensure_ascii=False, separators=(",", ":")).encode()
    return text


def _form(body: bytes) -> Body:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except UnicodeDecodeError as exc:
        raise InputError(
            "The form is not valid UTF-8.", code="INVALID_UTF8", field="body", expected="UTF-8"
        ) from exc
    except ValueError as exc:
        raise InputError(
            f"The form has more than {MOST_FIELDS} fields.",
            code="TOO_MANY_FIELDS",
            field="body",
            expected=f"at most {MOST_FIELDS} fields",
        ) from exc
    fields = gathered(pairs)
    return Body(fields, _write(wrapped(fields)), input=_write(fields))


def _multipart(body: bytes, declared: str) -> Body:
    reader = PartReader(_boundary(declared), content_length=len(body))
    parts = gathered(_whole_parts(reader, body))
    # Not msgspec: integers have no bounds here.
    return Body(parts, json.dumps(wrapped(parts), ensure_ascii=False, separators=(",", ":")).encode())


def _boundary(declared: str) -> str:
    # mypy: the library has types, this function has none.
    boundary = str(parse_options_header(declared)[1].get("boundary", ""))  # type: ignore[no-untyped-call]
    if not 0 < len(boundary) <= _MOST_BOUNDARY_CHARACTERS or not boundary.isascii():
        raise _malformed("its Content-Type names no boundary")
    return boundary


class PartReader:
    """Tells the parts of a form apart while it comes in. Every call raises InputError for what is malformed.

    An event is some bytes of the present part, or the parser's segment when that part has ended.
    content_length: of the whole form, None when it is not known.
    """

    def __init__(self, boundary: str, content_length: int | None = None) -> None:
        self._parser = PushMultipartParser(
            boundary,
            content_length=-1 if content_length is None else content_length,
            max_header_size=_MOST_PART_HEADER_BYTES,
            max_header_count=_MOST_PART_HEADERS,
            max_segment_count=MOST_FIELDS,
            strict=True,
        )
        self._segment: Any = None
        self._has_ended = False

    @classmethod
    def of(cls, content_type: str | None) -> PartReader | None:
        """One for this Content-Type, None when it is no multipart form's."""
        declared = content_type or ""
        if declared.partition(";")[0].strip().lower() != _MULTIPART:
            return None
        return cls(_boundary(declared))

    def feed(self, chunk: bytes) -> list[bytes | Any]:
        if self._has_ended:
            return []
        try:
            return list(self._events(chunk))
        except ParserLimitReached as exc:
            raise InputError(
                "The multipart form has too many parts, or too many or too long headers.",
                code="TOO_MANY_PARTS",
                field="body",
                expected=f"at most {MOST_FIELDS} parts",
            ) from exc
        except (MultipartError, UnicodeDecodeError, LookupError) as exc:
            # What follows the last boundary counts for nothing (RFC 2046 section 5.1.1): nearly always a line end,
            # which may come by itself. The parser tells only when it is closed whether it has seen that boundary.
            self._has_ended = self._is_whole()
            if self._has_ended:
                return []
            raise _malformed("its parts cannot be told apart") from exc

    def close(self) -> None:
        """Raise InputError when the form has not ended."""
        if not self._is_whole():
            raise _malformed("it breaks off")

    def _is_whole(self) -> bool:
        try:
            self._parser.close()  # type: ignore[no-untyped-call]  # the library has types, this method has none
        except MultipartError:
            return False
        return True

    def _events(self, chunk: bytes) -> Iterator[bytes | Any]:
        for event in self._parser.parse(chunk):
            if event is None:
                yield self._segment
            elif isinstance(event, bytes | bytearray):
                yield bytes(event)
            else:
                self._segment = event


def _whole_parts(reader: PartReader, body: bytes) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    chunks: list[bytes] = []
    for event in reader.feed(body):
        if isinstance(event, bytes):
            chunks.append(event)
        else:
            found.append((event.name or "", part_of(event, b"".join(chunks))))
            chunks = []
    reader.close()
    return found


def part_of(segment: Any, data: bytes | Kept) -> dict[str, Any]:
    """Return a part as code sees it. segment: the parser's.  data: a reference when they are many."""
    declared = segment.header("Content-Type")
    kind = (declared or "").partition(";")[0].strip().lower()
    value: Any = _decoded(data) if is_json(kind) and data and isinstance(data, bytes) else data
    return {"data": value, "content_type": declared, "filename": segment.filename}


def _malformed(why: str) -> InputError:
    return InputError(
        f"The multipart form is malformed: {why}.",
        code="MALFORMED_MULTIPART",
        field="body",
        expected="multipart/form-data as RFC 7578 has it",
    )


def gathered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the values by name; a name that is there more than once has a list."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
