"""Engines that are broken on purpose: the crash test must catch each of them, or it proves nothing.

``python -m hookline.testing.crashtest.broken MODE serve …`` breaks this process in one way and then runs the usual
command line. It refuses any database but a crash test's own. The four modes are those of PROMISES section 4, point
7; ``power_loss`` breaks nothing: it is the whole engine on a disk that forgets what was not synced.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.engine.commit import Committer
from hookline.model.states import AttemptOutcome, DeliveryState
from hookline.ports import Accept, Publish, Published, Reopen, Settle
from hookline.ports.sender import Answer
from hookline.senders.http import HttpSender

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.engine.commit import Done
    from hookline.model.ids import Key
    from hookline.ports import Result, Write
    from hookline.ports.sender import Outgoing

_GAP_SECONDS: Final = 0.05
"""How long each wrong order of two steps lasts: long enough for a kill to land in it now and then."""

_OURS: Final = re.compile(r"hookline[-_]crashtest")
_background: set[asyncio.Task[Any]] = set()


def _later(work: Callable[[], Any]) -> None:
    async def run() -> None:
        await asyncio.sleep(_GAP_SECONDS)
        done = work()
        if asyncio.iscoroutine(done):
            await done

    task = asyncio.create_task(run())
    _background.add(task)
    task.add_done_callback(_background.discard)


def ack_before_commit() -> None:
    """Say 2xx at once, store a little later."""
    commit = Committer.commit

    async def broken(self: Committer, write: Write, *, after: Done | None = None) -> Result:
        if not isinstance(write, Publish | Accept):
            return await commit(self, write, after=after)
        _later(partial(commit, self, write, after=after))
        return Published(tuple(True for _ in write.events)) if isinstance(write, Publish) else True

    Committer.commit = broken  # type: ignore[method-assign]


def delete_before_reinsert() -> None:
    """Take a delivery that must be tried again out of the queue, and put it back a little later."""
    post = Committer.post
    organizations: dict[Key, Key] = {}

    def broken(self: Committer, write: Write, done: Done) -> None:
        if isinstance(write, Publish | Accept):
            for event in write.events:
                organizations.update({one.webhook_id: one.organization_id for one in event.deliveries})
        if (
            not isinstance(write, Settle)
            or write.state is not DeliveryState.PENDING
            or write.webhook_id not in organizations
        ):
            post(self, write, done)
            return
        reopen = Reopen(
            organization_id=organizations[write.webhook_id],
            delivery_id=write.delivery_id,
            lane=write.lane,
            at=write.next_attempt_at or write.at,
        )
        gone = msgspec.structs.replace(write, state=DeliveryState.CANCELLED, next_attempt_at=None)
        post(self, gone, lambda result: _later(lambda: post(self, reopen, lambda _: done(result))))

    Committer.post = broken  # type: ignore[method-assign]


def record_before_send() -> None:
    """Record every delivery as delivered, send it a little later and look at no answer."""
    send = HttpSender.send

    async def broken(self: HttpSender, request: Outgoing) -> Answer:
        _later(partial(send, self, request))
        return Answer(outcome=AttemptOutcome.DELIVERED, status=200)

    HttpSender.send = broken  # type: ignore[method-assign]


def no_fsync() -> None:
    """Commit without waiting for the disk, on either store."""
    from hookline.testing.crashtest.powerloss import PowerLossVfs

    _kept.append(PowerLossVfs(is_honest=False))
    try:
        import hookline.stores.postgres.store  # noqa: F401 -- all that holds the names replaced below is loaded
        from hookline.stores.postgres import connection
    except ImportError:
        return  # a plain install has no PostgreSQL
    connect = connection.Door.connect

    async def careless(self: connection.Door, *arguments: Any) -> Any:
        link = await connect(self, *arguments)
        await link.execute("SET synchronous_commit = off")
        return link

    async def unchecked(link: Any, *, is_relaxed: bool) -> None:
        """A broken engine does not look."""

    checked = connection.check_durability
    connection.Door.connect = careless  # type: ignore[method-assign, assignment]
    for module in tuple(sys.modules.values()):
        if getattr(module, "check_durability", None) is checked:
            vars(module)["check_durability"] = unchecked


def power_loss() -> None:
    """Nothing is broken but the power."""
    from hookline.testing.crashtest.powerloss import PowerLossVfs

    _kept.append(PowerLossVfs(is_honest=True))


_kept: list[object] = []
"""SQLite keeps no reference to a file system; it must not be collected while it is in use."""

MODES: Final = {
    "ack_before_commit": ack_before_commit,
    "delete_before_reinsert": delete_before_reinsert,
    "record_before_send": record_before_send,
    "no_fsync": no_fsync,
    "power_loss": power_loss,
}
BROKEN: Final = tuple(mode for mode in MODES if mode != "power_loss")


def main() -> None:
    """Break this process and run the command line."""
    mode, *arguments = sys.argv[1:]
    if not _OURS.search(os.environ.get("HOOKLINE_DATABASE", "")):
        sys.exit("A broken engine runs on a crash test's own database only.")
    MODES[mode]()
    from hookline.cli import main as command_line

    command_line(arguments)


if __name__ == "__main__":
    main()
