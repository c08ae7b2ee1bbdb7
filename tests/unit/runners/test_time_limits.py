from __future__ import annotations

import pytest

from hookline.runners.time_limits import too_long


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (None, "The call took longer than its limit of 1.5 seconds."),
        ("agent", "The call took longer than its limit of 1.5 seconds."),
        ("org", "The organization's run time of this period is used up."),
        ("global", "The call took longer than 1.5 seconds, the limit of this server."),
    ],
)
def test_whose_limit_it_was_is_said_in_words_and_in_a_field(limit: str | None, told: str) -> None:
    """PB-7, CONTRACT section 4: `timed_out` says which, for every kind."""
    failure = too_long("The call", 1500, limit)

    assert (failure.code, failure.message, failure.limit) == ("TIMED_OUT", told, limit)
