"""The audit fails for what is known, and never for a service that does not answer."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "audit.py"))


def known(id_: str, *aliases: str) -> dict[str, Any]:
    return {"id": id_, "fix_versions": ["1.1"], "aliases": list(aliases)}


CLEAN = {"name": "clean", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [known("PYSEC-1", "CVE-2026-1")]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "fails", "said"),
    [
        ([CLEAN, CLEAN], False, "nothing known against 2 packages"),
        ([CLEAN, BAD], True, "bad 1.0: PYSEC-1, fixed in 1.1"),
        ([CLEAN, UNKNOWN], False, "1 unknown to it: unknown"),
        ([UNKNOWN, UNKNOWN], False, "not made"),
        ([UNKNOWN, BAD], True, "PYSEC-1"),
    ],
)
def test_only_what_is_known_fails(
    audit: dict[str, Any], packages: list[dict[str, Any]], said: str, *, fails: bool
) -> None:
    text, is_bad = audit["verdict"]({"dependencies": packages})

    assert is_bad is fails
    assert said in text


def test_a_service_that_is_away_is_said_and_fails_nothing(audit: dict[str, Any]) -> None:
    text, is_bad = audit["verdict"]("connection refused")

    assert not is_bad
    assert text == "not made, the vulnerability service cannot be reached: connection refused"


def test_what_is_accepted_by_any_of_its_names_does_not_fail(
    audit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audit["ACCEPTED"], "CVE-2026-1", "we do not call it")

    assert audit["verdict"]({"dependencies": [CLEAN, BAD]}) == ("nothing known against 2 packages", False)


def test_what_is_audited_is_what_users_install(audit: dict[str, Any]) -> None:
    """The extras' packages with all that these need, and no test tool."""
    found = {line.partition("==")[0].lower() for line in audit["needed"](Path(sys.executable))}

    assert {"fastapi", "starlette", "asyncpg", "opentelemetry-sdk", "protobuf"} <= found
    assert not {"pytest", "moto", "hookline", "mypy"} & found
