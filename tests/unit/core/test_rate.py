from __future__ import annotations

import pytest

from hookline.core.rate import Allowance, Gcra, SlidingWindow


def test_a_rate_lets_a_burst_pass_and_then_paces() -> None:
    rate = Gcra(10, burst=3)
    state, waits = 0.0, []
    for _ in range(4):
        state, wait = rate.ask(state, 1000.0)
        waits.append(wait)

    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[3] == pytest.approx(0.1)
    assert rate.ask(state, 1000.1)[1] == 0.0


def test_a_refusal_changes_nothing() -> None:
    rate = Gcra(1)
    state, _ = rate.ask(0.0, 5.0)

    assert rate.ask(state, 5.5)[0] == state
    assert rate.ask(state, 5.5)[1] == pytest.approx(0.5)
    assert rate.ask(state, 6.0)[1] == 0.0


def test_rest_earns_no_more_than_the_burst() -> None:
    rate = Gcra(100, burst=2)
    state, _ = rate.ask(0.0, 1.0)
    state, _ = rate.ask(state, 9999.0)
    state, _ = rate.ask(state, 9999.0)

    assert rate.ask(state, 9999.0)[1] > 0


def test_the_51st_request_within_a_second_is_refused() -> None:
    """PR-7: already received 50 requests in the last second."""
    window = SlidingWindow(50)

    assert all(window.ask(10 + number * 0.01) == 0.0 for number in range(50))
    assert window.ask(10.9) == pytest.approx(0.1)
    assert window.ask(10.999) > 0
    assert window.ask(11.0) == 0.0
    assert window.ask(11.0) > 0
    assert window.ask(11.01) == 0.0


def test_refused_requests_do_not_keep_a_window_closed() -> None:
    window = SlidingWindow(1, seconds=1)
    window.ask(0.0)

    assert all(window.ask(number / 100) > 0 for number in range(1, 100))
    assert window.ask(1.0) == 0.0


@pytest.mark.parametrize("make", [lambda: Gcra(0), lambda: Gcra(1, burst=0), lambda: SlidingWindow(0)])
def test_a_rate_of_nothing_is_our_bug(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="lets something pass"):
        make()


def test_an_allowance_is_saved_up_and_taken_whole() -> None:
    """P19: what is kept of refused requests is bounded, and the first of an incident are all kept."""
    allowance = Allowance(per_second=2, most=10)

    assert [allowance.take(4, 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.take(2, 0.0)
    assert not allowance.take(1, 0.4)
    assert allowance.take(1, 0.5)
    assert not allowance.take(11, 1_000.0)
    assert allowance.take(10, 1_000.0)
    assert not Allowance(per_second=1, most=0).take(1, 5.0)


@pytest.mark.parametrize(("per_second", "most"), [(0, 1), (-1, 1), (1, -1)])
def test_an_allowance_that_gives_nothing_is_a_mistake(per_second: float, most: float) -> None:
    with pytest.raises(ValueError, match="allowance"):
        Allowance(per_second, most)


def test_what_is_left_shows_itself() -> None:
    allowance, window = Allowance(per_second=1, most=10), SlidingWindow(5, 2.0)
    allowance.take(4, 0.0)
    window.ask(0.0)

    assert repr(allowance) == "Allowance(6 of 10)"
    assert repr(window) == "SlidingWindow(1 of 5 in 2.0 s)"


def test_an_allowance_grows_with_the_time_that_passed_and_with_no_other() -> None:
    allowance = Allowance(per_second=2, most=10)

    assert allowance.take(10, 1_000.0)
    assert not allowance.take(1, 1_000.4)
    assert allowance.take(1, 1_000.5)
    assert not allowance.take(1, 1_000.9)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_window_has_a_length(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0"):
        SlidingWindow(1, seconds)
