"""Become an unprivileged user and turn into the browser: a program of its own, not to be imported.

    python -I enter.py USER CHROMIUM ARGUMENTS…

USER is a number, or ``-`` to stay. Playwright starts this where it would start the browser, so it keeps the process
id and the pipes. The browser dies with whoever started it, gains no privileges and writes no core file. Its profile
was made by a user that it no longer is, so that is given to it first. Nothing but the standard library is imported:
the interpreter itself may be out of the unprivileged user's reach.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PROFILE = "--user-data-dir="


def main(arguments: list[str]) -> None:
    """Never returns."""
    user, program, *rest = arguments
    if user != "-":
        number = int(user)
        for option in rest:
            if option.startswith(PROFILE):
                os.chown(option.removeprefix(PROFILE), number, number)
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = ctypes.CDLL(None).prctl
    # A setuid helper is the browser's other way to a sandbox; only who gave up all privileges can do without.
    if user != "-":
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the change of user, which would take it away again.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(program, [program, *rest])  # noqa: S606 -- the program is the operator's setting, and there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
