"""The table from families of errors to status codes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from asgi import Client

from hookline import errors
from hookline.api.app import management_app
from hookline.api.errors import STATUS, answer_of, status_of
from hookline.api.gate import Gate
from hookline.api.inbound import Budget

FAMILIES = [
    family
    for family in vars(errors).values()
    if isinstance(family, type) and issubclass(family, errors.HooklineError)
]


def made(family: type[errors.HooklineError]) -> errors.HooklineError:
    if issubclass(family, errors.VerificationError):
        return family("One plain sentence.", reason="signature_mismatch")
    return family("One plain sentence.")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_worded_as_af5(family: type[errors.HooklineError]) -> None:
    answer = answer_of(made(family))
    body = json.loads(answer.body)

    assert answer.status in {400, 401, 403, 404, 409, 413, 415, 429, 500, 502, 503}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message", "details"}
    assert set(body["error"]["details"]) == {"field", "expected", "received"}


@pytest.mark.asyncio
async def test_a_defect_behind_the_framework_is_worded_as_af5(capsys: Any) -> None:
    """It tells nothing of us, and the log has all of it."""
    services = SimpleNamespace(meter=SimpleNamespace(answered=lambda *_: None))
    site: Any = SimpleNamespace(settings=SimpleNamespace(version="1"), services=services)
    app = management_app(site)

    @app.get("/broken")
    def broken() -> dict[str, str]:
        raise RuntimeError("a secret of ours")

    gate: Any = Gate(app, site, Budget())  # type: ignore[arg-type]  # the framework's types are wider
    answer = await Client(gate)("GET", "/broken")

    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert set(answer.details) == {"field", "expected", "received"}
    assert b"secret of ours" not in answer.body
    assert "a secret of ours" in capsys.readouterr().out


def test_422_is_nobodys_answer() -> None:
    assert 422 not in STATUS.values()


@pytest.mark.parametrize("family", [family for family in FAMILIES if status_of(made(family)) in {429, 503}])
def test_whoever_may_come_back_is_told_when(family: type[errors.HooklineError]) -> None:
    headers = dict(answer_of(made(family)).headers)

    assert int(headers[b"retry-after"]) >= 1


def test_a_settings_failure_is_a_defect_here_and_tells_nothing() -> None:
    answer = answer_of(errors.SettingError("the database is at postgresql://…"))

    assert answer.status == 500
    assert b"postgresql" not in answer.body
