"""Bytes travel through JSON, and nothing that a caller sent can pass for bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.octets import Kept, blob_ids, located, must_be_wrapped, unwrapped, wrapped

NAMES = st.sampled_from(["$base64", "$blob", "$plain", "a"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3))
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2))
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.binary(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2)),
)


@given(VALUES)
def test_what_is_wrapped_comes_out_as_it_was(value: Any) -> None:
    through_json = msgspec.json.decode(msgspec.json.encode(wrapped(value)))

    assert unwrapped(through_json) == value


@given(JSON)
def test_what_a_caller_sent_never_becomes_bytes_nor_a_reference(value: Any) -> None:
    assert unwrapped(wrapped(value)) == value
    assert blob_ids(wrapped(value)) == set()
    assert must_be_wrapped(value) is (wrapped(value) != value)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (b"\x89PNG", {"$base64": "iVBORw=="}),
        (bytearray(b"\x89PNG"), {"$base64": "iVBORw=="}),
        (Kept("blob_1", 7), {"$blob": "blob_1"}),
        ({"$base64": "YQ=="}, {"$plain": {"$base64": "YQ=="}}),
        ({"$blob": "blob_1"}, {"$plain": {"$blob": "blob_1"}}),
        ({"$plain": {}}, {"$plain": {"$plain": {}}}),
        ({"$blob": "blob_1", "a": 1}, {"$blob": "blob_1", "a": 1}),
        (("a", b"a"), ["a", {"$base64": "YQ=="}]),
    ],
)
def test_each_has_its_form(value: Any, form: Any) -> None:
    assert wrapped(value) == form


def test_a_reference_comes_out_as_its_text_and_other_objects_as_they_are() -> None:
    assert unwrapped([{"$blob": "blob_1"}]) == ["blob_1"]
    for plain in ({"$base64": 7}, {"$blob": 7}, {"$plain": 7}, {"$base64": "YQ==", "a": 1}):
        assert unwrapped(plain) == plain


def test_what_was_never_wrapped_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        unwrapped({"$base64": "%%"})


WRAPPED = {
    "file": {"data": {"$blob": "blob_1"}},
    "more": [{"$blob": "blob_2"}, {"$base64": "YQ=="}, 7],
    "sent": {"$plain": {"$blob": {"$blob": "blob_3"}}},
    "odd": {"$blob": 7},
    "none": {"$plain": 7},
}


def test_every_reference_is_found() -> None:
    assert blob_ids(WRAPPED) == {"blob_1", "blob_2", "blob_3"}


def test_references_become_paths_and_the_rest_stays() -> None:
    paths = {f"blob_{number}": f"/run/{number}" for number in (1, 2, 3)}

    assert located(WRAPPED, paths) == {
        "file": {"data": {"$blob": "/run/1"}},
        "more": [{"$blob": "/run/2"}, {"$base64": "YQ=="}, 7],
        "sent": {"$plain": {"$blob": {"$blob": "/run/3"}}},
        "odd": {"$blob": 7},
        "none": {"$plain": 7},
    }


@pytest.mark.parametrize(
    ("value", "must"),
    [
        ({"$blob": 1}, True),
        ([{"a": {"$plain": 1}}], True),
        ({"$blob": 1, "a": 2}, False),
        ({"$other": 1}, False),
        ("$blob", False),
        ([], False),
    ],
)
def test_only_objects_of_our_form_need_wrapping(value: Any, must: bool) -> None:
    assert must_be_wrapped(value) is must
