from __future__ import annotations

from itertools import pairwise

import pytest

from hookline.core.flow import RAMP_SECONDS, AdaptiveCap, Troubles, ramp_wait


def grown(limit: int = 32) -> AdaptiveCap:
    cap = AdaptiveCap(limit)
    for _ in range(10):
        cap.answered()
    return cap


def test_a_receiver_nobody_has_heard_of_starts_small() -> None:
    """DESIGN section 4: webhooks that hang from the first moment hold few sockets."""
    cap = AdaptiveCap()
    sizes = [cap.value]
    for _ in range(5):
        cap.answered()
        sizes.append(cap.value)

    assert sizes == [2, 4, 8, 16, 32, 32]
    assert AdaptiveCap(1).value == 1


def test_the_cap_shrinks_to_one_on_consecutive_time_outs_and_grows_back() -> None:
    """DESIGN section 4."""
    cap = grown()
    sizes = []
    for _ in range(8):
        cap.timed_out()
        sizes.append(cap.value)
    for _ in range(6):
        cap.answered()
        sizes.append(cap.value)

    assert sizes == [32, 16, 8, 4, 2, 1, 1, 1, 2, 4, 8, 16, 32, 32]


def test_a_single_time_out_shrinks_nothing() -> None:
    cap = grown(8)
    for _ in range(20):
        cap.timed_out()
        cap.answered()

    assert cap.value == 8


def test_a_webhook_is_proven_by_its_latest_answer() -> None:
    cap = AdaptiveCap()
    seen = [cap.is_proven]
    cap.answered()
    seen.append(cap.is_proven)
    cap.timed_out()
    seen.append(cap.is_proven)

    assert seen == [False, True, False]


def test_the_limit_may_change_at_any_time() -> None:
    cap = grown(32)
    cap.limit = 100
    assert cap.value == 100
    cap.limit = 4
    assert cap.value == 4
    cap.timed_out()
    cap.timed_out()
    cap.limit = 32
    assert (cap.value, cap.limit) == (2, 32)  # shrunk: it must earn the rest
    cap.limit = 1
    assert cap.value == 1

    unheard = AdaptiveCap(2)
    unheard.limit = 100
    assert unheard.value == 2
    with pytest.raises(ValueError, match="room"):
        cap.limit = 0
    with pytest.raises(ValueError, match="room"):
        AdaptiveCap(0)
    assert repr(cap) == "AdaptiveCap(1 of 1, 2 time-outs in a row)"


def test_who_comes_back_is_loaded_slowly_at_first_and_then_without_bound() -> None:
    """Issue 4, point 7: slow-start after recovery."""
    waits = [ramp_wait(age) for age in range(int(RAMP_SECONDS) + 1)]

    assert waits[0] == 0.05
    steps = [earlier / later for earlier, later in pairwise(waits[:-1])]
    assert steps == pytest.approx([2.0] * len(steps))
    assert waits[-1] == 0.0


@pytest.mark.parametrize(
    ("failures", "lasting", "came_back"),
    [(5, 10.0, True), (4, 60.0, False), (100, 9.0, False), (0, 60.0, False)],
)
def test_who_was_never_away_does_not_come_back(failures: int, lasting: float, came_back: bool) -> None:
    troubles = Troubles()
    for number in range(failures):
        troubles.failed(100.0 + number / 1000)

    assert troubles.succeeded(100.0 + lasting) is came_back
    assert troubles.succeeded(100.0 + lasting) is False


def test_troubles_show_how_many_there_were() -> None:
    troubles = Troubles()
    troubles.failed(1.0)
    troubles.failed(2.0)

    assert repr(troubles) == "Troubles(2)"


def test_troubles_are_forgotten_once_a_success_has_ended_them() -> None:
    troubles = Troubles()
    for number in range(5):
        troubles.failed(100.0 + number)
    assert troubles.succeeded(200.0)

    for number in range(4):
        troubles.failed(300.0 + number)

    assert not troubles.succeeded(400.0)


def test_the_first_time_outs_are_forgiven_and_an_answer_forgives_them_all() -> None:
    cap = AdaptiveCap(8)
    values = []
    for happened in (cap.answered, cap.timed_out, cap.timed_out, cap.answered, cap.timed_out, cap.timed_out):
        happened()
        values.append(cap.value)

    assert repr(AdaptiveCap(8)).endswith("0 time-outs in a row)")
    assert values[0] == values[1]
    assert values[2] < values[1]
    assert values[4] == values[3]
    assert values[5] < values[4]
