"""``hookline executions resume``: a mistyped name is said, not taken for an answer."""

from __future__ import annotations

import pytest

from hookline.cli import executions
from hookline.cli.client import Client


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": "resumed"}, ["exec_1 has its answer to ok"]),
        (
            {"status": "stored", "waits_for": ["approval", "payment"]},
            [
                "exec_1 does not wait for ok; the answer is kept until it does",
                "it waits for approval, payment",
            ],
        ),
        (
            {"status": "stored", "waits_for": []},
            ["exec_1 does not wait for ok; the answer is kept until it does"],
        ),
    ],
)
def test_what_became_of_the_answer_is_said(
    answer: dict[str, object],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Answering:
        def post(self, path: str, body: object) -> object:
            assert (path, body) == ("/api/v1/executions/exec_1/resume", {"name": "ok", "data": None})
            return answer

    monkeypatch.setattr(Client, "from_environment", Answering)
    executions.resume("exec_1", "ok")

    assert capsys.readouterr().out.splitlines() == said
