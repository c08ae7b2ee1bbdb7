"""Bodies by their Content-Type (SEEDS PR-10, PR-X1), and everything that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.core.bodies import MOST_FIELDS, MalformedJsonError, PartReader, read_body
from hookline.core.octets import unwrapped
from hookline.errors import InputError

BOUNDARY = "multipart/form-data; boundary=XX"
FORM = "application/x-www-form-urlencoded"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body. parts: header lines and data."""
    return (
        b"".join(b"--XX\r\n%b\r\n\r\n%b\r\n" % (head.encode(), data) for head, data in parts) + b"--XX--\r\n"
    )


PERSON = (
    'Content-Disposition: form-data; name="person"\r\nContent-Type: application/json',
    b'{"firstname":"Taylor","lastname":"Reece"}',
)
PHOTO = (
    'Content-Disposition: form-data; name="photo"; filename="../../etc/passwd"\r\nContent-Type: image/png',
    b"\x89P\r\n",
)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/ld+json",
    ],
)
def test_json_is_parsed_and_kept_to_the_letter(kind: str) -> None:
    """PR-X1; P4."""
    sent = b' {"a": 1.0, "b": 12345678901234567890123, "a": 2} '
    body = read_body(sent, kind)

    assert body.data == {"a": 2, "b": 12345678901234567890123}
    assert (body.text, body.input, body.is_raw) == (sent, sent, False)


@pytest.mark.parametrize(
    "sent",
    [
        b"{bad-data",
        b'{"a":NaN}',
        b"[Infinity]",
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
        b'{"a":"\x00"}',
        b"1e999",
        b"<?xml version='1.0'?><a/>",
        b" ",
    ],
)
def test_what_is_no_json_is_refused_as_such(sent: bytes) -> None:
    """PR-5."""
    with pytest.raises(MalformedJsonError):
        read_body(sent, "application/json")


def test_an_empty_body_is_nothing_whatever_it_is_called() -> None:
    for kind in (None, "", "application/json", "image/png"):
        body = read_body(b"", kind)
        assert (body.data, body.text, body.is_raw) == (None, b"null", False)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "image/png",
        "text/xml",
        "text/plain",
        "jsonx",
        "multipart/mixed; boundary=a",
        "+json",
        "\x00",
    ],
)
def test_any_other_type_is_its_bytes(kind: str | None) -> None:
    """PR-10, PR-X1."""
    body = read_body(b'{"a":1}', kind)

    assert (body.data, body.text, body.input, body.is_raw) == (None, None, None, True)


