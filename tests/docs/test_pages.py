"""Documents tell the truth: generated pages are current, names exist, links resolve, lists are complete."""

from __future__ import annotations

import ast
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pages import pages, source

from hookline import __version__
from hookline.cli import COMMANDS, EVERY, build
from hookline.config import Settings, variable_of
from hookline.core.event_types import KIND_ENDED_BY, OPERATIONAL, STARTED
from hookline.model.health import Cause
from hookline.model.states import AttemptOutcome, DeliveryState, ExecutionStatus, ReplayStatus, WebhookStatus

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bhookline ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "reference.py"))


def prose(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["settings", "cli", "routes", "limits", "events", "dialects", "metrics"])
def test_generated_pages_are_what_the_code_says(name: str, reference: dict[str, Any]) -> None:
    """Run ``python3 scripts/reference.py`` when this fails."""
    assert prose(ROOT / "docs" / "reference" / f"{name}.md") == reference["GENERATED"][name]()


def test_what_routes_refuse_is_what_the_code_says(reference: dict[str, Any]) -> None:
    """Run ``python3 scripts/reference.py`` when this fails."""
    assert prose(reference["REFUSALS"]) == reference["refusals_text"]()


def test_measured_limits_are_those_of_the_result_file(reference: dict[str, Any]) -> None:
    """Issue 6, item 5. Run ``python3 scripts/reference.py`` when this fails."""
    page = prose(ROOT / "docs" / "scaling.md")

    assert page == reference["scaling_page"]()
    assert "| receive, store, deliver, one node |" in page


def test_every_event_type_is_documented() -> None:
    """CONTRACT section 5: what begins runs, what ends them, what tells of webhooks."""
    sent = {
        *STARTED.values(),
        *KIND_ENDED_BY,
        *OPERATIONAL,
        "workflow.step.completed",
        "agent.message.received",
    }

    assert [
        one for one in sorted(sent) if f"\n## {one}\n" not in prose(ROOT / "docs/reference/events.md")
    ] == []


def test_every_header_of_ours_is_documented() -> None:
    page = prose(ROOT / "docs" / "reference" / "headers.md").lower()
    code_text = "".join(prose(path) for path in (ROOT / "src" / "hookline").rglob("*.py"))
    headers = set(
        re.findall(r"[\"`](Hookline-[A-Z][A-Za-z-]+|hookline-(?:execution-id|organization))[\"`]", code_text)
    )

    assert len(headers) >= 5
    assert [name for name in sorted(headers) if f"`{name.lower()}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_resolve(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page

        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_named_in_documents_exist(page: Path) -> None:
    names = {name for name, *_ in COMMANDS}
    app = build(EVERY)
    for name, sub in COMMAND.findall("\n".join(code(page))):
        assert name in names, f"hookline {name}"
        if sub and not app[name].default_command:
            assert sub in set(app[name]), f"hookline {name} {sub}"


def code(page: Path) -> list[str]:
    """Everything in a page that is set as code."""
    text = prose(page)
    fences = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return fences + re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )


def test_every_setting_is_documented() -> None:
    page = prose(ROOT / "docs" / "reference" / "settings.md")

    assert [name for name in Settings.model_fields if variable_of(name) not in page] == []


@pytest.mark.parametrize(
    "states", [ExecutionStatus, DeliveryState, WebhookStatus, ReplayStatus, AttemptOutcome, Cause]
)
def test_every_state_is_documented(states: type[ExecutionStatus]) -> None:
    page = prose(ROOT / "docs" / "reference" / "states.md")

    assert [state.value for state in states if f"| `{state.value}` |" not in page] == []


def codes_in(tree: ast.AST) -> set[str]:
    """Every error code of a module: a class's ``code = …`` or a call's ``code=…``."""
    values = [
        node.value
        for node in ast.walk(tree)
        if (isinstance(node, ast.keyword) and node.arg == "code")
        or (isinstance(node, ast.Assign) and any(getattr(one, "id", None) == "code" for one in node.targets))
    ]
    return {one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_every_error_code_is_documented_and_no_other() -> None:
    modules = (ROOT / "src" / "hookline").rglob("*.py")
    raised = set().union(*(codes_in(ast.parse(path.read_text(encoding="utf-8"))) for path in modules))
    documented = set(
        re.findall(r"^\| `([A-Z_0-9]+)` \|", prose(ROOT / "docs/reference/errors.md"), re.MULTILINE)
    )

    assert documented == raised


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = {page.name for page in folder.glob("[0-9]*.md")}

    assert pages == set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", prose(folder / "README.md")))


def test_the_changelog_begins_with_this_version() -> None:
    top = re.search(r"^## (\S+)", prose(ROOT / "CHANGELOG.md"), re.MULTILINE)

    assert top is not None
    assert top[1] == __version__
    assert tomllib.loads(prose(ROOT / "pyproject.toml"))["project"]["version"] == __version__


@pytest.mark.parametrize("page", [page for page in pages() if page not in {"README", "index"}])
def test_every_page_is_reached_from_the_first(page: str) -> None:
    """A newcomer finds each page from docs/index.md; decisions from their own list."""
    assert f"({page}.md)" in source("index") or (
        page.startswith("decisions/") and "decisions/README.md" in source("index")
    )


def test_the_readme_opens_with_two_commands_that_exist() -> None:
    fences = re.findall(r"^```sh\n(.*?)^```", prose(ROOT / "README.md"), flags=re.MULTILINE | re.DOTALL)
    demo, check = fences[:2]

    assert demo.strip().endswith(".venv/bin/hookline demo")
    assert "constraints.txt" in demo
    assert check.strip() == "python3 scripts/check.py"
    assert (ROOT / "scripts" / "check.py").exists()
    assert (ROOT / "constraints.txt").exists()


def test_constraints_pin_versions_and_name_no_host() -> None:
    lines = prose(ROOT / "constraints.txt").splitlines()

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads(prose(ROOT / "pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in wanted}
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in prose(ROOT / "constraints.txt").splitlines()
    }

    assert names - pinned - {"hookline"} == set()
