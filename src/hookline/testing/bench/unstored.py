"""The same server without its store's promise: it takes a trigger's request all the way and answers, storing nothing.

``python -m hookline.testing.bench.unstored serve …`` runs the usual command line with one change: an accepted request
is answered at once. What ``trigger-only`` is compared with. It refuses any database but a benchmark's own.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

from hookline.engine.commit import Committer
from hookline.engine.execute import Executor
from hookline.ports import Accept

if TYPE_CHECKING:
    from hookline.engine.commit import Done
    from hookline.model.executions import Automation
    from hookline.ports import Result, Write

_OURS: Final = re.compile(r"hookline[-_]bench")


def store_nothing() -> None:
    """Answer an accepted request without a commit; and run nothing, since there is nothing to run."""
    commit = Committer.commit

    async def unstored(self: Committer, write: Write, *, after: Done | None = None) -> Result:
        if not isinstance(write, Accept):
            return await commit(self, write, after=after)
        if after is not None:
            after(True)
        return True

    def nothing(self: Executor, automation: Automation | None) -> bool:  # noqa: ARG001
        return False

    Committer.commit = unstored  # type: ignore[method-assign]
    Executor.reserve = nothing  # type: ignore[method-assign]


def main() -> None:
    """Change this process and run the command line."""
    if not _OURS.search(os.environ.get("HOOKLINE_DATABASE", "")):
        sys.exit("A server that stores nothing runs on a benchmark's own database only.")
    store_nothing()
    from hookline.cli import main as command_line

    command_line(sys.argv[1:])


if __name__ == "__main__":
    main()
