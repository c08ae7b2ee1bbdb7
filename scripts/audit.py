#!/usr/bin/env python3
"""Say what Hookline is made of, and whether anything of it is known to be vulnerable.

Writes a bill of materials (CycloneDX, JSON) of an environment, and asks the vulnerability service of PyPI about each
package that Hookline needs with all its extras. Fails only for a vulnerability that is known: a service that cannot be
reached, or knows nothing of what it is asked, is said and fails nothing, because a build must not depend on it.

Its tools live in an environment of their own, .venv-audit.

    python3 scripts/audit.py                                 # of .venv-check, which scripts/check.py made
    python3 scripts/audit.py --python PYTHON --bom FILE      # of another environment
    python3 scripts/audit.py --osv URL                       # asks a service that speaks OSV's protocol instead
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHECKED = ROOT / ".venv-check" / "bin" / "python"
BOM = ROOT / "dist" / "hookline.cdx.json"

TOOLS = ROOT / ".venv-audit"
PINNED = ("pip-audit==2.10.1", "cyclonedx-bom==7.5.0")

PATIENCE_SECONDS = 90
"""For all packages together: a service that drops packets must not hold up a build."""

ACCEPTED: dict[str, str] = {}
"""Ids of vulnerabilities that do not concern us, each with the reason."""


def main() -> int:
    """Return 1 for a known vulnerability, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, default=CHECKED, help="the environment that is looked at")
    parser.add_argument("--bom", type=Path, default=BOM, help="where the bill of materials goes")
    parser.add_argument("--osv", metavar="URL", help="where OSV's protocol is spoken, such as a mirror")
    given = parser.parse_args()
    make_tools()
    print(f"bill     {write_bom(given.python, given.bom)} components in {given.bom}", flush=True)
    text, is_bad = verdict(ask(needed(given.python), osv=given.osv))
    print(f"audit    {text}", flush=True)
    return int(is_bad)


def make_tools() -> None:
    """Make the environment of the tools, or keep it when it has what is wanted. One process at a time."""
    stamp = TOOLS / "installed"
    with TOOLS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == "\n".join(PINNED):
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(TOOLS)], check=True)
        pip = [TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))


def needed(python: Path) -> list[str]:
    """Return what Hookline needs with all extras, as far as it is installed there: ``name==version``."""
    done = subprocess.run([python, "-c", _NEEDED], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def write_bom(python: Path, target: Path) -> int:
    """Write the bill of materials of an environment; return how many components it names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [TOOLS / "bin" / "cyclonedx-py", "environment", "--output-reproducible", "--of", "JSON"]
    command += ["--pyproject", ROOT / "pyproject.toml", "-o", target, python]
    subprocess.run(command, check=True, capture_output=True)
    return len(json.loads(target.read_text())["components"])


def ask(packages: list[str], *, osv: str | None = None) -> dict[str, Any] | str:
    """Return what the audit says of each package, or why there is none. osv: asked instead of PyPI."""
    command = [
        TOOLS / "bin" / "pip-audit",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "10",
    ]
    command += ["--disable-pip", "--no-deps", "--requirement", "/dev/stdin"]
    command += [] if osv is None else ["--vulnerability-service", "osv", "--osv-url", osv]
    try:
        done = subprocess.run(
            command,
            input="\n".join(packages),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {PATIENCE_SECONDS} s"
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return found


def verdict(found: dict[str, Any] | str) -> tuple[str, bool]:
    """Word an audit, and say whether it is a failure. found: as ``ask`` returns it."""
    if isinstance(found, str):
        return f"not made, the vulnerability service cannot be reached: {found}", False
    packages = found["dependencies"]
    bad = [
        f"{package['name']} {package['version']}: {known['id']}, "
        f"fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for package in packages
        for known in package.get("vulns", ())
        if not ACCEPTED.keys() & {known["id"], *known.get("aliases", ())}
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if bad:
        return "FAILED: " + "; ".join(bad), True
    if len(unknown) == len(packages):
        return "not made: what answers for the vulnerability service knows none of these packages", False
    rest = f", {len(unknown)} unknown to it: {', '.join(unknown)}" if unknown else ""
    return f"nothing known against {len(packages) - len(unknown)} packages{rest}", False


_NEEDED = r"""
import re
from importlib.metadata import PackageNotFoundError, distribution

found, waiting = {}, [("hookline", {"all"})]
while waiting:
    name, extras = waiting.pop()
    try:
        has = distribution(name)
    except PackageNotFoundError:
        continue  # of another platform
    known = found.setdefault(has.name, set())
    if has.name in known and extras <= known:
        continue
    known |= {has.name, *extras}
    for line in has.requires or ():
        wanted = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]*)\])?", line)
        condition = re.search(r"extra *== *['\"]([^'\"]+)", line)
        if condition is None or condition[1] in extras:
            more = filter(None, (wanted[2] or "").replace(" ", "").split(","))
            waiting.append((wanted[1], set(more)))
for name in sorted(found):
    if name != "hookline":
        print(f"{name}=={distribution(name).version}")
"""

if __name__ == "__main__":
    sys.exit(main())
