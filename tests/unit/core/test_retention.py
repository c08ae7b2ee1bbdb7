"""How long an organization's things are kept."""

from __future__ import annotations

import pytest

from hookline.core.retention import Kept, kept
from hookline.model.configuration import Retention

SERVER = Kept(days=30, payload_days=10, held_days=20)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, SERVER),
        (Retention(), SERVER),
        (Retention(days=7), Kept(days=7, payload_days=7, held_days=20)),
        (Retention(days=15), Kept(days=15, payload_days=10, held_days=20)),
        (Retention(payload_days=2), Kept(days=30, payload_days=2, held_days=20)),
        (Retention(held_days=1.5), Kept(days=30, payload_days=10, held_days=1.5)),
        (Retention(days=90, payload_days=90, held_days=90), SERVER),
        (Retention(days=3, payload_days=9), Kept(days=3, payload_days=3, held_days=20)),
    ],
)
def test_the_shorter_of_both_holds_and_payloads_never_outlive_the_rest(
    own: Retention | None, expected: Kept
) -> None:
    """An organization may shorten what the server allows, and lengthen nothing."""
    assert kept(SERVER, own) == expected
