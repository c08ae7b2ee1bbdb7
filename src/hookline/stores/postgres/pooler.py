"""A pooler in front of PostgreSQL that gives each transaction another session, as PgBouncer does in transaction mode.

What a session would keep is not kept there: LISTEN, prepared statements, SET. So such a store is opened with two
addresses. Through the pooler go transactions and reads, without prepared statements, and what sessions need is set for
the role; past it go the one connection that listens, migrations and retention. Advisory locks are of transactions
everywhere, so they hold. Each start proves all of it before it takes work, and says what to do when something is
missing.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from hookline.errors import SettingError
from hookline.stores.postgres.connection import IDLE_TRANSACTION_MS, renamed

if TYPE_CHECKING:
    from hookline.stores.postgres.connection import Connection

_ECHO_SECONDS: Final = 3.0

# As ``connection`` sets for a session of our own, and for the same reasons.
_NEEDED: Final = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_MS),
}
_SET: Final = "SELECT name, setting, current_user AS role FROM pg_settings WHERE name = ANY($1)"


async def refuse_pooler(connection: Connection) -> None:
    """Raises SettingError when another session answers than the one we connected to: somebody stands between."""
    with renamed():
        backend = await connection.fetchval("SELECT pg_backend_pid()")
    if backend != connection.get_server_pid():
        raise SettingError(
            "HOOKLINE_DATABASE leads to a pooler, such as PgBouncer: set HOOKLINE_DATABASE_DIRECT to the URL of "
            "PostgreSQL itself, for what needs a session of its own (docs/how-to/run-on-several-machines.md).",
            field="database_direct",
            expected="the URL of PostgreSQL itself",
            received="nothing",
        )


async def check_role(connection: Connection) -> None:
    """Raises SettingError with the SQL that mends it when pooled sessions are not set up as ours would be."""
    with renamed():
        found = await connection.fetch(_SET, list(_NEEDED))
    wrong = {row["name"]: row["setting"] for row in found if row["setting"] != _NEEDED[row["name"]]}
    if wrong:
        role = found[0]["role"]
        sql = " ".join(f'ALTER ROLE "{role}" SET {name} = {_NEEDED[name]};' for name in wrong)
        raise SettingError(
            f"Sessions behind the pooler keep no SET of ours. Run this once, then let the pooler reconnect: {sql}",
            field="database",
            expected=", ".join(f"{name} = {_NEEDED[name]}" for name in wrong),
            received=", ".join(f"{name} = {value}" for name, value in wrong.items()),
        )


async def check_echo(listening: Connection, notifying: Connection) -> None:
    """Raises SettingError unless the one hears what the other says: one database, and a session that may listen."""
    heard = asyncio.Event()
    channel = f"hookline_echo_{secrets.token_hex(8)}"

    def hear(*_: object) -> None:
        heard.set()

    with renamed():
        await listening.add_listener(channel, hear)
        try:
            await notifying.execute("SELECT pg_notify($1, '')", channel)
            async with asyncio.timeout(_ECHO_SECONDS):
                await heard.wait()
        except TimeoutError:
            raise SettingError(
                "HOOKLINE_DATABASE_DIRECT must lead to the same database as HOOKLINE_DATABASE, past the pooler: "
                "nothing that was notified through the one was heard on the other.",
                field="database_direct",
            ) from None
        finally:
            await listening.remove_listener(channel, hear)
