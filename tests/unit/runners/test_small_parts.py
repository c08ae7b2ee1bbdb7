"""Deadlines, output lines, the environment, values: parts that need no process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import SettingError
from hookline.runners import values
from hookline.runners.deadlines import Deadlines
from hookline.runners.environment import clean_environment
from hookline.runners.output import MAX_LINE, OutputLines


class ManualLoop:
    """A loop whose time the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any) -> Any:
        timer = (when, callback)
        self.timers.append(timer)

        class Handle:
            def cancel(handle) -> None:  # noqa: N805
                if timer in self.timers:
                    self.timers.remove(timer)

        return Handle()

    def move_to(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer[0] <= now]:
            timer = min(due, key=lambda each: each[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = now


class Item:
    def __init__(self, log: list[tuple[str, float]], name: str, loop: ManualLoop) -> None:
        self.log, self.name, self.loop = log, name, loop

    def due(self) -> None:
        self.log.append((self.name, self.loop.now))


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 5000), max_size=12), st.data())
def test_deadlines_come_late_by_the_rounding_never_early_and_never_twice(
    wanted: dict[str, float], data: st.DataObject
) -> None:
    loop = ManualLoop()
    log: list[tuple[str, float]] = []
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    items = {name: Item(log, name, loop) for name in wanted}
    for name, seconds in wanted.items():
        deadlines.set(items[name], 1.0)  # replaced at once
        deadlines.set(items[name], seconds)
    dropped = data.draw(st.sets(st.sampled_from(sorted(wanted)))) if wanted else set()
    for name in dropped:
        deadlines.discard(items[name])
    loop.move_to(10_000.0)

    assert sorted(name for name, _ in log) == sorted(wanted.keys() - dropped)
    for name, at in log:
        assert -1e-9 <= at - 1000.0 - wanted[name] <= (1.06 if wanted[name] >= 60 else 0.06)
    assert len(deadlines) == 0
    assert not loop.timers


def test_an_item_may_set_another_deadline_when_it_is_due() -> None:
    loop = ManualLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    times: list[float] = []

    class Again:
        def due(self) -> None:
            times.append(loop.now)
            if len(times) < 3:
                deadlines.set(self, 1.0)

    deadlines.set(Again(), 1.0)
    loop.move_to(2000.0)

    assert times == [pytest.approx(1001.0), pytest.approx(1002.0, abs=0.1), pytest.approx(1003.0, abs=0.2)]


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_output_comes_back_as_its_lines(pieces: list[bytes]) -> None:
    lines = OutputLines()
    drafts = [draft for piece in pieces for draft in lines.feed("stdout", piece)] + lines.close()
    told = b"".join(pieces)
    expected = told.split(b"\n")
    if not expected[-1]:
        expected.pop()

    assert [draft.text for draft in drafts] == [
        line.removesuffix(b"\r").decode("utf-8", "replace") for line in expected
    ]


def test_output_beyond_the_limit_is_dropped_with_one_line() -> None:
    lines = OutputLines(limit=10)
    drafts = lines.feed("stdout", b"123\n456789abc") + lines.feed("stderr", b"more\n") + lines.close()

    assert [draft.text for draft in drafts] == ["123", "456789", "too much was printed: the rest is dropped"]
    assert lines.is_full


def test_a_line_without_end_is_cut() -> None:
    lines = OutputLines()
    drafts = [draft for _ in range(40) for draft in lines.feed("stdout", b"x" * 1000)]

    assert [len(draft.text) for draft in drafts] == [MAX_LINE, MAX_LINE]


def test_only_named_variables_pass() -> None:
    environment = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOOKLINE_SECRET_KEY": "s",
        "HOOKLINE_APP_X": "x",
        "AWS_A": "1",
        "DATABASE_URL": "d",
        "OTHER": "o",
    }

    assert clean_environment(environment).keys() == {"PATH", "LC_ALL", "HOOKLINE_APP_X", "PYTHONUTF8"}
    assert clean_environment(environment, ["AWS_*", "DATABASE_URL"]).keys() == {
        "PATH",
        "LC_ALL",
        "HOOKLINE_APP_X",
        "PYTHONUTF8",
        "AWS_A",
        "DATABASE_URL",
    }


@pytest.mark.parametrize("pattern", ["*", "", "HOOK*", "HOOKLINE_*", "HOOKLINE_SECRET_KEY", "A*B", "A=B"])
def test_the_nodes_own_settings_cannot_be_let_through(pattern: str) -> None:
    with pytest.raises(SettingError, match="env_passthrough"):
        clean_environment({}, [pattern])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_json_values_survive(value: Any) -> None:
    assert values.decode(values.encode(value, "it")) == value


@given(st.dictionaries(st.text(), json_values | st.floats() | st.binary() | st.sets(st.integers())))
def test_log_fields_never_fail(fields: dict[str, Any]) -> None:
    encoded = values.encode_fields(fields)

    assert (encoded is None) == (not fields)


def test_deadlines_run_in_a_real_loop() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        class Once:
            def due(self) -> None:
                over.set_result(None)

        deadlines, began = Deadlines(loop), loop.time()
        deadlines.set(Once(), 0.02)
        await over
        deadlines.close()
        return loop.time() - began

    assert 0.02 <= asyncio.run(main()) < 0.5
