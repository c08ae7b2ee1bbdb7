#!/usr/bin/env python3
"""Change the core by one small error at a time, and count how many of them the tests notice.

Tests of ``core`` run once, to learn which of them reach which lines. Then each mutant, such as ``<`` for ``<=`` or one
more for a number, runs in a forked process against the tests that reach its line, quickest first, until one fails.
A mutant that no test notices is printed: it is a missing test, or it changes nothing that can be seen and stands with
its reason in ``mutants.toml`` beside this file.

    python scripts/mutate.py                        # all mutants
    python scripts/mutate.py --sample 400 --seed 7  # so many of them, drawn at random
    python scripts/mutate.py retry inbound          # those of these modules
    python scripts/mutate.py --least 80             # fail below this score, in per cent

Only what functions do is changed: no constants of modules, and no texts of three words and more, which are for people.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import math
import os
import random
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper, partial
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src/hookline/core"
EQUIVALENT = Path(__file__).with_name("mutants.toml")
NOWHERE = Path(os.devnull)
TESTS = ("tests/unit/core", "tests/unit/dialects", "tests/property")

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.Break: ast.Continue, ast.Continue: ast.Break,
}  # fmt: skip

_PROSE_WORDS = 3

_CPU_SECONDS = 10
"""For a mutant, besides five times what its tests take: one that runs longer goes in circles, which is noticed."""

_STUCK_SECONDS = 120
"""For one that waits without computing."""


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change of one function. lines: of the statement up to the change.  apply: makes it in the tree, for good."""

    module: str
    function: str
    change: str
    lines: range
    apply: Callable[[], None] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.module}:{self.lines.start} {self.function}: {self.change}"


# --- what can be changed ---


class Module:
    """One file of the core. name: its path there, without suffix."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(CORE).with_suffix(""))
        self.tree = ast.parse(path.read_text())

    def mutants(self) -> list[Mutant]:
        return [
            Mutant(self.name, name, change, lines, apply)
            for name, function in _functions(self.tree.body)
            for change, lines, apply in _in_block(function, "body")
        ]

    def codes_of(self, function: str) -> dict[tuple[str, int], CodeType]:
        """Compile the tree as it is now, and return the code of a function and of those within it, by name and line."""
        whole = compile(ast.fix_missing_locations(self.tree), str(self.path), "exec")
        return {
            (code.co_qualname, code.co_firstlineno): code
            for code in _codes(whole)
            if code.co_qualname == function or code.co_qualname.startswith(f"{function}.<locals>.")
        }


_Change = tuple[str, range, "Callable[[], None]"]


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield within + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}.")


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _in_block(owner: ast.AST, name: str) -> Iterator[_Change]:
    """Yield the changes of every statement of a block."""
    block: list[ast.stmt] = getattr(owner, name)
    for place, statement in enumerate(block):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        lines = range(statement.lineno, statement.lineno + 1)
        if isinstance(statement, ast.Raise | ast.Expr | ast.Delete):
            yield f"{ast.unparse(statement)} -> pass", lines, partial(block.__setitem__, place, ast.Pass())
        elif isinstance(statement, ast.Break | ast.Continue):
            other = _SWAPS[type(statement)]()
            yield (
                f"{ast.unparse(statement)} -> {ast.unparse(other)}",
                lines,
                partial(block.__setitem__, place, other),
            )  # type: ignore[arg-type]
        yield from _in_node(statement, statement)


def _in_node(node: ast.AST, statement: ast.stmt) -> Iterator[_Change]:
    """Yield the changes of a node and of what is inside it. statement: the innermost that it is in."""
    for attribute, value in _edits(node):
        lines = range(statement.lineno, getattr(node, "end_lineno", statement.lineno) + 1)
        yield _told(node, attribute, value), lines, partial(setattr, node, attribute, value)
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "type_comment", "type_params"}:
            continue
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from _in_block(node, name)
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (
                isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)
            ):
                yield from _in_node(child, child if isinstance(child, ast.stmt) else statement)


def _told(node: ast.AST, attribute: str, value: Any) -> str:
    if isinstance(node, ast.If | ast.While):  # without what is inside
        word = type(node).__name__.lower()
        return f"{word} {ast.unparse(node.test)} -> {word} {ast.unparse(value)}"
    other = copy.copy(node)
    setattr(other, attribute, value)
    return f"{ast.unparse(node)} -> {ast.unparse(other)}"


def _edits(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield (attribute, its other value) for each change of this node itself."""
    match node:
        case ast.Compare(ops=operators):
            for place, operator in enumerate(operators):
                yield "ops", _with(operators, place, _SWAPS[type(operator)]())
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) | ast.AugAssign(op=operator):
            if type(operator) in _SWAPS:
                yield "op", _SWAPS[type(operator)]()
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "operand", ast.UnaryOp(ast.Not(), operand)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "value", ast.Constant(None)
        case ast.Constant(value=value):
            yield from (("value", other) for other in _other_constant(value))
        case _:
            yield from _turned_conditions(node)


