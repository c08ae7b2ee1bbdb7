"""One SQLite file: the connections to it, the one lock on writing, and when a commit may leave the event loop.

Statements run on the event loop itself: handing each to a thread costs more than it takes (a busy loop and a thread
fight over the interpreter's lock; measured 60 ms a hop against 0.2 ms a commit). Only where the disk is slow to
fsync does COMMIT move to a thread, and the loop goes on meanwhile. Reads have a connection of their own, so they
never see what is not committed.

What this adapter does worse than PostgreSQL: one process, one writer, and a long read holds up the loop. Every read
is therefore bounded, and long work is cut into steps by its caller.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import apsw
import structlog

from hookline import failpoints
from hookline.errors import RowError, SettingError, StorageError
from hookline.stores.rows import to_ms
from hookline.stores.sqlite.lock import FileLock, prepare_folder, unusable
from hookline.stores.sqlite.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hookline.ports import Clock
    from hookline.stores.rows import Row

T = TypeVar("T")

_SLOW_COMMIT_SECONDS: Final = 0.004
"""Mean COMMIT time from which it runs in a thread: longer than that, the loop has better things to do."""

_FAST_COMMIT_SECONDS: Final = 0.002
"""… and below which it comes back."""

_COMMIT_WEIGHT: Final = 0.1
"""Weight of the newest COMMIT in the mean: about the last twenty count."""

_CHECKPOINT_PAGES: Final = 4_000
"""Pages in the log from which it is copied back into the file: 16 MB, so that a restart replays little."""

_LOG_BYTES: Final = 64 * 1024 * 1024
"""What the log file shrinks to when it has grown beyond that (during a backup)."""

_BUSY_MS: Final = 100
"""A foreign tool that locks the file may hold us up this long; then it is an error, never a frozen loop."""

_CACHE_KIB: Final = 16 * 1024
"""Of each connection. With four times as much a delivery costs the same, beside 200,000 that wait, and a node's memory
grows until it is full; what is not here the system's own cache has.
"""
_STATEMENTS: Final = 400

_log = structlog.get_logger("hookline.sqlite")


class Database:
    """One per store. Not open until ``open``; every use before that is a StorageError."""

    def __init__(self, path: Path, *, clock: Clock, migrations: Path) -> None:
        self.path = path.resolve()
        self.clock = clock
        self._migrations = migrations
        self._file_lock = FileLock(self.path)
        self._writing = asyncio.Lock()
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._checkpointer: apsw.Connection | None = None
        self._commit_thread: ThreadPoolExecutor | None = None
        self._checkpoint_thread: ThreadPoolExecutor | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._mean_commit = 0.0
        self._is_threaded = False
        self._log_pages = 0
        self._checkpoint_at = _CHECKPOINT_PAGES
        self._failure = ""
        self.commits = 0

    def __repr__(self) -> str:
        state = "open" if self._writer is not None else "closed"
        return f"Database({str(self.path)!r}, {state}, mean_commit_ms={self._mean_commit * 1000:.2f})"

    # --- life ---

    def open(self) -> None:
        """Take the lock, connect, check durability, migrate. Raises SettingError or StorageError."""
        prepare_folder(self.path)
        self._file_lock.acquire()
        self._failure = ""
        self._log_pages, self._checkpoint_at = 0, _CHECKPOINT_PAGES
        try:
            self._writer = self._connect(apsw.SQLITE_OPEN_READWRITE)
            _make_durable(self._writer)
            migrate(self._writer, self._migrations, at=self.clock.now())
            self._writer.set_wal_hook(self._note_log)
            self._reader = self._connect(apsw.SQLITE_OPEN_READONLY)
            self._checkpointer = self._connect(apsw.SQLITE_OPEN_READWRITE)
            _make_durable(self._checkpointer)
        except apsw.NotADBError as exc:
            self._close_all()
            raise unusable(self.path, "not a SQLite database") from exc
        except apsw.CantOpenError as exc:
            self._close_all()
            raise unusable(self.path, str(exc)) from exc
        except apsw.Error as exc:
            self._close_all()
            raise storage_error(exc) from exc
        except BaseException:
            self._close_all()
            raise

    async def close(self) -> None:
        """Wait for what is being written, copy the log back and let the file go."""
        if self._checkpointing is not None:
            await self._checkpointing
        async with self._writing:
            self._close_all()

    def _close_all(self) -> None:
        for thread in (self._commit_thread, self._checkpoint_thread):
            if thread is not None:
                thread.shutdown(wait=True)
        for connection in (self._reader, self._checkpointer, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._checkpointer = self._writer = None
        self._commit_thread = self._checkpoint_thread = None
        self._file_lock.release()

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=flags, statementcachesize=_STATEMENTS)
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("mmap_size", 0)  # a failing disk is to be an error, not a signal
        connection.pragma("cache_size", -_CACHE_KIB)
        connection.pragma("temp_store", 2)  # sorting never needs another disk
        return connection

    def connect_reader(self) -> apsw.Connection:
        """A connection of its own for work in another thread. The caller closes it."""
        return self._connect(apsw.SQLITE_OPEN_READONLY)

    def now_ms(self) -> int:
        return to_ms(self.clock.now())

    # --- writing ---

    async def write(self, work: Callable[[apsw.Cursor], T]) -> T:
        """Run ``work`` in a transaction of its own, durable when it returns. Writers wait for one another.

        Raises what ``work`` raises, RowError for a row that cannot be stored whatever happens, or StorageError.
        Then nothing of it is stored.
        """
        async with self._writing:
            db = self._writer
            if db is None:
                raise StorageError("The database is not open.")
            if self._failure:
                raise StorageError(self._failure)
            try:
                cursor = db.cursor()
                cursor.execute("BEGIN IMMEDIATE")
                result = work(cursor)
                failpoints.hit("in_transaction")
                await self._commit(db)
            except BaseException as exc:
                failure = self._rolled_back(db, exc)
                if failure is exc:
                    raise
                raise failure from exc
            self.commits += 1
        if self._log_pages >= self._checkpoint_at:
            self._start_checkpoint()
            await asyncio.sleep(
                0
            )  # who commits in a loop that never waits would keep the checkpoint from its turn
        return result

    async def _commit(self, db: apsw.Connection) -> None:
        if self._is_threaded:
            took = await self._commit_in_thread(db)
        else:
            took = _timed_commit(db)
        self._mean_commit += _COMMIT_WEIGHT * (took - self._mean_commit)
        if self._is_threaded:
            self._is_threaded = self._mean_commit > _FAST_COMMIT_SECONDS
        elif self._mean_commit > _SLOW_COMMIT_SECONDS:
            self._is_threaded = True

    async def _commit_in_thread(self, db: apsw.Connection) -> float:
        """COMMIT while the loop goes on. A caller that is cancelled still waits: the lock may not go before."""
        if self._commit_thread is None:
            self._commit_thread = ThreadPoolExecutor(1, thread_name_prefix="hookline-commit")
        done = asyncio.get_running_loop().run_in_executor(self._commit_thread, _timed_commit, db)
        cancelled: asyncio.CancelledError | None = None
        while not done.done():
            try:
                await asyncio.wait((done,))
            except asyncio.CancelledError as exc:
                cancelled = exc
        took = done.result()
        if cancelled is not None:
            raise cancelled
        return took

    def _rolled_back(self, db: apsw.Connection, exc: BaseException) -> BaseException:
        """Undo, and say in our words what went wrong."""
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except apsw.Error as rollback:
                self._failure = storage_error(rollback).message  # the next BEGIN would fail as well
                _log.error("rollback_failed", reason=self._failure)
        if isinstance(exc, apsw.Error):
            failure = storage_error(exc)
            if _is_final(exc):
                self._failure = failure.message
                _log.error("database_failed", reason=failure.message)
            return failure
        if isinstance(exc, (TypeError, OverflowError, UnicodeError)):
            return RowError(f"The database cannot hold a value of this write: {type(exc).__name__}.")
        return exc

    # --- reading ---

    def read(self, sql: str, bindings: Row = ()) -> list[Row]:
        """All rows of a bounded query, as of the last commit. Raises StorageError."""
        if self._reader is None:
            raise StorageError("The database is not open.")
        try:
            return self._reader.execute(sql, bindings).fetchall()
        except apsw.Error as exc:
            raise storage_error(exc) from exc

    def read_one(self, sql: str, bindings: Row = ()) -> Row | None:
        rows = self.read(sql, bindings)
        return rows[0] if rows else None

    # --- the write-ahead log ---

    def _note_log(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _start_checkpoint(self) -> None:
        if self._checkpointing is None or self._checkpointing.done():
            self._checkpointing = asyncio.create_task(self._checkpoint(), name="checkpoint")

    async def _checkpoint(self) -> None:
        """Copy the log back into the file: the bulk in a thread while commits go on, then what these added, alone.

        Only when the log is copied to its end and nobody writes does SQLite begin it anew; without the second step
        a busy writer would let it grow for ever.
        """
        if self._checkpoint_thread is None:
            self._checkpoint_thread = ThreadPoolExecutor(1, thread_name_prefix="hookline-checkpoint")
        try:
            await asyncio.get_running_loop().run_in_executor(self._checkpoint_thread, self._copy_log_back)
            async with self._writing:
                size, copied = self._copy_log_back()
        except Exception:  # noqa: BLE001 -- whatever it was, the log stays as it is and nothing in it is lost
            _log.exception("checkpoint_failed")
            size, copied = self._log_pages, 0
        # A reader (a backup) keeps the log from starting anew: come back when it has grown as much again.
        self._checkpoint_at = _CHECKPOINT_PAGES + (0 if copied >= size else size)

    def _copy_log_back(self) -> tuple[int, int]:
        if self._checkpointer is None:
            return 0, 0
        failpoints.hit("in_checkpoint")
        size, copied = self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return size, copied


def _timed_commit(db: apsw.Connection) -> float:
    began = time.perf_counter()
    db.execute("COMMIT")
    return time.perf_counter() - began


def _make_durable(db: apsw.Connection) -> None:
    """An fsync on every commit, and nothing less. Raises SettingError when SQLite does not agree."""
    wanted: tuple[tuple[str, Any, Any], ...] = (("journal_mode", "wal", "wal"), ("synchronous", "full", 2))
    for name, value, expected in wanted:
        db.pragma(name, value)
        got = db.pragma(name)
        if got != expected:
            raise SettingError(
                f"The database must run with {name}={value}, got {got}: this disk or file system cannot keep what "
                "is acknowledged.",
                field="database",
                expected=f"{name}={value}",
                received=str(got),
            )
    db.pragma("wal_autocheckpoint", 0)  # done beside the commits, see Database._checkpoint
    db.pragma("journal_size_limit", _LOG_BYTES)


_ROW_ERRORS: Final = (
    apsw.ConstraintError,
    apsw.TooBigError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.BindingsError,
)
_FINAL_ERRORS: Final = (apsw.CorruptError, apsw.NotADBError)
_FINAL_CODES: Final = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})

_REASONS: Final = {
    apsw.SQLITE_FULL: "the disk is full",
    apsw.SQLITE_IOERR: "the disk failed",
    apsw.SQLITE_READONLY: "the file cannot be written",
    apsw.SQLITE_BUSY: "another program locks the file",
    apsw.SQLITE_LOCKED: "another program locks the file",
    apsw.SQLITE_CORRUPT: "the file is damaged",
    apsw.SQLITE_NOTADB: "the file is damaged",
    apsw.SQLITE_CANTOPEN: "the file cannot be opened",
    apsw.SQLITE_NOMEM: "memory ran out",
}


def storage_error(exc: apsw.Error) -> StorageError:
    """SQLite's error in our words, with SQLite's name for it; never with a value of a row."""
    extended: int = getattr(exc, "extendedresult", 0)
    result: int = getattr(exc, "result", 0)
    name = str(apsw.mapping_extended_result_codes.get(extended) or apsw.mapping_result_codes.get(result, ""))
    name = name or type(exc).__name__
    if isinstance(exc, _ROW_ERRORS):
        return RowError(f"The database refuses this write ({name}).")
    reason = _REASONS.get(result, "the database failed")
    return StorageError(f"Nothing was stored: {reason} ({name}).")


def _is_final(exc: apsw.Error) -> bool:
    """After a failed fsync nobody knows what is on the disk: only a restart, which reads it anew, can go on."""
    return isinstance(exc, _FINAL_ERRORS) or getattr(exc, "extendedresult", 0) in _FINAL_CODES
