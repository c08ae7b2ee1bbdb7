"""Connections that mend themselves, and the one place where asyncpg's exceptions get our names.

While the server is away every use of a link fails at once with StorageError: a background task tries again, with a
pause that grows and is drawn at random, so that many nodes do not return in one instant. A connection whose state is
unknown (cut, timed out, cancelled in the middle) is thrown away, never used again. No message carries credentials.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import msgspec

from hookline.errors import RowError, SettingError, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

CONNECT_SECONDS: Final = 2.0
"""A server that does not answer for this long is away."""

COMMAND_SECONDS: Final = 3.0
"""For one statement, COMMIT's fsync included: a disk slower than that cannot carry the load anyway."""

READ_MS: Final = 5_000
"""The server ends a caller's read after this, so that no search can hold a connection for long."""

SWEEP_SECONDS: Final = 120.0
"""For one statement of retention: the first search after a month's pause reads much."""

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0

_LEFT_SECONDS: Final = 1.0
"""How long the next caller waits for a connection in place of one whose caller was cancelled; usually some ms."""
_OLDEST_SERVER: Final = 150_000

# A stopped node (SIGSTOP, VM pause) must not hold its locks, nor the feed of all others, for longer than this:
# less than a command may take, so that whoever waits for such a lock gets it.
IDLE_TRANSACTION_MS: Final = 2_000

# Plans are kept for the life of a connection and may be made while a table is still empty; these keep them on the
# indexes from the first row on. Hash joins of two small argument lists are lost with it, which costs microseconds.
_WRITER_SETTINGS: Final = (
    "SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    f"SET idle_in_transaction_session_timeout = {IDLE_TRANSACTION_MS}"
)
_READER_SETTINGS: Final = f"SET jit = off; SET statement_timeout = {READ_MS}"

# SQLSTATE classes that speak of the server, not of the row: connection, transaction state, conflict of
# transactions, resources, operator's orders, system and internal errors.
_SERVER_CLASSES: Final = frozenset({"08", "25", "40", "53", "55", "57", "58", "F0", "XX"})
# After these the session is over or of no use (a demoted primary only reads).
_LOST_CLASSES: Final = frozenset({"08", "25", "57", "58", "F0", "XX"})
_QUERY_CANCELED: Final = "57014"
_RETRIED: Final = frozenset({"40001", "40P01"})

_DURABILITY: Final = """
    SELECT current_setting('server_version_num')::int AS version, current_setting('fsync') AS fsync,
           current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit
"""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect. dsn: what asyncpg takes.  is_shared: a pooler gives each transaction another session, so that
    nothing is prepared or set.
    """

    dsn: str
    statement_cache: int
    is_relaxed: bool
    is_shared: bool = False
    connect_seconds: float = CONNECT_SECONDS
    command_seconds: float = COMMAND_SECONDS

    def __repr__(self) -> str:
        return "Door()"  # the DSN carries a password

    async def connect(self, settings: str, command_seconds: float) -> Connection:
        """A connection with these settings. Raises StorageError."""
        try:
            connection = await asyncpg.connect(
                self.dsn,
                timeout=self.connect_seconds,
                command_timeout=command_seconds,
                statement_cache_size=0 if self.is_shared else self.statement_cache,
                server_settings={"application_name": "hookline"},
            )
        except asyncpg.ClientConfigurationError as exc:
            raise SettingError("The database URL is not one PostgreSQL knows.", field="database") from exc
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
            raise StorageError(f"PostgreSQL refuses to connect ({type(exc).__name__}).") from exc
        if self.is_shared:
            return connection
        try:
            with renamed():
                await connection.execute(settings + (";" + _durable(is_relaxed=self.is_relaxed)))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def writer(self) -> Connection:
        return await self.connect(_WRITER_SETTINGS, self.command_seconds)

    async def reader(self) -> Connection:
        return await self.connect(_READER_SETTINGS, READ_MS / 1000 + 1)

    async def visitor(self) -> Connection:
        """As it is, with nothing set: who answers is to be found out first."""
        return await msgspec.structs.replace(self, is_shared=True).connect("", self.command_seconds)

    async def sweeper(self) -> Connection:
        """For retention, which may search for long and locks nothing that others wait for."""
        return await self.connect("SET jit = off", SWEEP_SECONDS)


def door(url: str, *, is_relaxed: bool, is_shared: bool = False) -> Door:
    """Read the URL. Its option ``statement_cache_size`` is ours, all others are asyncpg's."""
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    cache = next((value for name, value in options if name == "statement_cache_size"), "100")
    if not cache.isdecimal():
        raise SettingError(
            f"The database URL's statement_cache_size must be a whole number, got {cache!r}.",
            field="database",
        )
    query = urlencode([(name, value) for name, value in options if name != "statement_cache_size"])
    return Door(
        dsn=urlunsplit(parts._replace(query=query)),
        statement_cache=int(cache),
        is_relaxed=is_relaxed,
        is_shared=is_shared,
    )


def _durable(*, is_relaxed: bool) -> str:
    """SQL that lifts the session to synchronous_commit=on; remote_apply asks for more than on and stays."""
    if is_relaxed:
        return "SELECT"
    return (
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
    )


