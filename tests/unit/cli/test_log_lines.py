"""``hookline executions logs``: what a line says."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.cli.executions import _told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"stream": "log", "text": "hello", "fields": {"a": 1}}, "hello"),
        ({"stream": "progress", "text": "", "fields": {"percent": 40, "label": "click"}}, "40 %, click"),
        ({"stream": "progress", "text": "", "fields": {"percent": 7.5, "frame": 12}}, "7.5 %, frame 12"),
        ({"stream": "progress", "text": "", "fields": {"label": "half way"}}, "half way"),
        ({"stream": "progress", "text": "x", "fields": None}, "x"),
    ],
)
def test_progress_is_told_in_words(entry: dict[str, Any], told: str) -> None:
    assert _told(entry) == told
