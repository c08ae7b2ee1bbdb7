"""``hookline doctor``: look at this machine and say what to mend.

Each check answers with one line: ok, note (something that not everybody needs is not there), warn (it works, less
well or less safely) or fail (it will not), and what to do. Checks live in ``hookline.cli.checkup``; this module runs
and prints them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hookline.cli import show
from hookline.cli.options import Json

if TYPE_CHECKING:
    from hookline.cli.finding import Finding

_STYLES = {"ok": "green", "note": "cyan", "warn": "yellow", "fail": "bold red"}


def doctor(*, database: str | None = None, json: Json = False) -> int:
    """Check database, durability, clock, addresses, limits and what runs user code; say what to mend.

    It looks at the settings of its own environment and folder: give it those that the server has.

    Exit code 1 when something will not work. It starts nothing and changes nothing; the disk is measured with
    a temporary file beside the database.

    For example:

    ```
    hookline doctor
    hookline doctor --database postgresql://hookline@db/hookline
    hookline doctor --json
    ```

    Parameters
    ----------
    database
        `sqlite:///FILE` or `postgresql://…`; the setting when not given.
    """
    from hookline.cli.checkup import examine
    from hookline.config import load_settings

    settings = load_settings({"database": database})
    findings = list(examine(settings))
    if json:
        show.as_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    return 1 if any(finding.level == "fail" for finding in findings) else 0


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        grid.add_row(
            Text(finding.level, style=_STYLES[finding.level]),
            Text(finding.subject, style="bold"),
            Text(show.clean(finding.found)),
        )
        if finding.mend:
            grid.add_row("", "", Text(f"→ {show.clean(finding.mend)}", style="dim"))
    show.console().print(grid)
