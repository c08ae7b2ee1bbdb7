"""Conditions, filters, patterns, lifecycles and rates against plain models of what they say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.core.conditions import compile_conditions
from hookline.core.filters import compile_filter
from hookline.core.lifecycle import (
    DELIVERY_MOVES,
    EXECUTION_MOVES,
    after_attempt,
    move_delivery,
    move_execution,
)
from hookline.core.matching import compile_patterns
from hookline.core.rate import Gcra, SlidingWindow
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus

QUICK = settings(max_examples=250, deadline=None)
keys = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, 2.5])
    | st.sampled_from(["", "a", "ab"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=3)
paths = st.lists(keys, min_size=1, max_size=3).map(".".join)
operands = st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", "a", "ab"])


def look_up(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def is_equal(value: Any, operand: Any) -> bool:
    return isinstance(value, bool) == isinstance(operand, bool) and value == operand


def model(value: Any, name: str, operand: Any) -> bool:
    """The contract's words, one by one."""
    if name in ("ne", "nin"):
        return not model(value, "eq" if name == "ne" else "in", operand)
    if name == "in":
        return any(model(value, "eq", choice) for choice in operand)
    if name == "exists":
        return (value is not None) is operand
    if name == "eq":
        return isinstance(value, str | int | float) and is_equal(value, operand)
    return contains(value, operand) if name == "contains" else is_ordered(value, name, operand)


def contains(value: Any, operand: Any) -> bool:
    if isinstance(value, list):
        return any(is_equal(item, operand) for item in value if not isinstance(item, dict | list))
    return isinstance(value, str) and isinstance(operand, str) and operand in value


def is_ordered(value: Any, name: str, operand: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    are_texts = isinstance(value, str) and isinstance(operand, str)
    if not are_texts and not (is_number and not isinstance(operand, str)):
        return False
    return bool(
        {"lt": value < operand, "lte": value <= operand, "gt": value > operand, "gte": value >= operand}[name]
    )


@st.composite
def operators(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte", "in", "nin", "contains", "exists"]))
    if name in ("in", "nin"):
        return name, draw(st.lists(operands, max_size=4))
    if name == "exists":
        return name, draw(st.booleans())
    return name, draw(operands.filter(lambda operand: name[0] not in "lg" or not isinstance(operand, bool)))


@QUICK
@given(
    data=objects,
    spec=st.dictionaries(paths, st.lists(operators(), min_size=1, max_size=2).map(dict), max_size=3),
)
def test_conditions_hold_when_all_their_operators_do(
    data: dict[str, Any], spec: dict[str, dict[str, Any]]
) -> None:
    """AF-17."""
    expected = all(
        model(look_up(data, path), name, operand)
        for path, named in spec.items()
        for name, operand in named.items()
    )

    assert compile_conditions(spec)(data) is expected


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every scalar of the data with the keys that lead to it."""
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in leaves(child, (*path, key))]
    if isinstance(value, list):
        return [leaf for child in value for leaf in leaves(child, path)]
    return [(path, value)]


def is_under(path: tuple[str, ...], named: list[str]) -> bool:
    return any(path[: len(each.split("."))] == tuple(each.split(".")) for each in named)


@QUICK
@given(data=objects, include=st.lists(paths, max_size=3), exclude=st.lists(paths, max_size=3))
def test_a_filter_keeps_exactly_the_named_leaves_in_their_order(
    data: dict[str, Any], include: list[str], exclude: list[str]
) -> None:
    """AF-18."""
    before = json.dumps(data)
    trimmed = compile_filter(include, exclude)(data)

    assert leaves(trimmed) == [
        (path, value)
        for path, value in leaves(data)
        if (not include or is_under(path, include)) and not is_under(path, exclude)
    ]
    assert json.dumps(data) == before
    assert leaves(compile_filter(include, exclude)(trimmed)) == leaves(trimmed)


@QUICK
@given(
    patterns=st.lists(st.text("ab.*", min_size=1, max_size=6), max_size=3),
    event_type=st.text("ab.", max_size=10),
)
def test_patterns_match_as_their_regular_expression_would(patterns: list[str], event_type: str) -> None:
    """CONTRACT section 5: * is any run of characters."""
    expected = any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), event_type, re.DOTALL)
        for pattern in patterns
    )

    assert compile_patterns(patterns)(event_type) is expected


@QUICK
@given(moves=st.lists(st.sampled_from(list(ExecutionStatus)), max_size=12))
def test_an_execution_ends_once(moves: list[ExecutionStatus]) -> None:
    """CONTRACT section 4: an illegal move raises and changes nothing; a terminal state never changes."""
    status = ExecutionStatus.QUEUED
    ends = 0
    for to in moves:
        if to in EXECUTION_MOVES[status]:
            status = move_execution(status, to)
            ends += status.is_terminal
        else:
            with pytest.raises(ValueError, match="cannot go"):
                move_execution(status, to)

    assert ends == status.is_terminal


@QUICK
@given(
    outcome=st.sampled_from(sorted(set(AttemptOutcome) - {AttemptOutcome.DELIVERED})),
    status=st.none() | st.integers(0, 999),
    failures=st.integers(0, 9),
    retries=st.integers(0, 9),
)
def test_every_failed_attempt_leads_to_a_state_the_table_knows(
    outcome: AttemptOutcome, status: int | None, failures: int, retries: int
) -> None:
    """P8, P2: nothing is dropped; it waits, is held, or is visibly exhausted."""
    verdict = after_attempt(outcome, status, failures=failures, retries=retries)

    assert verdict.state in DELIVERY_MOVES[DeliveryState.IN_FLIGHT]
    assert verdict.state in (DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.EXHAUSTED)
    assert move_delivery(DeliveryState.IN_FLIGHT, verdict.state) is verdict.state
    assert (verdict.reason is None) is (verdict.state is DeliveryState.PENDING)
    if verdict.counts_as_failure and verdict.disable is None:
        is_hopeless = outcome is AttemptOutcome.TEMPLATE_FAILED  # the same words fail again
        assert (verdict.state is DeliveryState.EXHAUSTED) is (is_hopeless or failures >= retries)


@QUICK
@given(
    per_second=st.sampled_from([0.5, 1.0, 10.0, 50.0]),
    burst=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 0.4), max_size=80),
)
def test_a_rate_is_never_exceeded_and_always_met(per_second: float, burst: int, gaps: list[float]) -> None:
    rate, state, now = Gcra(per_second, burst), 0.0, 1000.0
    passed: list[float] = []
    for gap in gaps:
        now += gap
        state, wait = rate.ask(state, now)
        if wait == 0.0:
            passed.append(now)
        else:
            assert rate.ask(state, now + wait)[1] == 0.0

    for index, first in enumerate(passed):
        for count, later in enumerate(passed[index:], start=1):
            assert count <= burst + (later - first) * per_second + 1e-6


@QUICK
@given(limit=st.integers(1, 5), gaps=st.lists(st.floats(0, 0.5), max_size=60))
def test_no_window_of_a_second_holds_more_than_its_limit(limit: int, gaps: list[float]) -> None:
    """PR-7."""
    window, now = SlidingWindow(limit), 50.0
    passed: list[float] = []
    for gap in gaps:
        now += gap
        recent = [at for at in passed if at > now - 1.0]
        is_passed = window.ask(now) == 0.0
        assert is_passed is (len(recent) < limit)
        passed += [now] if is_passed else []
