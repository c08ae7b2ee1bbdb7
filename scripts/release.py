#!/usr/bin/env python3
"""Build what is released, and try it as a user gets it: in a fresh environment, away from this folder.

Makes ``dist/`` with the wheel, the source distribution and the bill of materials, and fails when the version and the
changelog disagree, when a file is missing or too many, when an extra cannot be resolved, or when ``hookline demo``
does not pass with the wheel. Publishes nothing.

    python3 scripts/release.py            # everything
    python3 scripts/release.py --final    # and the changelog's top version must be dated, and its tag be free
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
PACKAGE = "src/hookline/"
BUILD = "build==1.6.1"
BESIDE = {"CHANGELOG.md", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
MADE = {"PKG-INFO", ".gitignore"}
"""What the source distribution has besides, by its tool."""


def main() -> int:
    """Run every step; a failed one ends it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--final", action="store_true", help="check that it can be tagged")
    given = parser.parse_args()
    version = check_version(is_final=given.final)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel, source = build(place / "tools")
        problems = [*check_wheel(wheel), *check_source(source)]
        if problems:
            sys.exit("\n".join(problems))
        print(f"files    {wheel.name} and {source.name} hold the package and nothing else", flush=True)
        try_out(wheel, place, version)
        check_extras(wheel, place)
        audit = [
            sys.executable,
            ROOT / "scripts" / "audit.py",
            "--python",
            place / "fresh" / "bin" / "python",
        ]
        return subprocess.run(audit, check=False).returncode


def check_version(*, is_final: bool) -> str:
    """Return the version, on which the package and the top of the changelog agree."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    code = re.search(r'^__version__ = "(.+)"$', (ROOT / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    top = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if code is None or top is None or not version == code[1] == top[1]:
        sys.exit(f"pyproject.toml, hookline.__version__ and the top of CHANGELOG.md must agree on {version}")
    if is_final and re.fullmatch(r"\d{4}-\d\d-\d\d", top[2]) is None:
        sys.exit(f"the top of CHANGELOG.md must have a date, got {top[2]}")
    if is_final and run("git", "tag", "--list", f"v{version}", place=ROOT):
        sys.exit(f"v{version} is tagged already")
    print(f"version  {version} ({top[2]})", flush=True)
    return version


def build(tools: Path) -> tuple[Path, Path]:
    """Return the wheel, which is built from the source distribution, and that."""
    make_venv(tools, BUILD)
    for old in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
        old.unlink()
    run(tools / "bin" / "python", "-m", "build", "--outdir", DIST, ROOT)
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, source


def tracked() -> set[str]:
    """Return the files of the package that are in the repository."""
    return set(run("git", "ls-files", PACKAGE, place=ROOT).splitlines())


def check_wheel(wheel: Path) -> list[str]:
    """Return what is wrong with the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    has = {f"src/{name}" for name in names if ".dist-info/" not in name}
    wrong = differences(wheel.name, has, tracked())
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        wrong.append(f"{wheel.name}: no LICENSE")
    return wrong


def check_source(source: Path) -> list[str]:
    """Return what is wrong with the files of a source distribution."""
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return differences(source.name, names - MADE, tracked() | BESIDE)


def differences(where: str, has: set[str], wanted: set[str]) -> list[str]:
    return [f"{where}: {name} is missing" for name in sorted(wanted - has)] + [
        f"{where}: {name} does not belong there" for name in sorted(has - wanted)
    ]


def try_out(wheel: Path, place: Path, version: str) -> None:
    """Install the wheel alone and run it from an empty folder."""
    make_venv(place / "fresh", str(wheel), "--constraint", str(ROOT / "constraints.txt"))
    empty = place / "empty"
    empty.mkdir()
    hookline = place / "fresh" / "bin" / "hookline"
    if run(hookline, "--version", place=empty) != version:
        sys.exit(f"the installed hookline is not {version}")
    print(f"demo     {run(hookline, 'demo', place=empty).splitlines()[-3]}", flush=True)
    if any(empty.iterdir()):
        sys.exit("hookline demo left files behind")


def check_extras(wheel: Path, place: Path) -> None:
    """Resolve every extra, without installing it."""
    extras = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for extra in extras:
        run(*pip(place / "fresh"), "--dry-run", "--constraint", ROOT / "constraints.txt", f"{wheel}[{extra}]")
    print(f"extras   {' '.join(extras)} can be installed", flush=True)


def make_venv(folder: Path, *packages: str) -> None:
    run(sys.executable, "-m", "venv", folder)
    run(*pip(folder), *packages)


def pip(folder: Path) -> list[str | Path]:
    return [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def run(*command: str | Path, place: Path | None = None) -> str:
    """Return what a program printed; what fails ends us, with what it said."""
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
