"""What ``hookline doctor`` says of the model that agents ask."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from hookline.cli import checkup, checkup_parts
from hookline.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hookline.cli.finding import Finding


def _finding(folder: Path, **settings: Any) -> Finding:
    given = load_settings({"database": f"sqlite:///{folder}/x.db", **settings}, environ={}, directory=folder)
    return next(finding for finding in checkup.examine(given) if finding.subject == "model")


def test_a_missing_client_comes_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_openai(name: str) -> object:
        return None if name == "openai" else importlib.util.find_spec(name)

    monkeypatch.setattr(checkup_parts, "find_spec", without_openai)
    found = _finding(tmp_path)

    assert (found.level, found.mend) == ("note", "pip install 'hookline[agent]'")


def test_an_endpoint_that_the_guard_would_refuse_is_named_before_a_turn_fails(tmp_path: Path) -> None:
    """P11; the key is not shown (P13)."""
    local = {
        "openai_base_url": "http://127.0.0.1:11434/v1",
        "openai_api_key": "sk-hidden",
        "openai_model": "m",
    }
    refused = _finding(tmp_path, **local)
    allowed = _finding(tmp_path, **local, allow_networks="127.0.0.0/8")

    assert refused.level == "warn"
    assert "--allow-network 127.0.0.1/32" in refused.mend
    assert (allowed.level, allowed.found) == ("ok", "m, a key, at http://127.0.0.1:11434/v1")
    assert _finding(tmp_path).level == "ok"
