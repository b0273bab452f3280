"""Selects that are built once and read rows: for lists and look-ups, which run on nearly every request.

    ROWS = Read(sa.select(Book.id, Book.title).where(Book.tenant_id == sa.bindparam("tenant", type_=sa.Uuid())))
    rows = ROWS({"tenant": current_tenant().id})

Where the current unit has not begun its transaction, such a read is a transaction of its own on a connection that goes
back at once: it sees what a statement of the unit would see (PostgreSQL reads anew for each statement), row-level
security holds, and the session, which costs more than the statement, is never made. Where the unit has begun, the read
is one of its statements, and sees what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.data.models import db
from core.data.unit import current_unit

Row = Sequence[Any]
Convert = Callable[[Any], Any]


class Read:
    """A select without a lock, run with values for its parameters; what fences it must be among its conditions."""

    def __init__(self, statement: sa.Select[Any]) -> None:
        if statement._for_update_arg is not None:
            raise TypeError("a lock would be gone at once: run a select for update in the unit's session")
        self.statement = statement
        self._text: _Text | None = None

    def __call__(self, values: Mapping[str, Any]) -> Sequence[Row]:
        """All rows. ``LookupError`` outside a unit of work."""
        current_unit()
        if db.session.registry.has() and db.session().in_transaction():
            db.session.flush()
            return db.session.connection().execute(self.statement, values).all()
        engine = db.engine
        if self._text is None:
            self._text = _Text.of(self.statement, engine.dialect)
        return _alone(engine, self._text, values)


class _Text(NamedTuple):
    """A statement as the driver takes it, with what its parameters and columns need on the way."""

    sql: str
    given: Mapping[str, Any]
    convert: Mapping[str, Convert]
    columns: Sequence[Any]

    @classmethod
    def of(cls, statement: sa.Select[Any], dialect: sa.Dialect) -> _Text:
        compiled: Any = statement.compile(dialect=dialect)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        if any(bind.expanding for bind in binds.values()):
            raise TypeError("a list in in_() makes a statement for each length: use == any_(…) with an array")
        converters = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
        columns = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        return cls(
            compiled.string,
            {name: bind.effective_value for name, bind in binds.items() if not bind.required},
            {name: convert for name, convert in converters.items() if convert is not None},
            columns,
        )

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        found = {**self.given, **values}
        for name, convert in self.convert.items():
            found[name] = convert(found[name])
        return found


def _alone(engine: sa.Engine, text: _Text, values: Mapping[str, Any]) -> Sequence[Row]:
    """One transaction, through the same hooks of the dialect as a session's: the fence, and the clock on statements."""
    dialect: Any = engine.dialect
    proxy = engine.raw_connection()
    cursor = None
    try:
        driver: Any = proxy.driver_connection
        dialect.do_begin(driver)
        cursor = driver.cursor()
        dialect.do_execute(cursor, text.sql, text.parameters(values))
        rows = cursor.fetchall()
        converters = _converters(text, cursor, dialect)
        dialect.do_commit(driver)
    except dialect.loaded_dbapi.Error as exc:
        raise _as_sqlalchemy(exc, engine, proxy, cursor, text.sql) from exc
    except Exception:
        raise  # of ours: the connection is sound, and rolled back as it returns
    except BaseException:
        proxy.invalidate()  # broken off somewhere: nobody knows what the connection still has to say
        raise
    finally:
        if proxy.is_valid:
            proxy.close()
    if converters:
        return [_converted(row, converters) for row in rows]
    return rows


def _converters(text: _Text, cursor: Any, dialect: Any) -> list[tuple[int, Convert]]:
    codes = [column.type_code for column in cursor.description]
    made = [type_.result_processor(dialect, code) for type_, code in zip(text.columns, codes, strict=True)]
    return [(index, convert) for index, convert in enumerate(made) if convert is not None]


def _converted(row: Row, converters: list[tuple[int, Convert]]) -> Row:
    found = list(row)
    for index, convert in converters:
        found[index] = convert(found[index])
    return found


def _as_sqlalchemy(exc: Exception, engine: sa.Engine, proxy: Any, cursor: Any, sql: str) -> Exception:
    """What SQLAlchemy would have raised, the pool told alike of a connection that died."""
    dialect: Any = engine.dialect
    lost = dialect.is_disconnect(exc, proxy.driver_connection, cursor)
    if lost:
        engine.pool._invalidate(proxy, exc)  # and with it those that were opened before it, which are likely as dead
    return sa.exc.DBAPIError.instance(
        sql,
        None,
        exc,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
