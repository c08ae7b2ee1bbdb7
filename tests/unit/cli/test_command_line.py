"""The command line itself: fast help that teaches, clear errors, no secret on the way."""

from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclopts import App

from hookline.cli import COMMANDS, build, main, show
from hookline.cli.client import CommandError, encoded
from hookline.cli.options import ask, read_data, read_fields, read_object, read_verbatim
from hookline.core.signing import agenticflow_signature, standard_signature

HEAVY = ("aiohttp", "fastapi", "pydantic", "uvicorn", "apsw", "asyncpg", "structlog", "asyncio")
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hookline", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_imports_nothing_heavy() -> None:
    """This is what keeps it under 0.3 s; the time itself depends on how busy the machine is."""
    code = "import sys; from hookline.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_help_is_quick() -> None:
    """0.3 s on a machine at rest; best of five, and three times that, on one that runs other tests."""

    def once() -> float:
        began = time.perf_counter()
        run("--help")
        return time.perf_counter() - began

    assert min(once() for _ in range(5)) < 0.9


def test_every_command_is_named_in_the_help() -> None:
    text = run("--help").stdout

    assert [name for name, *_ in COMMANDS if name not in text] == []


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_every_command_teaches_by_example(name: str) -> None:
    command = build(name)[name]
    pages = (
        [command] if command.default_command else [command[sub] for sub in command if not sub.startswith("-")]
    )

    assert pages
    for page in pages:
        assert f"hookline {name}" in page.help, page.name


def test_every_command_can_be_imported() -> None:
    for _, place, *_ in COMMANDS:
        module, _, attribute = place.partition(":")
        target = getattr(importlib.import_module(f"hookline.cli.{module}"), attribute)

        assert isinstance(target, App) or callable(target)


def test_an_error_is_one_line_that_says_the_next_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLINE_URL", "http://127.0.0.1:9")

    with pytest.raises(SystemExit) as caught:
        main(["trigger", "workflow", "orders"])

    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert (
        said
        == "hookline: no server at http://127.0.0.1:9: start one with `hookline serve`, or set HOOKLINE_URL\n"
    )


def test_a_bad_setting_stops_serve_with_its_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as caught:
        main(["serve", "--allow-network", "10.0.0.300/8"])

    assert caught.value.code == 1
    assert "--allow-network must be a list of CIDRs" in capsys.readouterr().err


def test_an_unknown_command_suggests_one() -> None:
    done = run("trigge")

    assert done.returncode == 2
    assert "trigger" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("listen", "--forward http://localhost:3000/hook"),
        (
            "listen --forward http://localhost:3000 --dialect foo",
            "(--dialect: expected one of agenticflow ",
        ),
        ("triggers create workflow orders --auth signature", "add --preset github --secret @secret.txt"),
        ("triggers create workflow orders --auth signature --secret s", "add --preset github --secret"),
        ('triggers create workflow orders --auth signature --set {"auth":{"header":"x"}}', "no server at"),
        ("triggers create workflow orders --auth signature --preset github --secret s", "no server at"),
    ],
)
def test_what_is_left_out_is_answered_with_what_to_give(
    command: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLINE_URL", "http://127.0.0.1:9")

    with pytest.raises(SystemExit) as caught:
        main(command.split())

    assert caught.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["deliveries replay", "triggers replay trg_1"])
def test_a_replay_need_not_be_waited_for(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLINE_URL", "http://127.0.0.1:9")

    with pytest.raises(SystemExit):
        main([*command.split(), "--since", "2026-07-28T09:00:00Z", "--no-wait"])

    assert "no server at" in capsys.readouterr().err


def test_the_reference_names_no_option_that_a_command_does_not_take() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/cli.md").read_text(encoding="utf-8")

    assert set(re.findall(r"--(?:no|empty)-[a-z-]+", page)) == {"--no-wait"}


def test_data_may_be_text_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')

    assert read_data('{"a": 1}') == read_data(f"@{tmp_path}/a.json") == {"a": 1}
    assert read_data(None) is None


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "@/nowhere.json"])
def test_data_that_is_no_object_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Exception, match="--data"):
        read_object(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dialect=standard", """--set '{"dialect": "standard"}'"""),
        ("max_in_flight=4", """--set '{"max_in_flight": 4}'"""),
        ("{", """--set '{"timeout_seconds": 10"""),
        ("[1]", """--set '{"timeout_seconds": 10"""),
    ],
)
def test_fields_that_are_set_wrongly_are_answered_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        read_fields(text)

    assert read_fields('{"ordered": true}') == {"ordered": True}
    assert read_fields(None) == {}


