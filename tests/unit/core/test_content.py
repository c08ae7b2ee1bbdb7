"""A result over HTTP: JSON as it is stored, or what the result itself says it is (PR-4, PR-X3)."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.core.content import Content, as_returned, content_of


@pytest.mark.parametrize(
    "output",
    [
        b'{"item":"Widgets","quantity":5}',
        b"[1, 2]",
        b'"text"',
        b"null",
        b"1e400",
        b'{"data":1}',
        b'{"data":"\xf0"}',
    ],
)
def test_a_result_is_its_json_text_byte_for_byte(output: bytes) -> None:
    assert content_of(output) == Content(output, "application/json")


def test_a_run_that_returned_nothing_is_null() -> None:
    assert content_of(None) == Content(b"null", "application/json")


def test_text_with_its_type_is_sent_as_that() -> None:
    output = '{"data":"a;b\\nZoë","content_type":"text/csv; charset=utf-8"}'.encode()

    assert content_of(output) == Content("a;b\nZoë".encode(), "text/csv; charset=utf-8")


def test_bytes_with_their_type_are_sent_as_that() -> None:
    output = b'{"content_type": "image/png", "data": {"$base64": "iVBORw=="}}'

    assert content_of(output) == Content(b"\x89PNG", "image/png")


def test_bytes_alone_are_octets() -> None:
    assert content_of(b'{"$base64": "iVBORw=="}') == Content(b"\x89PNG", "application/octet-stream")


@pytest.mark.parametrize(
    "output",
    [
        b'{"$base64":7}',
        b'{"$base64":"iVBORw==","more":1}',
        b'{"data":"a","content_type":"text/csv","more":1}',
        b'{"data":"a","content_type":"text/csv\\r\\nSet-Cookie: a=b"}',
        b'{"data":"a","content_type":"nonsense"}',
        b'{"data":"a","content_type":7}',
        b'{"data":[1],"content_type":"text/csv"}',
        b'{"data":{"$base64":"%%"},"content_type":"text/csv"}',
    ],
)
def test_an_object_that_only_looks_like_it_is_json(output: bytes) -> None:
    assert content_of(output) == Content(output, "application/json")


@pytest.mark.parametrize(
    ("output", "returned"),
    [
        ({"$base64": "iVBORw=="}, b"\x89PNG"),
        (
            {"data": {"$base64": "iVBORw=="}, "content_type": "image/png"},
            {"data": b"\x89PNG", "content_type": "image/png"},
        ),
        ({"data": {"a": 1}}, {"data": {"a": 1}}),
        ({"data": {"$base64": "%%"}}, {"data": {"$base64": "%%"}}),
        ([{"$base64": "iVBORw=="}], [{"$base64": "iVBORw=="}]),
        ("text", "text"),
        (None, None),
    ],
)
def test_a_caller_has_the_bytes_that_a_function_returned(output: Any, returned: Any) -> None:
    assert as_returned(output) == returned
