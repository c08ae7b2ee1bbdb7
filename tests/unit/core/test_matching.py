from __future__ import annotations

import pytest

from hookline.core.matching import check_pattern, compile_patterns
from hookline.errors import InputError


@pytest.mark.parametrize(
    ("patterns", "event_type", "is_match"),
    [
        (["workflow.execution.completed"], "workflow.execution.completed", True),
        (["workflow.execution.completed"], "workflow.execution.failed", False),
        (["workflow.*"], "workflow.execution.completed", True),
        (["workflow.*"], "workflow.", True),
        (["workflow.*"], "workflow", False),
        (["workflow.*"], "my.workflow.x", False),
        (["*.failed"], "agent.message.failed", True),
        (["*.failed"], "failed", False),
        (["*"], "anything at all", True),
        (["*"], "", True),
        (["*.execution.*"], "script.execution.ended", True),
        (["*.execution.*"], "script.executions", False),
        (["a*a"], "a", False),
        (["a*a"], "aa", True),
        (["a*b*c"], "abc", True),
        (["a*b*c"], "acb", False),
        (["a*bc*c"], "abc", False),
        (["**"], "x", True),
        (["a.*", "b.c"], "b.c", True),
        (["a.*", "b.c"], "b.d", False),
        (["a.b"], "aXb", False),
        (["[a]*", "a?", "a+*"], "ab", False),
        ([], "a", False),
    ],
)
def test_a_star_stands_for_any_run_of_characters(
    patterns: list[str], event_type: str, is_match: bool
) -> None:
    """CONTRACT section 5: patterns take *; nothing else is special."""
    matches = compile_patterns(patterns)

    assert matches(event_type) is is_match
    assert matches(event_type) is is_match


def test_a_flood_of_new_types_is_forgotten() -> None:
    matches = compile_patterns(["a.*"])

    assert sum(matches(f"a.{number}") for number in range(5000)) == 5000


@pytest.mark.parametrize("text", ["*", "a.b", "workflow.*", "größe.*", "*" * 8, "a" * 200])
def test_good_patterns_pass(text: str) -> None:
    assert check_pattern(text, "events.0") == text


@pytest.mark.parametrize("text", [None, 1, "", " ", "a b", "a\n", "a\0", "a" * 201, "*" * 9, ["*"]])
def test_bad_patterns_are_refused_with_their_field(text: object) -> None:
    with pytest.raises(InputError) as caught:
        check_pattern(text, "events.3")

    assert caught.value.field == "events.3"


@pytest.mark.parametrize(
    ("text", "fits"),
    [("a.bb.bb.c", True), ("abbbbc", True), ("abbbc", False), ("abbc", False), ("abb-bb-", False)],
)
def test_what_two_parts_stand_for_does_not_overlap(text: str, fits: bool) -> None:
    assert compile_patterns(["a*bb*bb*c"])(text) is fits
