"""Selects that are built once and read rows: for lists and look-ups, which run on nearly every request.

    ROWS = Read(sa.select(Book.id, Book.title).where(Book.tenant_id == sa.bindparam("tenant", type_=sa.Uuid())))
    rows = ROWS({"tenant": current_tenant().id})

Where the current unit has not begun its transaction, such a read is a transaction of its own, in one round trip, on a
connection that goes back at once: it sees what a statement of the unit would see (PostgreSQL reads anew for each),
row-level security holds, and the session, which costs more than the statement, is never made. Where the unit has begun,
the read is one of its statements, and sees what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from psycopg import Error as PsycopgError
from psycopg.adapt import Transformer

from core.data.models import db
from core.data.roundtrip import ask, at_rest, numbered
from core.data.slow import watched
from core.data.unit import current_unit

Row = Sequence[Any]
Convert = Callable[[Any], Any]

OFTEN = 5
"""A statement that was asked more often is prepared; psycopg's own threshold."""


class Read:
    """A select without a lock, run with values for its parameters; what fences it must be among its conditions."""

    def __init__(self, statement: sa.Select[Any]) -> None:
        if statement._for_update_arg is not None:
            raise TypeError("a lock would be gone at once: run a select for update in the unit's session")
        self.statement = statement
        self._made: _Made | None = None
        self._asked = 0

    def __call__(self, values: Mapping[str, Any]) -> Sequence[Row]:
        """All rows. ``LookupError`` outside a unit of work."""
        current_unit()
        if db.session.registry.has() and db.session().in_transaction():
            db.session.flush()
            return db.session.connection().execute(self.statement, values).all()
        engine = db.engine
        if self._made is None:
            self._made = _Made(self.statement, engine.dialect)
        self._asked += 1
        return _alone(engine, self._made, values, keep=self._asked > OFTEN)


class _Made:
    """A statement as PostgreSQL takes it, with what its values and columns need on the way."""

    def __init__(self, statement: sa.Select[Any], dialect: sa.Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        if any(bind.expanding for bind in binds.values()):
            raise TypeError("a list in in_() makes a statement for each length: use == any_(…) with an array")
        self.told: str = compiled.string
        self.text, self.names = numbered(self.told)
        self._fixed = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        makers = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
        self._dump = {name: convert for name, convert in makers.items() if convert is not None}
        self._types = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        self._load: list[tuple[int, Convert]] | None = None
        self._dialect = dialect

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """In the order of the numbers."""
        found = []
        for name in self.names:
            value = given[name] if name in given else self._fixed[name]
            convert = self._dump.get(name)
            found.append(convert(value) if convert else value)
        return found

    def rows(self, connection: Any, result: Any) -> Sequence[Row]:
        loader = Transformer(connection)
        loader.set_pgresult(result)
        rows: Sequence[Row] = loader.load_rows(0, result.ntuples, tuple)
        if self._load is None:
            made = [self._converter(kind, result.ftype(at)) for at, kind in enumerate(self._types)]
            self._load = [(at, convert) for at, convert in enumerate(made) if convert is not None]
        return [_converted(row, self._load) for row in rows] if self._load else rows

    def _converter(self, kind: Any, code: int) -> Convert | None:
        if isinstance(kind, sa.ARRAY) and not kind.as_tuple:
            item = kind.item_type.dialect_impl(self._dialect).result_processor(self._dialect, None)
            if item is None:
                return None  # psycopg has made lists of it; SQLAlchemy would go through them once more
        found: Convert | None = kind.result_processor(self._dialect, code)
        return found


def _converted(row: Row, load: list[tuple[int, Convert]]) -> Row:
    found = list(row)
    for at, convert in load:
        found[at] = convert(found[at])
    return found


def _alone(engine: sa.Engine, made: _Made, given: Mapping[str, Any], *, keep: bool) -> Sequence[Row]:
    proxy: Any = engine.raw_connection()
    try:
        driver, info = proxy.driver_connection, proxy.info
        values = made.values(given)
        return made.rows(driver, watched(made.told, lambda: ask(driver, info, made.text, values, keep=keep)))
    except PsycopgError as exc:
        raise _as_sqlalchemy(exc, engine, proxy, made.told) from exc
    finally:
        if proxy.is_valid:
            # Whatever broke it off: a connection that still has something to say would say it to whoever comes next.
            (proxy.close if at_rest(proxy.driver_connection) else proxy.invalidate)()


def _as_sqlalchemy(exc: Exception, engine: sa.Engine, proxy: Any, statement: str) -> Exception:
    """What SQLAlchemy would have raised, the pool told alike of a connection that died."""
    dialect: Any = engine.dialect
    lost = dialect.is_disconnect(exc, proxy.driver_connection, None)
    if lost:
        engine.pool._invalidate(proxy, exc)  # and with it those that were opened before it, which are likely as dead
    return sa.exc.DBAPIError.instance(
        statement,
        None,
        exc,
        PsycopgError,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
