"""The command line: names every command and imports none of them until it is used.

Commands speak HTTP to a running server; only ``serve``, ``demo``, ``bench`` and ``crashtest`` start one. Text
for people goes to the terminal, ``--json`` prints one value for programs, and every error says the next step.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from cyclopts import App, Group, Parameter

from hookline import __version__
from hookline.errors import HooklineError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN = Group.create_ordered("Run it")
_WORK = Group.create_ordered("Work with it (speaks to a running server)")
_TRUST = Group.create_ordered("Check it")
_OPTIONS = Group.create_ordered("Options")

COMMANDS: Final = (
    ("serve", "serve:serve", _RUN, "Run a server: one process, one file."),
    ("demo", "demo:demo", _RUN, "Watch the whole path once, with a kill -9 in the middle."),
    ("trigger", "trigger:trigger", _WORK, "Run an automation and print what it answers."),
    ("events", "events:app", _WORK, "Publish, list and follow events."),
    (
        "listen",
        "listen:listen",
        _WORK,
        "Send events to a program on this machine, signed, while you write it.",
    ),
    ("webhooks", "webhooks:app", _WORK, "Say which events go to which URL."),
    ("deliveries", "deliveries:app", _WORK, "See what was sent, and send it again."),
    ("alerts", "alerts:app", _WORK, "See which webhooks are in trouble."),
    ("mail", "mail:app", _WORK, "Try the mail server that alerts go through."),
    ("explain", "explain:explain", _WORK, "Say what became of an event or a run, and why."),
    ("executions", "executions:app", _WORK, "See, cancel, resume and repeat runs."),
    ("conversations", "conversations:app", _WORK, "Talk with agents, and see what was said."),
    ("scripts", "scripts:app", _WORK, "Store Python and JavaScript for script agents."),
    ("script-agents", "script_agents:app", _WORK, "Launch stored scripts."),
    ("robots", "robots:app", _WORK, "Run recordings of Maxun's in a browser."),
    ("jobs", "jobs:app", _WORK, "Render movies to videos."),
    ("integrations", "integrations:app", _WORK, "See the integrations that your app declares."),
    ("instances", "instances:app", _WORK, "Deploy an integration for your customers."),
    ("triggers", "triggers:app", _WORK, "URLs that start something, and what came in on them."),
    ("migrate", "migrate:migrate", _WORK, "Take over webhooks from Svix, Convoy or n8n."),
    ("requests", "requests:app", _WORK, "See what came in, why it was refused, and route it again."),
    ("capture", "capture:capture", _WORK, "Make a test of a request that came in."),
    ("keys", "keys:app", _WORK, "Create, list and revoke API keys."),
    ("orgs", "orgs:app", _WORK, "One organization for each of your customers."),
    ("backup", "backup:backup", _WORK, "Copy the database while it is in use."),
    ("verify", "verify:verify", _TRUST, "Check a captured request's signature, and say why it fails."),
    ("doctor", "doctor:doctor", _TRUST, "Check this machine and say what to mend."),
    ("crashtest", "measure:crashtest", _TRUST, "Kill the server over and over, and count what is lost."),
    ("bench", "measure:bench", _TRUST, "Measure speed on this machine, beside a bare relay."),
)
"""Name, place in this package, group and one line of help of each command."""

EVERY: Final = "*"

_HELP = """Webhooks in, work done, webhooks out, without losing one.

First steps: `hookline demo` shows everything; `hookline serve` starts a server; `hookline COMMAND --help`
has examples."""


def _worth_showing(default: object) -> str | None:
    """Return a default as the help shows it, None for one that says nothing."""
    if default is False or default is None or default == "":
        return None
    return ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def build(called: str | None = None) -> App:
    """Return the command line with every command named and none imported.

    called: the command about to run (or EVERY): its help is its own docstring, with examples, not one line.
    """
    app = App(
        name="hookline",
        help=_HELP,
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(negative="", show_default=_worth_showing),
    )
    app["--help"].group = app["--version"].group = _OPTIONS
    for name, place, group, line in COMMANDS:
        own = None if called in {name, EVERY} else line
        app.command(f"hookline.cli.{place}", name=name, group=group, help=own)
    app.register_install_completion_command(group=_OPTIONS)
    return app


def _expected(error: HooklineError) -> str:
    """Return what should have stood where an option or a file is wrong; empty where the message says all."""
    if not isinstance(error, InputError) or error.field is None or error.expected is None:
        return ""
    got = "" if error.received is None else f", got {error.received}"
    return f" ({error.field}: expected {error.expected}{got})"


def _leave(number: int, _frame: object) -> None:
    """Unwind on a signal as on an error: what a command has started, such as servers to measure, ends with it."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: 0 done, 1 it failed, 2 asked for wrongly, 130 interrupted, 143
    terminated.

    arguments: None for those of this process, which then is the command's alone.
    """
    if arguments is None:
        signal.signal(signal.SIGTERM, _leave)  # a server puts its own in place of it
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build(given[0] if given else None)(given)
    except HooklineError as error:
        print(f"hookline: {error.message}{_expected(error)}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (`| head`); let nothing try to write to it again.
        sys.stdout = None
        sys.exit(1)
