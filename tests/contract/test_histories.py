"""Random histories: whatever is written in whatever order, both stores agree with a model made of dicts.

``HOOKLINE_HISTORIES=20`` plays twenty times as many, at random instead of always the same ones.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from histories import Histories
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from store_bed import changed

from hookline.ports import Record, Settle, Suspend

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.ports import Write
    from hookline.testing.postgres import PostgresServer

TIMES = int(os.environ.get("HOOKLINE_HISTORIES", "1"))


def _play(examples: int, server: PostgresServer | None, spoil: Callable[[Any], Write] | None = None) -> None:
    """Run that many histories of up to 40 steps, each on an empty database."""

    class Case(Histories):
        pass

    Case.backend_name = "sqlite" if server is None else "postgres"
    Case.server = server
    if spoil is not None:
        Case.spoil = staticmethod(spoil)
    run_state_machine_as_test(
        Case,
        settings=settings(
            max_examples=examples * TIMES,
            stateful_step_count=40,
            deadline=None,
            derandomize=TIMES == 1,
            database=None,
            phases=(Phase.generate,) if TIMES == 1 else (Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sqlite_agrees_with_the_model() -> None:
    """Publish, claim, settle, shift, reopen, die, restart, and the whole life of executions."""
    _play(200, None)


def test_postgresql_agrees_with_the_model(request: pytest.FixtureRequest) -> None:
    """The same histories, so the two stores agree with each other too."""
    _play(40, request.getfixturevalue("postgres_server"))


def _forgets_attempts(write: Any) -> Any:
    return changed(write, attempt=None) if isinstance(write, Settle) else write


def _counts_no_step(write: Any) -> Any:
    return changed(write, steps=0) if isinstance(write, Record) else write


def _sleeps_for_ever(write: Any) -> Any:
    return changed(write, wake_at=None) if isinstance(write, Suspend) else write


@pytest.mark.parametrize("spoil", [_forgets_attempts, _counts_no_step, _sleeps_for_ever])
def test_a_store_that_does_something_else_is_caught(spoil: Callable[[Any], Write]) -> None:
    """A model that agrees with everything would prove nothing."""
    with pytest.raises(AssertionError):
        _play(200, None, spoil)