def _turned_conditions(node: ast.AST) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if _is_plain(test):
            yield "test", ast.UnaryOp(ast.Not(), test)
        case ast.comprehension(ifs=tests):
            for place, test in enumerate(tests):
                if _is_plain(test):
                    yield "ifs", _with(tests, place, ast.UnaryOp(ast.Not(), test))


def _with(items: list[Any], place: int, other: Any) -> list[Any]:
    return [*items[:place], other, *items[place + 1 :]]


def _is_plain(test: ast.expr) -> bool:
    """Say whether nothing within a condition's own words is changed anyhow."""
    return not isinstance(test, ast.Compare | ast.BoolOp) and not (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    )


def _other_constant(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, bytes):
        yield b"XX" + value
    elif isinstance(value, str) and len(value.split()) < _PROSE_WORDS:
        yield "XX" + value


# --- running ---


class Run:
    """A pytest plugin that runs the tests once and then the mutants, in place of the usual loop."""

    def __init__(self, modules: Sequence[Module], mutants: Sequence[Mutant], jobs: int) -> None:
        self._modules = {module.name: module for module in modules}
        self._mutants = mutants
        self._jobs = jobs
        self._failed = False
        self._seconds: dict[str, float] = defaultdict(float)
        self._reaching: dict[str, dict[int, list[str]]] = {}
        self._items: dict[str, pytest.Item] = {}
        self.outcomes: dict[Mutant, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        from hypothesis import HealthCheck, Phase, settings  # not before pytest has prepared its asserts

        # Few examples and no shrinking: a property that needs more to notice is no firm hold on a rule.
        settings.register_profile(
            "mutants",
            derandomize=True,
            deadline=None,
            max_examples=25,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        self._failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._learn(session.items)
        if self._failed:
            raise session.Failed("a test fails without any mutant")
        began = time.monotonic()
        running: dict[int, Mutant] = {}
        for number, mutant in enumerate(self._mutants, 1):
            tests = self._tests_of(mutant)
            if not tests:
                self.outcomes[mutant] = "not reached"
                continue
            if len(running) >= self._jobs:
                self._settle_one(running)
            running[self._start(mutant, tests)] = mutant
            if number % 50 == 0:
                print(
                    f"{number} of {len(self._mutants)} in {time.monotonic() - began:.0f} s",
                    file=sys.__stderr__,
                    flush=True,
                )
        while running:
            self._settle_one(running)
        return True

    def _learn(self, items: list[pytest.Item]) -> None:
        """Run every test once. What a test reaches is every line of the core that runs while it does."""
        measure = coverage.Coverage(data_file=None, include=[f"{CORE}/*"], config_file=False)
        measure.start()
        for item, following in pairwise([*items, None]):
            measure.switch_context(item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        measure.stop()
        data = measure.get_data()
        self._reaching = {
            name: data.contexts_by_lineno(str(module.path)) for name, module in self._modules.items()
        }

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mutant, the quickest first."""
        reached = self._reaching[mutant.module]
        return sorted(
            {test for line in mutant.lines for test in reached.get(line, ()) if test},
            key=self._seconds.__getitem__,
        )

    def _start(self, mutant: Mutant, tests: list[str]) -> int:
        """Fork the process that runs a mutant: it ends with 0 when no test failed."""
        child = os.fork()
        if child:
            return child
        limit = _CPU_SECONDS + 5 * sum(map(self._seconds.__getitem__, tests))
        signal.setitimer(signal.ITIMER_PROF, limit)
        signal.setitimer(signal.ITIMER_REAL, _STUCK_SECONDS + 5 * limit)
        try:
            with NOWHERE.open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
                code = self._is_noticed(mutant, tests)
        except BaseException:  # noqa: BLE001 -- whatever a mutant does to the test run itself is noticed
            code = True
        os._exit(1 if code else 0)

    def _is_noticed(self, mutant: Mutant, tests: list[str]) -> bool:
        module = self._modules[mutant.module]
        mutant.apply()
        self._put(module.codes_of(mutant.function), module.path)
        self._failed = False
        items = [self._items[test] for test in tests]
        for item, following in pairwise([*items, None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return True
        return False

    @staticmethod
    def _put(codes: dict[tuple[str, int], CodeType], path: Path) -> None:
        """Give every function object that is changed its new code, and forget what functions remembered."""
        for thing in gc.get_objects():
            if isinstance(thing, _lru_cache_wrapper):
                thing.cache_clear()
            elif isinstance(thing, FunctionType) and thing.__code__.co_filename == str(path):
                old = thing.__code__
                thing.__code__ = codes.get((old.co_qualname, old.co_firstlineno), old)

    def _settle_one(self, running: dict[int, Mutant]) -> None:
        child, status = os.wait()
        if child in running:
            mutant = running.pop(child)
            self.outcomes[mutant] = "survived" if status == 0 else "killed"
            if status == 0:
                print(f"survived  {mutant}", file=sys.__stderr__, flush=True)


# --- what came of it ---


def equivalents() -> dict[str, dict[str, str]]:
    """Read the mutants that change nothing: for each module, ``function: change`` and why."""
    found = tomllib.loads(EQUIVALENT.read_text())
    return {module: dict(changes) for module, changes in found.items()}


def interval(killed: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 per cent."""
    z = 1.96
    share = killed / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def report(outcomes: dict[Mutant, str]) -> float:
    """Print the survivors and the score of each module; return the score of all, in per cent.

    Equivalent mutants are left out of it. What no test reaches counts as survived.
    """
    known = equivalents()
    modules: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, outcome in outcomes.items():
        is_equivalent = outcome != "killed" and f"{mutant.function}: {mutant.change}" in known.get(
            mutant.module, {}
        )
        modules[mutant.module]["equivalent" if is_equivalent else outcome] += 1
        if outcome != "killed" and not is_equivalent:
            print(f"{outcome}  {mutant}")
    print(f"\n{'module':<24}{'mutants':>8}{'killed':>8}{'survived':>9}{'equivalent':>11}{'score':>8}")
    for name, counts in sorted(modules.items()):
        _print_row(name, counts)
    whole = sum(modules.values(), Counter())
    score = _print_row("core", whole)
    low, high = interval(whole["killed"], whole.total() - whole["equivalent"])
    print(f"as a sample: {100 * low:.1f} to {100 * high:.1f} % at 95 % confidence")
    return score


def _print_row(name: str, counts: Counter[str]) -> float:
    judged = counts.total() - counts["equivalent"]
    score = 100 * counts["killed"] / judged if judged else 100.0
    print(
        f"{name:<24}{counts.total():>8}{counts['killed']:>8}{judged - counts['killed']:>9}"
        f"{counts['equivalent']:>11}{score:>7.1f}%"
    )
    return score


def main() -> int:
    """Return 0, or 1 for a score below the least."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="files or folders of the core; all without")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--least", type=float, default=0.0, help="the score below which this fails, in per cent"
    )
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    modules = [
        module
        for module in map(Module, sorted(CORE.rglob("*.py")))
        if not arguments.modules or {module.name, module.name.partition("/")[0]} & set(arguments.modules)
    ]
    mutants = [mutant for module in modules for mutant in module.mutants()]
    if arguments.sample is not None and arguments.sample < len(mutants):
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
    run = Run(modules, mutants, arguments.jobs)
    os.chdir(ROOT)
    options = [
        "-q",
        "--no-header",
        "--hypothesis-profile=mutants",
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=0",
    ]
    with NOWHERE.open("w") as nothing, redirect_stdout(nothing):
        ended = pytest.main([*options, *TESTS], plugins=[run])
    if not run.outcomes:
        print(f"The tests did not pass by themselves: pytest ended with {ended}.", file=sys.stderr)
        return 2
    return 1 if report(run.outcomes) < arguments.least else 0


if __name__ == "__main__":
    sys.exit(main())
