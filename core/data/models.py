"""The bases of every table: ids, naming, global and tenant rows, and the engine that all of it runs on.

A plugin writes ``class Book(TenantModel): __tablename__ = "shelf_books"``; id, tenant and times come with the base.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column

from core.config import BoardSettings
from core.data import waiting
from core.data.pool import FairPool
from core.data.tenancy import hang_on, stamp, tell_database
from core.errors import BootError

IDLE_BEFORE_PING = 5.0
STATEMENT_SECONDS = {"web": 15, "worker": 30, "scheduler": 30, "cli": 30}
"""How long one statement may run, by kind of process: nobody waits longer for a page."""
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_last_id = 0
_id_lock = threading.Lock()


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random; ids made by one process only ever grow."""
    global _last_id
    fresh = (
        (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    )
    with _id_lock:
        if fresh <= _last_id:
            # The same millisecond, or a clock set back: step on within the last id's random tail.
            fresh = _last_id + 1 + secrets.randbits(32)
        _last_id = fresh
    return UUID(int=fresh)


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention=NAMING)


class BoardSession(Session):
    """The session that the fences of ``core.data.tenancy`` hang on."""


db = SQLAlchemy(
    model_class=Base,
    session_options={"class_": BoardSession, "expire_on_commit": False},
    disable_autonaming=True,
)

hang_on(BoardSession)


class _Row:
    """What each table begins with."""

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, default=new_id, sort_order=-20)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=utcnow, sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True), default=utcnow, onupdate=utcnow, sort_order=91
    )


class GlobalModel(_Row, db.Model):  # type: ignore[name-defined]
    """A row that belongs to the whole installation; lives only in ``DATABASE_URL``."""

    __abstract__ = True


class TenantModel(_Row, db.Model):  # type: ignore[name-defined]
    """A row of one tenant: stamped by the server, filtered in the ORM, fenced in PostgreSQL (``core.data.tenancy``)."""

    __abstract__ = True

    tenant_id: Mapped[UUID] = mapped_column(sa.Uuid, default=stamp, sort_order=-10)


def mappers() -> list[Mapper[Any]]:
    """Every class that is mapped. One whose body failed is not, and is passed over so that it can tell why itself."""
    found: dict[Mapper[Any], None] = {}
    waiting: list[type] = [db.Model]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if (mapper := vars(cls).get("__mapper__")) is not None:
            found[mapper] = None
    return list(found)


def init_app(app: Flask) -> None:
    """Configure the engine. Nothing connects until the first statement, which is after the fork."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    waiting.install(STATEMENT_SECONDS[app.extensions["pegboard.kind"]] + 2)
    app.config["SQLALCHEMY_DATABASE_URI"] = psycopg_url(settings.database_url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, app.extensions["pegboard.kind"])
    db.init_app(app)
    with app.app_context():
        tell_database(db.engine)
        event.listen(db.engine, "checkin", _note_return)
        event.listen(db.engine, "checkout", _ping_if_idle)
        if not settings.development:
            event.listen(db.engine, "connect", _refuse_powers)


def psycopg_url(url: str) -> str:
    """``postgres://`` and ``postgresql://``, as platforms hand them out, in SQLAlchemy's spelling for psycopg 3."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg://{rest}"
    return url


def engine_options(settings: BoardSettings, kind: str) -> dict[str, Any]:
    """A bounded pool and a time-out on everything: connecting, waiting for a connection, statements, locks."""
    return {
        "poolclass": FairPool,
        "pool_size": settings.database_pool,
        "max_overflow": 0,
        "pool_timeout": 3 if kind == "web" else 30,
        "pool_recycle": 1800,
        "pool_use_lifo": True,
        "hide_parameters": True,
        "connect_args": {
            "autocommit": True,  # the board begins each transaction itself: see core.data.tenancy
            "connect_timeout": 3,
            "tcp_user_timeout": 10_000,
            "application_name": f"pegboard-{kind}-{os.getpid()}",
            "options": f"-c statement_timeout={STATEMENT_SECONDS[kind]}s -c lock_timeout=5s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        },
    }


def _refuse_powers(connection: Any, record: Any) -> None:
    """No policy binds a superuser: in production not one statement may run as such a role."""
    row = connection.execute(
        "select rolname from pg_roles where rolname = current_user and (rolsuper or rolbypassrls)"
    ).fetchone()
    connection.rollback()
    if row:
        raise BootError(
            f"DATABASE_URL's role {row[0]!r} is a superuser or has BYPASSRLS, which no row-level security holds:"
            " use a plain role (create role … login)"
        )


def _note_return(connection: Any, record: Any) -> None:
    record.info["returned"] = time.monotonic()


def _ping_if_idle(connection: Any, record: Any, proxy: Any) -> None:
    """Ask a connection that has rested whether it still lives: a restarted server then costs nobody an error."""
    if time.monotonic() - record.info.get("returned", time.monotonic()) < IDLE_BEFORE_PING:
        return
    try:
        connection.execute("select 1")
        connection.rollback()
    except Exception as exc:
        raise sa.exc.DisconnectionError from exc