def test_a_form_has_its_fields_by_name_and_lists_of_repeated_ones() -> None:
    body = read_body(b"a=1&b=x+y%26&a=2&c=&d%20e=%C3%A9", FORM)

    assert body.data == {"a": ["1", "2"], "b": "x y&", "c": "", "d e": "é"}
    assert json.loads(body.text or b"") == body.data


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"a=%ff", "INVALID_UTF8"), (b"a=\xff", "INVALID_UTF8"), (b"a&" * 1001, "TOO_MANY_FIELDS")],
)
def test_a_form_that_cannot_be_read_is_refused(sent: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_body(sent, FORM)

    assert caught.value.code == code


def test_pr10_parts_are_json_or_bytes_and_a_files_name_is_data() -> None:
    """PR-10: `body.data.person.data.firstname`, the file at `body.data.photo`."""
    body = read_body(
        multipart(PERSON, PHOTO, ('Content-Disposition: form-data; name="note"', b"hello")), BOUNDARY
    )

    assert body.data["person"]["data"]["firstname"] == "Taylor"
    assert body.data["photo"] == {
        "data": b"\x89P\r\n",
        "content_type": "image/png",
        "filename": "../../etc/passwd",
    }
    assert body.data["note"] == {"data": b"hello", "content_type": None, "filename": None}
    assert unwrapped(json.loads(body.text or b"")) == body.data


def test_parts_of_one_name_are_a_list() -> None:
    body = read_body(multipart(PHOTO, PHOTO), BOUNDARY)

    assert [part["data"] for part in body.data["photo"]] == [b"\x89P\r\n"] * 2


def test_malformed_json_in_a_part_is_malformed_json() -> None:
    """PR-5."""
    with pytest.raises(MalformedJsonError):
        read_body(multipart((PERSON[0], b"{bad")), BOUNDARY)


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (multipart(PERSON), "multipart/form-data", "MALFORMED_MULTIPART"),
        (multipart(PERSON), "multipart/form-data; boundary=" + "x" * 71, "MALFORMED_MULTIPART"),
        (multipart(PERSON), "multipart/form-data; boundary=YY", "MALFORMED_MULTIPART"),
        (multipart(PERSON)[:-6], BOUNDARY, "MALFORMED_MULTIPART"),
        (b"", BOUNDARY, "MALFORMED_MULTIPART"),
        (b'{"a":1}', BOUNDARY, "MALFORMED_MULTIPART"),
        (b"--XX\r\n\r\nno disposition\r\n--XX--\r\n", BOUNDARY, "MALFORMED_MULTIPART"),
        (multipart(PERSON).replace(b"person", b"\xff"), BOUNDARY, "MALFORMED_MULTIPART"),
        (multipart(("Content-Disposition: attachment; name=a", b"")), BOUNDARY, "MALFORMED_MULTIPART"),
        (multipart(*[PHOTO] * (MOST_FIELDS + 1)), BOUNDARY, "TOO_MANY_PARTS"),
        (multipart((PERSON[0] + "".join(f"\r\nX-{n}: a" for n in range(20)), b"{}")), BOUNDARY, "TOO_MANY_PARTS"),
        (multipart((PERSON[0] + "\r\nX-A: " + "a" * 5_000, b"{}")), BOUNDARY, "TOO_MANY_PARTS"),
    ],
)  # fmt: skip
def test_a_multipart_form_that_cannot_be_read_is_refused(sent: bytes, kind: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_body(sent, kind)

    assert caught.value.code == code


@given(
    sent=st.binary(max_size=400) | st.sampled_from([multipart(PERSON, PHOTO), multipart()]),
    kind=st.sampled_from(["application/json", FORM, BOUNDARY, "image/png", None]) | st.text(max_size=80),
    cut=st.integers(0, 400),
)
@example(sent=b"--XX--", kind=BOUNDARY, cut=0)
def test_every_body_is_read_or_refused(sent: bytes, kind: str | None, cut: int) -> None:
    """Bad input: never anything but a Body or an InputError, and what is stored reads back as what was parsed."""
    try:
        body = read_body(sent[cut:] if cut < len(sent) else sent, kind)
    except InputError:
        return

    if not body.is_raw:
        assert unwrapped(json.loads(body.text or b"")) == body.data


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$base64", "$plain", "data", "a"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(value=_JSON)
@example(value={"$base64": "aGk="})
@example(value={"$plain": {"$base64": "!!"}})
@example(value=[{"$plain": {}}])
def test_nothing_in_a_json_body_passes_for_bytes(value: object) -> None:
    """Content-type confusion: a JSON body posing as an upload stays the JSON that it is."""
    for ascii_ in (True, False):
        sent = json.dumps(value, ensure_ascii=ascii_).replace("$", "\\u0024" if ascii_ else "$").encode()
        body = read_body(sent, "application/json")

        assert unwrapped(json.loads(body.text or b"")) == value == body.data


NAMED = 'Content-Disposition: form-data; name="%s"'


def parts_of(kind: str | None, *chunks: bytes) -> list[bytes | None]:
    """What a reader tells of a form that comes in so many pieces: bytes, and None where a part ends."""
    reader = PartReader.of(kind)
    assert reader is not None
    told = [event for chunk in chunks for event in reader.feed(chunk)]
    reader.close()
    return [event if isinstance(event, bytes) else None for event in told]


@pytest.mark.parametrize("kind", [None, "", "text/plain", "multipart/mixed; boundary=a"])
def test_only_a_multipart_form_is_read_in_parts(kind: str | None) -> None:
    assert PartReader.of(kind) is None


def test_a_form_may_come_in_any_pieces() -> None:
    form = multipart((NAMED % "a", b"one"), (NAMED % "b", b""))

    whole = parts_of(BOUNDARY, form)

    assert (b"".join(filter(None, whole)), whole.count(None)) == (b"one", 2)
    for size in (1, 7):
        chunks = [form[place : place + size] for place in range(0, len(form), size)]
        found = parts_of(BOUNDARY, *chunks)
        assert (b"".join(filter(None, found)), found.count(None)) == (b"one", 2)


@pytest.mark.parametrize("behind", [[b"\r\n"], [b"\r", b"\n"], [b"\r\nnobody reads", b" this"]])
def test_what_follows_the_last_boundary_counts_for_nothing_however_it_comes(behind: list[bytes]) -> None:
    """RFC 2046 section 5.1.1; a line end in a packet of its own once made a good form malformed."""
    form = multipart((NAMED % "a", b"one")).rstrip(b"\r\n")

    apart = parts_of(BOUNDARY, form, *behind)

    assert apart == parts_of(BOUNDARY, form + b"".join(behind)) == [b"one", None]


def test_a_form_that_breaks_off_or_goes_wrong_in_a_later_piece_is_refused() -> None:
    form = multipart((NAMED % "a", b"one"))

    for chunks in ([form[:-6]], [form[:10], b"\nno header"], [form[:-8], b"?"]):
        with pytest.raises(InputError) as caught:
            parts_of(BOUNDARY, *chunks)
        assert caught.value.code == "MALFORMED_MULTIPART"


def test_a_boundary_has_1_to_70_characters() -> None:
    """RFC 2046 section 5.1.1."""
    for size in (1, 70):
        body = multipart((NAMED % "a", b"one")).replace(b"XX", b"b" * size)
        data = read_body(body, "multipart/form-data; boundary=" + "b" * size).data
        assert data["a"]["data"] == b"one"
