#!/usr/bin/env python3
"""Check everything, on a machine that has nothing but Python 3.11 or later.

Makes ``.venv-check`` here with every extra and test tool at the versions of ``constraints.txt``, then
audits what is installed (``scripts/audit.py``), lints, checks formatting, types, import directions and
that the tests of the rules take every branch of them, and runs all tests. The last line is pytest's
summary; the exit code is 0 only if everything passed.

    python3 scripts/check.py            # everything but kill loops and loads
    python3 scripts/check.py --long     # everything
    python3 scripts/check.py --fast     # without the tests marked slow, too
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-check"
BIN = VENV / "bin"
STAMP = VENV / "installed"

PROGRAMS = {
    "curl": "curl",
    "node": "nodejs",
    "chromium": "chromium",
    "openssl": "openssl",
    "strace": "strace",
    "pgbouncer": "pgbouncer",
    "nginx": "nginx-light",
}
"""What tests run beside Python, and the Debian package that has it. Without one, its tests are skipped, and say so."""

STEPS = (
    ("lint", ["ruff", "check", "--quiet"]),
    ("format", ["ruff", "format", "--check", "--quiet"]),
    ("types", ["mypy"]),
    ("imports", ["lint-imports"]),
    (
        "rules",
        ["coverage", "run", "-m", "pytest", "-q", "tests/unit/core", "tests/unit/dialects", "tests/property"],
    ),
    ("branches", ["coverage", "report"]),  # of the rules, by their own tests: pyproject.toml says how many
)


def main() -> int:
    """Run every step and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow, too")
    parser.add_argument("--long", action="store_true", help="run kill loops and loads, too")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 -- this file is run by whatever python3 is there
        print(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if install_programs():
        os.environ["HOOKLINE_TEST_PROGRAMS"] = "all"  # then none may be missing: tests/support/programs.py
    install()
    audit = subprocess.Popen([BIN / "python", "scripts/audit.py"], cwd=ROOT)  # it mostly waits for a service
    failed = [name for name, command in STEPS if not run(name, command)]
    if audit.wait():
        failed.append("audit")
    if failed:
        print(f"failed before the tests: {', '.join(failed)}", flush=True)
    left_out = ["slow"] * arguments.fast + ["long"] * (not arguments.long)
    selection = ["-m", " and ".join(f"not {mark}" for mark in left_out)] if left_out else []
    # Tests wait as much as they compute, so one process more than two cores have; more would upset those that
    # measure time.
    workers = ["-n", "3", "--dist", "worksteal", "--durations", "25"]
    tests = subprocess.run([BIN / "pytest", *workers, *selection], cwd=ROOT, check=False)
    if tests.returncode == 1:
        # Some tests measure time, and their neighbours share the cores: what failed is run once more, alone.
        print("what failed is run once more, one test at a time", flush=True)
        tests = subprocess.run([BIN / "pytest", "-q", "--last-failed", *selection], cwd=ROOT, check=False)
    return 1 if failed else tests.returncode


def install_programs() -> bool:
    """Install the programs that are missing, where we may. Returns whether all are here now."""
    missing = [package for program, package in PROGRAMS.items() if not found(program)]
    if missing and may_install():
        began = time.monotonic()
        with suppress(subprocess.CalledProcessError):
            apt_install(*missing)
            print(f"programs done in {time.monotonic() - began:.0f} s: {', '.join(missing)}", flush=True)
            return True
    if missing:
        print(f"not installed, so some tests are skipped: {', '.join(missing)}", flush=True)
    return not missing


def found(program: str) -> bool:
    """Say whether a program is here, a server's included, whose folder not every user searches."""
    return (shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")) is not None


def may_install() -> bool:
    """Say whether this is Debian or like it, and we are its administrator."""
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def apt_install(*packages: str) -> None:
    """Install Debian packages, without a question."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet, stdout=subprocess.DEVNULL)
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=quiet, stdout=subprocess.DEVNULL)


def install() -> None:
    """Make the environment, or keep it when nothing that it depends on has changed."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    began = time.monotonic()
    shutil.rmtree(VENV, ignore_errors=True)
    make_venv()
    subprocess.run(
        [
            *(BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--constraint", ROOT / "constraints.txt", "--editable", f"{ROOT}[all,test]"),
        ],
        check=True,
    )
    STAMP.write_text(wanted)
    print(f"install  done in {time.monotonic() - began:.0f} s", flush=True)


def make_venv() -> None:
    """Make a virtual environment; Debian keeps a part of it in a package of its own."""
    command = [sys.executable, "-m", "venv", str(VENV)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return
    if not may_install():
        sys.exit("python3 -m venv does not work here: install the package python3-venv, then run this again")
    apt_install("python3-venv")
    subprocess.run(command, check=True)


def fingerprint() -> str:
    """Return what the environment was made from."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def run(name: str, command: list[str]) -> bool:
    """Run one tool; its output is shown only when it fails."""
    began = time.monotonic()
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    passed = done.returncode == 0
    print(f"{name:<8} {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    if not passed:
        print(done.stdout + done.stderr, flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
