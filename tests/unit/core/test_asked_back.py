from __future__ import annotations

import pytest

from hookline.core.asked_back import without_callback


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b'{"width": 1.0, "callback_url": "http://a", "scenes": [1e2]}', b'{"width":1.0,"scenes":[1e2]}'),
        (b'{"width": 1.0}', b'{"width": 1.0}'),
        (b'{"note": "callback_url"}', b'{"note": "callback_url"}'),
        (b'{"\\u0063allback_url":null}', b"{}"),
        (b'["callback_url"]', b'["callback_url"]'),
        (b'{"callback_url"', b'{"callback_url"'),
        (b'{"\xff":1,"callback_url":1}', b'{"\xff":1,"callback_url":1}'),
    ],
)
def test_only_the_callers_address_is_taken_out_of_an_object(text: bytes, left: bytes) -> None:
    """CONTRACT section 3: `callback_url` says where the end is told; values keep their spelling."""
    assert without_callback(text) == left