def test_an_events_data_is_sent_as_it_was_written(tmp_path: Path) -> None:
    """P4: no space and no digit is added or lost between the command and the server."""
    text = '{"price":1.50, "id":12345678901234567890,"é":"\\u00e9"}'
    (tmp_path / "a.json").write_text(text + "\n", encoding="utf-8")
    sent = {"type": "order.paid", "data": read_verbatim(f"@{tmp_path}/a.json")}

    assert encoded(sent) == f'{{"type":"order.paid","data":{text}}}'
    assert encoded({"data": read_verbatim(None), "n": {"a": [1]}}) == '{"data":null,"n":{"a":[1]}}'
    with pytest.raises(CommandError, match="--data must be JSON"):
        read_verbatim("{")


def test_terminal_escapes_are_shown_and_not_obeyed() -> None:
    assert show.clean("\x1b[2Jgone") == "\N{REPLACEMENT CHARACTER}[2Jgone"


def test_ages_are_short() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)

    assert show.ago("2026-01-01T23:59:30Z", now=now) == "30s ago"
    assert show.ago("2026-01-01T20:00:00Z", now=now) == "4h ago"
    assert show.ago("2026-01-02T00:05:00Z", now=now) == "in 5m"
    assert show.ago(None, now=now) == ""


def test_durations_are_in_the_unit_that_a_person_says() -> None:
    assert [show.took(ms) for ms in (0, 999, 1_000, 61_240, 600_000)] == [
        "0 ms",
        "999 ms",
        "1.0 s",
        "61.2 s",
        "10 min",
    ]


def test_no_python_words_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show.sheet([("success", False), ("all", [True, {"a": None}])])

    assert [line.split(maxsplit=1)[1].rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "no",
        'yes, {"a": null}',
    ]


def captured(tmp_path: Path, headers: str, body: bytes) -> list[str]:
    (tmp_path / "headers").write_text(headers)
    (tmp_path / "body").write_bytes(body)
    return ["verify", "--secret", SECRET, "--headers", f"{tmp_path}/headers", "--body", f"{tmp_path}/body"]


def verified(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_verify_accepts_both_schemes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body, now = b'{"a":1}', int(time.time())
    headers = (
        f"> POST /hook HTTP/1.1\nwebhook-id: evt_1\nwebhook-timestamp: {now}\n"
        f"webhook-signature: {standard_signature(SECRET, 'evt_1', now, body)}\n"
        f"X-AgenticFlow-Signature: {agenticflow_signature(SECRET, body)}\n"
    )

    assert verified(captured(tmp_path, headers, body)) == 0
    assert capsys.readouterr().out.count("valid") == 2


def test_verify_says_that_a_body_was_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = b'{"a":1}'
    headers = f"X-AgenticFlow-Signature: {agenticflow_signature(SECRET, signed)}\n"

    assert verified(captured(tmp_path, headers, b'{"a": 1}')) == 1
    said = capsys.readouterr().out
    assert "serialized again" in said
    assert agenticflow_signature(SECRET, b'{"a": 1}').removeprefix("sha256=") not in said


def test_verify_tells_an_old_capture_from_a_wrong_signature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then = int(time.time()) - 3600
    headers = (
        f"webhook-id: evt_1\nwebhook-timestamp: {then}\n"
        f"webhook-signature: {standard_signature(SECRET, 'evt_1', then, b'{}')}\n"
    )

    assert verified(captured(tmp_path, headers, b"{}")) == 1
    assert "The signature itself fits" in capsys.readouterr().out


def test_a_question_that_is_answered_with_the_end_of_input_is_answered_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(CommandError, match="nothing was changed"):
        ask("Delete it?")


def test_a_command_that_is_terminated_ends_what_it_has_started() -> None:
    """A benchmark under ``timeout`` left its database server behind."""
    program = """
import os, signal
from hookline import cli

def build(_):
    def run(_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            print("stopped", flush=True)
    return run

cli.build = build
cli.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=False)

    assert (ended.returncode, ended.stdout) == (143, b"stopped\n")
