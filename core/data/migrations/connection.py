"""How migrations meet the database: their connection, the one lock around them, and what goes wrong in plain words.

Each transaction begins under the bypass "migration" (forced row-level security would let a data migration touch no
row at all) and with a short wait for locks: a migration that queues behind a long transaction holds up everybody
who comes after it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import sqlalchemy as sa
from msgspec import Meta

from core.config import env
from core.data.models import psycopg_url

LOCK_KEY = int.from_bytes(b"pegboard")
"""The advisory lock of an upgrade; PostgreSQL keeps these keys apart by database."""
POLL = 0.1

LOCK_NOT_AVAILABLE = "55P03"
INSUFFICIENT_PRIVILEGE = "42501"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MigrationSettings:
    """What only the migration commands read from the environment."""

    migration_lock_timeout: Annotated[int, Meta(ge=1)] = env(
        default=10, doc="seconds that a migration waits for a table that is in use"
    )
    migration_wait: Annotated[int, Meta(ge=1)] = env(
        default=900, doc="seconds that an upgrade waits for another one to finish"
    )


class MigrationError(Exception):
    """A migration command cannot go on; the message says why, how far it came, and what to do."""


@contextmanager
def engine(url: str, settings: MigrationSettings) -> Iterator[sa.Engine]:
    """Connections for migrations alone: unpooled, without prepared statements, each transaction set up as above.

    A connection in ``AUTOCOMMIT`` is not: it is for a look at the version tables, or for a script that creates an index
    concurrently.
    """
    made = sa.create_engine(
        psycopg_url(url),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 10, "application_name": "pegboard-migrations", "prepare_threshold": None},
    )
    sa.event.listen(made, "begin", lambda connection: _set_up(connection, settings))
    try:
        yield made
    finally:
        made.dispose()


def _set_up(connection: sa.Connection, settings: MigrationSettings) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    values = {
        "pegboard.tenant": "",
        "pegboard.bypass": "migration",
        "lock_timeout": f"{settings.migration_lock_timeout}s",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        # A killed upgrade must not leave a long statement behind that holds its locks.
        "client_connection_check_interval": "2s",
    }
    if (connection.dialect.server_version_info or ()) >= (17,):
        values["transaction_timeout"] = "0"
    calls = ", ".join("set_config(%s, %s, true)" for _ in values)
    connection.exec_driver_sql(f"select {calls}", tuple(part for pair in values.items() for part in pair))


@contextmanager
def alone(made: sa.Engine, settings: MigrationSettings, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Hold the lock of an upgrade; what is yielded raises when the lock has been lost.

    It is a transaction's lock, so that it also holds behind a pooler and goes when the process is killed. Asking again
    and again rather than waiting in PostgreSQL: a waiting statement would keep ``create index concurrently`` waiting.
    """
    deadline = time.monotonic() + settings.migration_wait
    told = False
    with made.connect() as holder:
        while not holder.scalar(sa.text("select pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY}):
            holder.rollback()
            if not told:
                say("another upgrade is running; waiting for it to finish")
                told = True
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"another upgrade has been running for {settings.migration_wait} s; see what it waits for"
                    " (pg_stat_activity, application_name pegboard-migrations), or raise MIGRATION_WAIT"
                )
            time.sleep(POLL)
        yield lambda: holder.exec_driver_sql("select 1").close()


@contextmanager
def explained(where: Callable[[], str], settings: MigrationSettings) -> Iterator[None]:
    """Turn what Alembic and PostgreSQL raise into ``MigrationError``; a script's own exception keeps its traceback."""
    from alembic.util import CommandError

    try:
        yield
    except (MigrationError, GeneratorExit):
        raise
    except CommandError as exc:
        raise MigrationError(f"{where()}: {exc}") from exc
    except sa.exc.DBAPIError as exc:
        raise MigrationError(f"{where()}: {_told(exc, settings)}") from exc
    except Exception as exc:
        if not getattr(exc, "__notes__", ()):  # further out it would be said of more than what failed
            exc.add_note(f"{where()}: nothing of it was applied")
        raise


def _told(exc: sa.exc.DBAPIError, settings: MigrationSettings) -> str:
    origin: Any = exc.orig
    state = getattr(origin, "sqlstate", None)
    if state == LOCK_NOT_AVAILABLE:
        return (
            f"a table that it changes has been in use for {settings.migration_lock_timeout} s by a longer transaction;"
            " nothing of it was applied. Run the command again, or raise MIGRATION_LOCK_TIMEOUT (seconds)"
        )
    words = str(origin).strip().splitlines()[0] if str(origin).strip() else type(origin).__name__
    if state == INSUFFICIENT_PRIVILEGE:
        return f"{words}; set MIGRATION_DATABASE_URL to the role that owns the tables and the schema"
    return words if state is None else f"{words}; nothing of it was applied. Correct that, and run the command again"
