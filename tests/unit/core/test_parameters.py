from __future__ import annotations

import pytest

from hookline.core.parameters import add_parameter, drop_parameter


@pytest.mark.parametrize(
    ("url", "added"),
    [
        ("http://a/", "http://a/?s=%2f"),
        ("http://a", "http://a?s=%2f"),
        ("http://a/?", "http://a/?s=%2f"),
        ("http://a/?b=%41", "http://a/?b=%41&s=%2f"),
        ("http://a/?b&", "http://a/?b&s=%2f"),
        ("http://a/#c?d", "http://a/?s=%2f#c?d"),
    ],
)
def test_a_parameter_is_added_behind_all_others_and_nothing_else_changes(url: str, added: str) -> None:
    """PB-8."""
    assert add_parameter(url, "s=%2f") == added


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("http://a/?s=1", "http://a/"),
        ("http://a/?b=%2f&s=1&c=%41", "http://a/?b=%2f&c=%41"),
        ("http://a/?s=1&s=2&%73=3&x=s", "http://a/?x=s"),
        ("http://a/?s", "http://a/"),
        ("http://a/s=1", "http://a/s=1"),
        ("http://a/?ss=1&b=s#s=1", "http://a/?ss=1&b=s#s=1"),
    ],
)
def test_a_parameter_is_dropped_by_name_and_nothing_else_changes(url: str, left: str) -> None:
    assert drop_parameter(url, "s") == left
