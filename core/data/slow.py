"""Slow statements, told in the log with their plan and without a value.

A statement that took longer than ``SLOW_QUERY_MS``, or was cancelled for it, is logged once its unit of work is over.
The plan is PostgreSQL's generic one, for parameters that it does not know, so that nobody's data gets into the log.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app

from core.config import BoardSettings
from core.data.models import db
from core.data.roundtrip import numbered
from core.data.unit import unit_or_none

T = TypeVar("T")

log = logging.getLogger(__name__)

_LIMIT = "pegboard.slow_seconds"

CANCELLED = "57014"
AGAIN_AFTER = 60.0
"""Seconds until the plan of the same statement is asked for again."""
MOST_PLANS = 5
"""Plans that a process asks for within that time: telling of slowness must not add to it."""
LONGEST = 10_000

_EXPLAINABLE = re.compile(r"\s*(select|insert|update|delete|with)\b", re.IGNORECASE)
_explained: dict[str, float] = {}


def init_app(app: Flask) -> None:
    """Time every statement of the board's engine, unless ``SLOW_QUERY_MS`` is 0."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    if settings.slow_query_ms:
        app.extensions[_LIMIT] = settings.slow_query_ms / 1000
        with app.app_context():
            _time(db.engine.dialect, app.extensions[_LIMIT])


def _time(dialect: Any, limit: float) -> None:
    """In the dialect itself: SQLAlchemy's events for this cost 35 µs a statement, two looks at a clock below one."""
    execute = dialect.do_execute

    def timed(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _watched(statement, limit, execute, cursor, statement, parameters, context)

    dialect.do_execute = timed


def watched(statement: str, call: Callable[..., T], *arguments: Any) -> T:
    """What ``call`` answers, which runs ``statement`` past SQLAlchemy; it is told of like others if it is slow."""
    limit: float = current_app.extensions.get(_LIMIT, 0.0)
    return _watched(statement, limit, call, *arguments) if limit else call(*arguments)


def _watched(statement: str, limit: float, call: Callable[..., T], *arguments: Any) -> T:
    began = time.perf_counter()
    try:
        answer = call(*arguments)
    except Exception as exc:
        if getattr(exc, "sqlstate", None) == CANCELLED:
            _note(statement, time.perf_counter() - began, cancelled=True)
        raise
    seconds = time.perf_counter() - began
    if seconds > limit:
        _note(statement, seconds, cancelled=False)
    return answer


def _note(statement: str, seconds: float, *, cancelled: bool) -> None:
    work = unit_or_none()
    if work is None:
        _tell(statement, seconds, cancelled)
    else:
        work.ended.append(lambda: _tell(statement, seconds, cancelled))


def _tell(statement: str, seconds: float, cancelled: bool) -> None:
    facts: dict[str, Any] = {"statement": statement[:LONGEST], "ms": round(seconds * 1000), "cancelled": cancelled}
    if (plan := _plan(statement)) is not None:
        facts["plan"] = plan
    log.warning("slow statement", extra=facts)


def _plan(statement: str) -> str | None:
    """The generic plan of a statement; ``None`` when it was told lately, or cannot be had."""
    now = time.monotonic()
    for known, told_at in list(_explained.items()):
        if now - told_at > AGAIN_AFTER:
            del _explained[known]
    if statement in _explained or len(_explained) >= MOST_PLANS or not _EXPLAINABLE.match(statement):
        return None
    _explained[statement] = now
    try:
        return _explain(statement)
    except Exception as exc:
        log.info("a slow statement could not be explained", extra={"reason": type(exc).__name__})
        return None


def _explain(statement: str) -> str:
    """In a transaction of its own, in the current tenant: what is prepared there ends with the connection's reset."""
    text, names = numbered(statement)
    nulls = f"({', '.join(['null'] * len(names))})" if names else ""
    with db.engine.connect() as connection, connection.begin():
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("set local plan_cache_mode = force_generic_plan; set local statement_timeout = '2s'", prepare=False)
        raw.execute(f"prepare pegboard_slow as {text}".encode(), prepare=False)
        try:
            rows = raw.execute(f"explain execute pegboard_slow{nulls}", prepare=False).fetchall()
        finally:
            raw.execute(b"deallocate pegboard_slow", prepare=False)
        return "\n".join(row[0] for row in rows)[:LONGEST]
