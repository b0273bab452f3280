"""PostgreSQL: there, new enough, and visited as a role that the fences hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.ops import budget
from core.ops.doctor import clock
from core.ops.doctor.findings import (
    Away,
    Finding,
    Findings,
    Patient,
    error,
    host_of,
    is_local,
    is_near,
    ok,
    unsafe,
    warning,
)

OLDEST = 14
CONNECT_SECONDS = 2
PLAIN = "create a plain role (create role … login) and name it in DATABASE_URL"

# What of ours the role itself owns, beside what another role could have made.
_OWNED = """
    select count(*), min(c.relname) from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
      and pg_get_userbyid(c.relowner) = current_user and (c.relname ~ '^core_' or c.relname ~ '_alembic_version$')
"""
_ROLE = "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user"


@contextmanager
def connect(url: str) -> Iterator[Any]:
    """A connection of the doctor's own, outside every pool, for short questions. Raises ``Away``."""
    import psycopg

    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(
            plain,
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
            application_name="pegboard-doctor",
            options="-c statement_timeout=3000",
        ) as connection:
            yield connection
    except psycopg.OperationalError as exc:
        raise Away(f"the database does not answer: {' '.join(str(exc).split())}") from exc
    except psycopg.ProgrammingError as exc:  # an address that libpq cannot read
        raise Away(f"DATABASE_URL cannot be used: {' '.join(str(exc).split())}") from exc


def examine(patient: Patient) -> Findings:
    try:
        with connect(patient.settings.database_url) as connection:
            yield from _ask(patient, connection)
    except Away as exc:
        cure = "see that PostgreSQL runs, and that DATABASE_URL's host, port, role and password are right"
        yield error("answers", str(exc), cure)


def _ask(patient: Patient, connection: Any) -> Findings:
    yield _version(connection.info.server_version)
    yield from _role(patient, connection)
    yield from _owner(patient, connection)
    yield from _network(patient, connection)
    yield from _durability(patient, connection)
    yield _connections(patient, connection)
    yield clock.compare("PostgreSQL's", lambda: connection.execute("select clock_timestamp()").fetchone()[0])


def _version(number: int) -> Finding:
    version = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number // 10_000 < OLDEST:
        return error("version", version, f"upgrade to PostgreSQL {OLDEST} or newer")
    return ok("version", version)


def _role(patient: Patient, connection: Any) -> Findings:
    name, superuser, bypasses = connection.execute(_ROLE).fetchone()
    if superuser:
        found = f"DATABASE_URL's role {name} is a superuser, which no row-level security holds"
        yield unsafe(patient, "superuser", found, PLAIN)
    elif bypasses:
        found = f"DATABASE_URL's role {name} has BYPASSRLS: no tenant is fenced off from another"
        yield unsafe(patient, "bypassrls", found, f"alter role {name} nobypassrls")
    else:
        yield ok("role", f"{name} is a plain role")


def _owner(patient: Patient, connection: Any) -> Findings:
    count, example = connection.execute(_OWNED).fetchone()
    if not patient.settings.migration_database_url:
        yield ok("owner", "one role owns the tables and runs the board; row-level security is forced on it")
    elif count:
        found = f"DATABASE_URL's role owns {count} of the tables ({example}, …), although MIGRATION_DATABASE_URL is set"
        cure = "reassign owned by that role to MIGRATION_DATABASE_URL's, as a superuser in this database;"
        yield error("owner", found, f"{cure} then `flask db upgrade` grants what it needs")
    else:
        yield ok("owner", "DATABASE_URL's role owns nothing")


def _network(patient: Patient, connection: Any) -> Findings:
    host = host_of(patient.settings.database_url)
    if is_local(host):
        return
    encrypted = connection.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone()
    if not (encrypted and encrypted[0]):
        found = f"the connection to {host} is not encrypted"
        severity = warning if is_near(host) else error
        yield severity("tls", found, "add ?sslmode=require to DATABASE_URL")
    else:
        yield ok("tls", "the connection is encrypted")


def _durability(patient: Patient, connection: Any) -> Findings:
    off = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if _shown(connection, name) == "off"]
    if off:
        found = f"{' and '.join(off)} off: what was committed can be lost with the machine"
        yield unsafe(patient, "durability", found, "switch on what is off, in PostgreSQL's configuration")
    if (encoding := _shown(connection, "server_encoding")) != "UTF8":
        yield error("encoding", f"the database's encoding is {encoding}", "move to a database made with encoding UTF8")


def _shown(connection: Any, name: str) -> str:
    return str(connection.execute("select current_setting(%s)", (name,)).fetchone()[0])


def _connections(patient: Patient, connection: Any) -> Finding:
    allowed = budget.allowed_by_postgres(connection)
    state, told = budget.verdict(budget.for_postgres(patient.settings, patient.formation, patient.children), allowed)
    if state == "ok":
        return ok("connections", told)
    pool = budget.largest_pool(patient.settings, patient.formation, allowed.connections, patient.children)
    fits = f"DATABASE_POOL={pool} is the most that fits" if pool else "there are too many processes for any pool"
    if state == "over":
        return error("connections", told, f"{fits}; or put a pooler in between, or take a larger plan")
    return warning("connections", told, "lower DATABASE_POOL or WEB_CONCURRENCY, or take a larger plan")
