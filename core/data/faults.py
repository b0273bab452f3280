"""What the failure of a store means to a client: which store is away, that it is busy, or that a value is not storable.

The vendors' modules are looked up in ``sys.modules`` and never imported: an exception of theirs can only have come
from a module that is already there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from core.errors import (
    BUSY,
    CONFLICT,
    DATABASE_UNAVAILABLE,
    DOCUMENTS_UNAVAILABLE,
    MIGRATIONS_PENDING,
    REDIS_UNAVAILABLE,
    VALIDATION_FAILED,
    Code,
    Refused,
)

AWAY_RETRY = 5
"""Seconds that a client is told to wait for a store that is away."""
BUSY_RETRY = 1

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY_STATES = frozenset({"57014", "55P03", "40P01", "40001", "25P03", "25P04"})
_TAKEN = frozenset({"23505", "23P01"})  # a unique index, an exclusion constraint
_REFERENCE = "23503"
_CHECK = "23514"
_MISSING = frozenset({"42P01", "42703", "3F000"})  # a table, a column, a schema
_VALUE_STATES = frozenset({"22001", "22003", "22008", "22021", "22P05"})

_BUSY = (
    "pymongo.errors:ExecutionTimeout",
    "pymongo.errors:WaitQueueTimeoutError",
    "redis.exceptions:MaxConnectionsError",
)
_AWAY: tuple[tuple[Code, tuple[str, ...]], ...] = (
    (
        DATABASE_UNAVAILABLE,
        (
            "sqlalchemy.exc:OperationalError",
            "sqlalchemy.exc:InterfaceError",
            "sqlalchemy.exc:TimeoutError",
            "sqlalchemy.exc:DisconnectionError",
            "psycopg:OperationalError",
            "psycopg:InterfaceError",
        ),
    ),
    (
        REDIS_UNAVAILABLE,
        (
            "redis.exceptions:ConnectionError",
            "redis.exceptions:TimeoutError",
            "redis.exceptions:ReadOnlyError",
            "redis.exceptions:OutOfMemoryError",
        ),
    ),
    (DOCUMENTS_UNAVAILABLE, ("pymongo.errors:ConnectionFailure",)),
)


def as_refusal(exc: BaseException) -> Refused | None:
    """The ``Refused`` that tells of a store's failure; ``None`` when ``exc`` is something else, such as a bug.

    503 DATABASE_UNAVAILABLE, REDIS_UNAVAILABLE, DOCUMENTS_UNAVAILABLE, MIGRATIONS_PENDING or BUSY, all with
    ``retry_after``; 409 CONFLICT for what a unique index or a foreign key refused; 422 VALIDATION_FAILED for what a
    check refused, for text that no store can hold (too long, lone surrogates, NUL), for numbers or times beyond its
    range.
    """
    for error in _origins(exc):
        state = getattr(error, "sqlstate", None)
        if state in _BUSY_STATES or _is(error, *_BUSY):
            return Refused(BUSY, "this took too long; try again", retry_after=BUSY_RETRY)
        if state in _MISSING and _is_behind():
            return Refused(MIGRATIONS_PENDING, "flask db upgrade has not run yet", retry_after=AWAY_RETRY)
        if state == _REFERENCE:
            # PostgreSQL tells the two apart in words alone, which depend on its language.
            return Refused(CONFLICT, "it refers to something that is not there, or something else still refers to it")
        if state == _CHECK:
            return _rule_broken(error)
        if state in _TAKEN:
            # A rule that was only looked up first loses every race: the index has the last word, and says this.
            return Refused(CONFLICT, "something with the same name or number is there already")
        if state in _VALUE_STATES or _is_unstorable(error):
            return Refused(VALIDATION_FAILED, "a text or number in the request cannot be stored")
    for error in _origins(exc):
        for code, kinds in _AWAY:
            if _is(error, *kinds):
                return Refused(code, retry_after=AWAY_RETRY)
    return None


def _rule_broken(error: Any) -> Refused:
    """By the name of the rule alone: PostgreSQL's own words hold the row."""
    table, constraint = error.diag.table_name or "", error.diag.constraint_name or "a rule"
    rule = constraint.removeprefix(f"ck_{table}_")
    return Refused(VALIDATION_FAILED, f"{rule}: is against the rule of this name that the database keeps")


def _is_behind() -> bool:
    from core.data.migrations.behind import is_behind  # it stands on the tables, which stand on this

    return is_behind()


def _origins(exc: BaseException) -> Iterator[BaseException]:
    """The exception, and the driver's own that SQLAlchemy and mongoengine wrap."""
    yield exc
    driver = getattr(exc, "orig", None)
    if isinstance(driver, BaseException):
        yield driver
    if _is(exc, "mongoengine.errors:OperationError", "mongoengine.errors:BulkWriteError") and exc.__context__:
        yield exc.__context__


def _is_unstorable(error: BaseException) -> bool:
    if isinstance(error, UnicodeEncodeError):
        return "surrogates" in error.reason
    if _is(error, "psycopg:DataError"):
        # psycopg's own check; there is no SQLSTATE because the value was never sent.
        return getattr(error, "sqlstate", None) is None and "NUL" in str(error)
    if isinstance(error, OverflowError):
        return "8-byte ints" in str(error)
    return _is(error, "bson.errors:InvalidDocument", "bson.errors:InvalidStringData") and "NULL byte" in str(error)


def _is(error: BaseException, *kinds: str) -> bool:
    for kind in kinds:
        module, _, name = kind.partition(":")
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and isinstance(error, found):
            return True
    return False
