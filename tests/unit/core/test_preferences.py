"""Prefer (RFC 7240): what is read, and that nothing a caller writes is a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.preferences import preferences, whole_seconds


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("wait=10", {"wait": "10"}),
        ("Wait = 10", {"wait": "10"}),
        ('wait="10"', {"wait": "10"}),
        ("respond-async, wait=5", {"respond-async": "", "wait": "5"}),
        ("respond-async,wait=5;foo=bar", {"respond-async": "", "wait": "5"}),
        ("wait=5, wait=9", {"wait": "5"}),
        ('foo; bar="a, b", wait=3', {"foo": "", "wait": "3"}),
        ("return=minimal", {"return": "minimal"}),
        ("", {}),
        ("=", {}),
        ("wait=10 wait=20", {}),
        ("x" * 2000, {}),
    ],
)
def test_preferences_are_read_as_the_rfc_says(header: str, found: dict[str, str]) -> None:
    """RFC 7240 section 2: names are case-insensitive, the first of a name counts, what is odd is ignored."""
    assert preferences(header) == found


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_header_is_a_failure(header: str) -> None:
    assert all(isinstance(value, str) for value in preferences(header).values())


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("", None), ("-1", None), ("1.5", None), ("٣", None)]
)
def test_seconds_are_whole_and_plain(text: str, seconds: int | None) -> None:
    assert whole_seconds(text) == seconds
