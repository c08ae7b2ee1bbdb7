"""``hookline executions logs``: what a line says."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.cli.executions import _told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"stream": "log", "text": "hello", "fields": {}}, "hello"),
        ({"stream": "log", "text": "charged", "fields": {"receipt": "r-17"}}, "charged  receipt=r-17"),
        (
            {"stream": "log", "text": "two", "fields": {"a": {"b": None}, "c": "1\n2\x1b"}},
            'two  a={"b": null}  c=1\\n2\N{REPLACEMENT CHARACTER}',
        ),
        ({"stream": "log", "text": "long", "fields": {"a": "x" * 61}}, f"long  a={'x' * 59}…"),
        ({"stream": "progress", "text": "", "fields": {"percent": 40, "label": "click"}}, "40 %, click"),
        ({"stream": "progress", "text": "", "fields": {"percent": 7.5, "frame": 12}}, "7.5 %, frame 12"),
        ({"stream": "progress", "text": "", "fields": {"label": "half way"}}, "half way"),
        ({"stream": "progress", "text": "x", "fields": None}, "x"),
    ],
)
def test_a_line_tells_its_fields_and_progress_in_words(entry: dict[str, Any], told: str) -> None:
    assert _told(entry) == told