async def check_durability(connection: Connection, *, is_relaxed: bool) -> None:
    """Raises SettingError for a server that is too old or may lose what it acknowledged."""
    with renamed():
        row = await connection.fetchrow(_DURABILITY)
    assert row is not None
    if row["version"] < _OLDEST_SERVER:
        raise _unfit("server_version", "15 or newer", str(row["version"] // 10_000))
    if is_relaxed:
        return
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            raise _unfit(name, "on", row[name])
    if row["synchronous_commit"] not in {"on", "remote_apply"}:
        raise _unfit("synchronous_commit", "on", row["synchronous_commit"])


def _unfit(name: str, expected: str, received: str) -> SettingError:
    return SettingError(
        f"PostgreSQL's {name} must be {expected}, got {received}.",
        field="database",
        expected=expected,
        received=received,
    )


# --- errors -------------------------------------------------------------------------------------------------


class renamed:  # noqa: N801 -- reads as a word of the with statement; a class is 3 us cheaper than a generator
    """Turns whatever asyncpg raises inside into StorageError, or RowError when the row itself is refused."""

    __slots__ = ()

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StorageError):
            return
        ours = rename(error)
        if ours is not None:
            raise ours from error


def rename(error: BaseException) -> StorageError | None:
    """What an exception of asyncpg or the network is to us; None for any other."""
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or "XX000"
        if sqlstate[:2] in _SERVER_CLASSES:
            return StorageError(f"PostgreSQL cannot store or read now ({type(error).__name__}).")
        return RowError(f"PostgreSQL refused a row ({type(error).__name__}).")
    if isinstance(error, (UnicodeError, OverflowError)):
        return RowError("A value cannot be stored in PostgreSQL.")
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        return StorageError(f"PostgreSQL does not answer ({type(error).__name__}).")
    return None


def is_retried(error: BaseException) -> bool:
    """Two transactions were in each other's way: the same work can succeed at once."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _RETRIED


def is_lost(error: BaseException) -> bool:
    """After this error the connection must not be used again."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "XX000")[:2] in _LOST_CLASSES and error.sqlstate != _QUERY_CANCELED
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        return True
    return not isinstance(error, Exception)  # cancelled: nobody knows how far the server is


# --- links --------------------------------------------------------------------------------------------------


class Link:
    """One connection, used by one caller at a time, opened again by itself.

    on_open: awaited with every new connection before it is used.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        on_open: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._connect = connect
        self._on_open = on_open
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._mending: asyncio.Task[None] | None = None
        self._was_left = False
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Link(is_connected={self._connection is not None}, is_closed={self._is_closed})"

    @property
    def pid(self) -> int | None:
        """The server's process of this connection, None while there is none."""
        return None if self._connection is None else self._connection.get_server_pid()

    async def open(self) -> None:
        """Connect now. Raises StorageError."""
        self._is_closed = False
        await self._reconnect()

    async def close(self) -> None:
        self._is_closed = True
        if self._mending is not None:
            self._mending.cancel()
            with suppress(asyncio.CancelledError):
                await self._mending
            self._mending = None
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await part(connection)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection for one caller. Raises StorageError at once while there is none.

        An error inside that may leave it in an unknown state replaces it; a statement's own error does not. When a
        caller left in the middle of a statement the server is not to blame: the next one waits for the new connection.
        """
        async with self._lock:
            if self._was_left:
                await self._mended()
            connection = self._connection
            if connection is None or connection.is_closed():
                self._lose(connection)
                raise StorageError("PostgreSQL is not reachable.")
            try:
                with renamed():
                    yield connection
            except BaseException as exc:
                cause = exc.__cause__ if isinstance(exc, StorageError) and exc.__cause__ is not None else exc
                if connection.is_closed() or connection.is_in_transaction() or is_lost(cause):
                    self._was_left = not isinstance(exc, Exception)
                    self._lose(connection)
                raise

    async def _mended(self) -> None:
        """Wait for a connection in place of one that a caller left, not for long and not twice."""
        self._was_left = False
        if self._mending is not None:
            await asyncio.wait([self._mending], timeout=_LEFT_SECONDS)

    def _lose(self, connection: Connection | None) -> None:
        """Throw the connection away and begin to mend."""
        if connection is not None and connection is self._connection:
            self._connection = None
        if connection is not None and not connection.is_closed():
            connection.terminate()
        if not self._is_closed and self._connection is None and self._mending is None:
            self._mending = asyncio.create_task(self._mend(), name="postgres-mend")

    async def _mend(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._reconnect()
            except Exception:  # noqa: BLE001 -- whatever it was, only a connection ends this
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, guards nothing
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                self._mending = None
                return

    async def _reconnect(self) -> None:
        connection = await self._connect()
        try:
            if self._on_open is not None:
                with renamed():
                    await self._on_open(connection)
        except BaseException:
            connection.terminate()
            raise
        connection.add_termination_listener(self._terminated)
        self._connection = connection

    def _terminated(self, connection: Any) -> None:
        """Called by asyncpg when a connection ends, whoever ended it."""
        if connection is self._connection:
            self._lose(connection)


async def part(connection: Connection) -> None:
    """End a connection politely, or at once when the server does not answer."""
    try:
        await connection.close(timeout=1.0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


class Readers:
    """A few connections for reads, opened as needed and closed when idle or broken."""

    def __init__(self, entrance: Door, *, most: int) -> None:
        self._entrance = entrance
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(most)
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Readers(idle={len(self._idle)})"

    def open(self) -> None:
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True
        while self._idle:
            await part(self._idle.pop())

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """A connection for one caller. Raises StorageError."""
        async with self._places:
            if self._is_closed:
                raise StorageError("The store is closed.")
            connection = self._take() or await self._entrance.reader()
            try:
                with renamed():
                    yield connection
            except BaseException as exc:
                cause = exc.__cause__ if isinstance(exc, StorageError) and exc.__cause__ is not None else exc
                if connection.is_in_transaction() or is_lost(cause):
                    connection.terminate()
                raise
            finally:
                if not connection.is_closed():
                    self._idle.append(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None
