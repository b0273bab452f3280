"""What a plugin keeps, found by its prefix, so that it can be told and removed when its code is no longer there.

Tables, views, sequences, types and functions ``<plugin>_*`` and its version table; the board's rows that speak of it
(waiting jobs, notifications); its keys in Redis; its collections. The audit log keeps what it says, for that is what
it is for; grants on resources of the plugin's kinds stay in ``core_role_assignments``, where they grant nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.contracts import TenantDirectory, service
from core.data import redis
from core.data.migrations.roles import VERSIONS

# What an extension or a table owns is left out: it goes with it.
_THINGS = sa.text(
    """
    select kind, name from (
        select case relkind when 'm' then 'materialized view' when 'v' then 'view' when 'S' then 'sequence'
            else 'table' end as kind, relname::text as name, oid, relname as word, relnamespace as space
            from pg_class where relkind in ('r', 'p', 'v', 'm', 'S') and not relispartition
        union all select 'function', oid::regprocedure::text, oid, proname, pronamespace
            from pg_proc where prokind = 'f'
        union all select 'type', typname::text, oid, typname, typnamespace
            from pg_type where typtype in ('e', 'd')
    ) x
    where starts_with(word, :prefix) and space = current_schema()::regnamespace and not exists (
        select from pg_depend d where d.objid = x.oid and d.deptype in ('e', 'a', 'i')
    )
    order by name
    """
)

DROPPED = ("materialized view", "view", "table", "sequence", "function", "type")
"""Each kind of thing, in an order in which none is still needed by the next."""

# The board's tables with rows of a plugin, and the column whose text begins with `<plugin>.`.
BOARD_ROWS = {"core_outbox": "name", "core_notifications": "kind"}

_RUNS = redis.board_key("core", "duties")
SCANNED = 1000  # keys that one SCAN of Redis looks at


class Thing(NamedTuple):
    """Something in the database; ``rows`` where it is a table."""

    kind: str
    name: str
    rows: int | None = None


class Leftovers(NamedTuple):
    """All that is left of a plugin; ``away`` says which stores could not be asked."""

    things: list[Thing]
    board_rows: dict[str, int]
    keys: int
    collections: dict[str, int]
    away: list[str]

    def __bool__(self) -> bool:
        return bool(self.things or self.board_rows or self.keys or self.collections)

    def lines(self) -> Iterator[str]:
        for thing in self.things:
            yield f"{thing.kind} {thing.name}" + ("" if thing.rows is None else f"  {_many(thing.rows, 'row')}")
        for table, rows in self.board_rows.items():
            yield f"{_many(rows, 'row')} of {table}"
        for collection, documents in self.collections.items():
            yield f"collection {collection}  {_many(documents, 'document')}"
        if self.keys:
            yield f"{_many(self.keys, 'key')} in Redis"

    def record(self) -> dict[str, Any]:
        """The same, for the audit log."""
        return {
            "tables": {thing.name: thing.rows for thing in self.things if thing.rows is not None},
            "board_rows": self.board_rows,
            "keys": self.keys,
            "collections": self.collections,
        }


def survey(name: str, connection: sa.Connection) -> Leftovers:
    """What is left of the plugin ``name``; the connection is the tables' owner's, under the bypass."""
    things = list(_things(name, connection))
    rows = {table: _board_rows(connection, table, name) for table in BOARD_ROWS}
    away: list[str] = []
    keys = 0
    collections: dict[str, int] = {}
    try:
        keys = sum(1 for _ in _keys(name)) + len(_runs(name))
    except redis_errors() as exc:
        away.append(f"Redis did not answer ({exc}); its keys {key_pattern(name)} are left")
    try:
        for database, each in _collections(name):
            collections[f"{database.name}.{each}"] = database[each].estimated_document_count()
    except mongo_errors() as exc:
        away.append(f"the document store did not answer ({type(exc).__name__}); its collections {name}_* are left")
    return Leftovers(things, {table: count for table, count in rows.items() if count}, keys, collections, away)


def remove(name: str, connection: sa.Connection, found: Leftovers) -> None:
    """Drop what ``survey`` found, in the caller's transaction: nothing cascades to what is somebody else's."""
    quote = connection.dialect.identifier_preparer.quote
    for kind in DROPPED:
        names = [thing.name for thing in found.things if thing.kind == kind]
        if kind != "function":  # whose name is its signature, quoted already
            names = [quote(each) for each in names]
        if names:
            # In one statement: tables that refer to one another go together.
            connection.exec_driver_sql(f"drop {kind} {', '.join(names)}")
    for table in found.board_rows:
        connection.execute(sa.text(f"delete from {table} where {_speaks_of(table)}"), {"prefix": f"{name}."})  # noqa: S608


def remove_elsewhere(name: str, found: Leftovers) -> None:
    """Keys and collections, which no transaction holds: after the commit, and again by calling the command again."""
    if found.keys:
        for key in list(_keys(name)):
            redis.client().unlink(key)
        if runs := _runs(name):
            redis.client().hdel(_RUNS, *runs)
    if found.collections:
        for database, collection in list(_collections(name)):
            database.drop_collection(collection)


# -- PostgreSQL -------------------------------------------------------------------------------------------------


def _things(name: str, connection: sa.Connection) -> Iterator[Thing]:
    for kind, found in connection.execute(_THINGS, {"prefix": f"{name}_"}).all():
        yield Thing(kind, found, _rows(connection, found) if kind == "table" else None)


def _rows(connection: sa.Connection, table: str) -> int | None:
    if table.endswith(VERSIONS):
        return None
    quoted = connection.dialect.identifier_preparer.quote(table)
    return connection.scalar(sa.text(f"select count(*) from {quoted}"))  # noqa: S608


def _board_rows(connection: sa.Connection, table: str, name: str) -> int:
    if not sa.inspect(connection).has_table(table):
        return 0
    query = sa.text(f"select count(*) from {table} where {_speaks_of(table)}")  # noqa: S608
    return connection.scalar(query, {"prefix": f"{name}."}) or 0


def _speaks_of(table: str) -> str:
    return f"starts_with({BOARD_ROWS[table]}, :prefix)"


# -- Redis and the document store -------------------------------------------------------------------------------


def _keys(name: str) -> Iterator[bytes]:
    for key in redis.client().scan_iter(match=key_pattern(name), count=SCANNED):
        # The pattern's star also spans colons, and a part may be called like the plugin.
        if key.split(b":")[2] == name.encode():
            yield key


def _runs(name: str) -> list[bytes]:
    """The plugin's duties whose last run is noted."""
    noted: Any = redis.client().hkeys(_RUNS)
    return [each for each in noted if each.startswith(f"{name}.".encode())]


def key_pattern(name: str) -> str:
    return f"pb:*:{name}:*"


def _collections(name: str) -> Iterator[tuple[Any, str]]:
    from core.data.documents.store import client, database_name, shared_name

    tenants = service(TenantDirectory).every()
    for place in sorted({shared_name(), *(database_name(tenant) for tenant in tenants)}):
        database = client()[place]
        for collection in sorted(database.list_collection_names()):
            if collection.startswith(f"{name}_"):
                yield database, collection


def redis_errors() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError


def mongo_errors() -> type[Exception]:
    from pymongo.errors import PyMongoError

    return PyMongoError


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
