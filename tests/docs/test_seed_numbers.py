"""Every numbered statement of the systems that deliveries come from has a test that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SPANS = {"PB": (15, 3), "MX": (16, 5), "PF": (11, 3), "AF": (22, 7)}
"""System to how many statements it has, and how many contradictions that were resolved."""
NUMBER = re.compile(r"\b(PB|MX|PF|AF)-(X?\d+)(?:(?: to |…)(?:(?:PB|MX|PF|AF)-)?(\d+))?")


def named(text: str) -> set[str]:
    """The numbers in a text; ``PB-5 to PB-7`` and ``MX-2…5`` are all of them."""
    found: set[str] = set()
    for system, first, last in NUMBER.findall(text):
        if first.startswith("X") or not last:
            found.add(f"{system}-{first}")
        else:
            found |= {f"{system}-{number}" for number in range(int(first), int(last) + 1)}
    return found


def table() -> dict[str, list[str]]:
    """Number to the tests that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith(
                "test"
            ):
                continue
            own = re.match(r"test_(pb|mx|pf|af)(x?\d+)_", node.name)
            numbers = named(ast.get_docstring(node) or "") | (
                {f"{own[1]}-{own[2]}".upper()} if own else set()
            )
            for number in numbers:
                found.setdefault(number, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


TABLE = table()
NUMBERS = [
    f"{system}-{number}"
    for system, (statements, contradictions) in SPANS.items()
    for number in (*range(1, statements + 1), *(f"X{n}" for n in range(1, contradictions + 1)))
]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_statement_has_a_test(number: str) -> None:
    assert TABLE.get(number)


def test_no_test_names_a_statement_that_is_not() -> None:
    systems = tuple(f"{system}-" for system in SPANS)

    assert {number for number in TABLE if number.startswith(systems)} <= set(NUMBERS)
