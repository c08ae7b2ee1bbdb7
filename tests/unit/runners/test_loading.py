"""What a node says when the app cannot be loaded, and that it does not try in a tight circle."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hookline.errors import SettingError
from hookline.ports.runner import Failed, Succeeded
from hookline.runners import groups
from hookline.runners.host import RunnerHost, RunnerSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = "from hookline import App\napp = App()\n@app.workflow('w')\ndef w(ctx):\n    return 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("import sys\nsys.exit('no')\n", "called sys.exit('no')"),
        ("import os\nprint('last words', flush=True)\nos._exit(5)\n", "status 5"),
        ("x = 1\n", "expected one App, or one named 'app'"),
        ("from hookline import App\na = App()\nb = App()\n", "expected one App"),
        (GOOD.replace("'w'", "'w', shared=True"), "is shared, so it must be an async function"),
    ],
)
async def test_an_app_that_cannot_be_loaded_stops_the_start(
    tmp_path: Path, text: str, message: str, children: Callable[[], set[int]]
) -> None:
    before = children()
    (tmp_path / "app.py").write_text(text)
    host = RunnerHost(RunnerSettings(app=str(tmp_path / "app.py")))

    with pytest.raises(SettingError) as caught:
        await host.start()
    assert message in caught.value.message
    assert children() == before


async def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected a Python file; there is none at"):
        await RunnerHost(RunnerSettings(app=str(tmp_path / "none.py"))).start()


async def test_what_the_app_printed_last_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nprint('last words', flush=True)\nos._exit(5)\n")

    with pytest.raises(SettingError, match="last words"):
        await RunnerHost(RunnerSettings(app=str(tmp_path / "app.py"))).start()


@pytest.mark.parametrize(
    "code",
    [
        "from hookline import App\napp = App()\n@app.workflow('x', shared=True)\ndef plain(ctx): ...\n",
        "from hookline import App\napp = App()\napp.integration('x', endpoint='nowhere')\n",
        "def f():\n    return undefined\nf()\n",
        "import no_such_module\n",
        "app = \n",
    ],
)
async def test_a_broken_app_is_told_by_its_own_frames_alone(code: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(code)
    with pytest.raises(SettingError) as caught:
        await RunnerHost(RunnerSettings(app=str(tmp_path / "app.py"))).start()

    places = [line for line in caught.value.message.splitlines() if line.strip().startswith("File ")]
    assert places
    assert all(str(tmp_path / "app.py") in place for place in places)


async def test_an_import_without_end_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import time\ntime.sleep(60)\n")

    with pytest.raises(SettingError, match="took too long"):
        await RunnerHost(RunnerSettings(app=str(tmp_path / "app.py"), start_seconds=0.3)).start()


async def test_a_node_without_an_app_runs_nothing(kept: Any, runs: Any) -> None:
    host = RunnerHost(RunnerSettings(app=None))
    await host.start()
    outcome = await host.run(runs.job("echo"), kept)
    await host.close(0)

    assert host.automations == ()
    assert isinstance(outcome, Failed)


async def test_an_app_is_found_by_name_and_may_import_its_neighbours(new_runs: Any, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("VALUE = 5\n")
    (tmp_path / "my_app.py").write_text(
        "import neighbour\n" + GOOD.replace("app", "mine").replace("return 1", "return neighbour.VALUE")
    )
    runs = await new_runs(str(tmp_path / "my_app.py:mine"), warm=1)

    assert [each.id for each in runs.host.automations] == ["w"]
    assert (await runs.run("w"))[0] == Succeeded(output=b"5")


async def test_an_app_that_breaks_later_fails_its_runs_and_recovers(
    new_runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "FIRST_PAUSE", 0.05)
    file = tmp_path / "app.py"
    file.write_text(GOOD)
    runs = await new_runs(file, warm=1, max_processes=1)
    file.write_text("def broken(:\n")
    first, _ = await runs.run("w")
    began = asyncio.get_running_loop().time()
    second, _ = await asyncio.wait_for(runs.run("w"), 10)
    took = asyncio.get_running_loop().time() - began
    file.write_text(GOOD)
    third, _ = await asyncio.wait_for(runs.run("w"), 10)

    assert isinstance(first, Succeeded)
    assert isinstance(second, Failed)
    assert "SyntaxError" in second.failure.message
    assert took >= 0.05 + 0.1
    assert isinstance(third, Succeeded)


async def test_the_manifest_can_be_printed(apps: Path) -> None:
    told = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-m", "hookline.runners.child", str(apps / "every_way.py"), "--manifest"],
        check=True,
        capture_output=True,
    )

    automations = {each["id"]: each for each in json.loads(told.stdout)}
    assert automations["echo_shared"]["is_shared"]
    assert automations["answer"]["kind"] == "agent"


async def test_the_manifest_lists_what_was_declared(runs: Any) -> None:
    by_id = {each.id: each for each in runs.host.automations}

    assert by_id["late_exit_shared"].description == "Ends the loop from a task that is not the run's own."
    assert by_id["echo"].timeout_ms == 900_000


@pytest.mark.parametrize(
    "settings", [{"warm": 0}, {"shared_processes": 0}, {"recycle_after": 0}, {"warm": 5, "max_processes": 4}]
)
async def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="expected"):
        RunnerSettings(app=None, **settings)
