"""Range (RFC 9110 section 14): which bytes of a result are sent (PR-13b)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.ranges import Part, UnsatisfiableError, byte_range, part_asked


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-9", range(10)),
        ("bytes=3-", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-40", range(10)),
        ("bytes=5-400", range(5, 10)),
        ("Bytes=1-2", range(1, 3)),
        ("bytes=4-3", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_one_range_of_bytes_is_served_and_the_rest_is_ignored(header: str, asked: range | None) -> None:
    assert byte_range(header, 10) == asked


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_that_begins_behind_the_end_cannot_be_had(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        byte_range(header, 10)


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 60)), st.integers(1, 50))
def test_what_is_served_lies_within_the_result(first: int, last: int | None, size: int) -> None:
    try:
        asked = byte_range(f"bytes={first}-{'' if last is None else last}", size)
    except UnsatisfiableError:
        assert first >= size
        return
    assert asked is None or (0 <= asked.start < asked.stop <= size)


TAG, DATE = b'"abc"', b"Thu, 15 Jan 2026 12:00:00 GMT"


def part(**asked: bytes) -> Part:
    headers = {name.replace("_", "-").encode(): value for name, value in asked.items()}
    return part_asked(headers, tag=TAG, date=DATE, size=10)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, Part(200, range(10))),
        ({"range": b"bytes=2-3"}, Part(206, range(2, 4), b"bytes 2-3/10")),
        ({"range": b"bytes=9-"}, Part(206, range(9, 10), b"bytes 9-9/10")),
        ({"range": b"bytes=10-"}, Part(416, range(0), b"bytes */10")),
        ({"range": b"bytes=0-1,3-4"}, Part(200, range(10))),
        ({"range": b"bytes=2-3", "if_range": TAG}, Part(206, range(2, 4), b"bytes 2-3/10")),
        ({"range": b"bytes=2-3", "if_range": DATE}, Part(206, range(2, 4), b"bytes 2-3/10")),
        ({"range": b"bytes=2-3", "if_range": b'"old"'}, Part(200, range(10))),
        ({"if_none_match": TAG}, Part(304)),
        ({"if_none_match": b"*"}, Part(304)),
        ({"if_none_match": b'"old" , W/"abc"', "range": b"bytes=2-3"}, Part(304)),
        ({"if_none_match": b'"old", *'}, Part(200, range(10))),
        ({"if_none_match": b'"old"', "range": b"bytes=2-3"}, Part(206, range(2, 4), b"bytes 2-3/10")),
    ],
)
def test_what_a_client_has_already_is_not_sent_again(asked: dict[str, bytes], sent: Part) -> None:
    """RFC 9110 sections 13.1.2, 13.1.5 and 14.2: the conditions come before the range."""
    assert part(**asked) == sent
