"""Hypothesis strategies for JSON: values that a publisher may send, and numbers in every spelling."""

from __future__ import annotations

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = (
    texts
    | st.integers(0, 2**33).map(str)
    | st.sampled_from(["0", "01", "1", "4294967294", "4294967295", "a1", "-1"])
)
integers = st.integers(-(2**53), 2**53) | st.integers(-(2**70), 2**70) | st.integers(-(10**320), 10**320)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=6)
)
numerals = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
spaced = st.sampled_from([None, 1, "\t"])
