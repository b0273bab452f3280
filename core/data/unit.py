"""The unit of work: one transaction a request, frame or job, in one database. Services do not commit.

What must follow a commit (handing over jobs, telling listeners) is kept with the unit and done afterwards.
Work around a vendor's call is done ``@in_steps``: ``with unit(): …`` call ``with unit(): …``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from core.data.models import db
from core.errors import Refused

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger(__name__)


class Unit:
    """One unit of work. ``notes`` is where other rooms gather what they do after the commit.

    What is in ``ended`` is called when the unit is over, whatever became of it.
    """

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.ended: list[Callable[[], None]] = []

    def before_commit(self, call: Callable[[], None]) -> None:
        """Call this last thing within the transaction; an exception rolls everything back."""
        self.before.append(call)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once the transaction is durable; an exception is logged and stops nobody else."""
        self.after.append(call)


_unit: ContextVar[Unit | None] = ContextVar("unit", default=None)


def unit_or_none() -> Unit | None:
    """The unit under way, or ``None`` outside."""
    return _unit.get()


def current_unit() -> Unit:
    """The unit under way; ``LookupError`` outside."""
    unit = _unit.get()
    if unit is None:
        raise LookupError("no unit of work here: wrap the call in `with unit():`")
    return unit


def after_commit(call: Callable[[], None]) -> None:
    """Call this once the current unit's transaction is durable, and never if it rolls back."""
    current_unit().after_commit(call)


def in_steps(function: F) -> F:
    """Mark a view or task that opens its own units, so that nothing is held while it talks to the outside."""
    function.__in_steps__ = True  # type: ignore[attr-defined]
    return function


@contextmanager
def unit() -> Iterator[Unit]:
    """One transaction: committed at the end, rolled back on an exception.

    ``Refused(keep=True)`` commits and is raised again. Units do not nest (``RuntimeError``), and what was loaded in
    one stays readable after it, but is no longer watched for changes.
    """
    if _unit.get() is not None:
        raise RuntimeError("a unit of work is already open: mark the view or task @in_steps to open several")
    work = Unit()
    token = _unit.set(work)
    kept: Refused | None = None
    try:
        try:
            yield work
        except Refused as refusal:
            if not refusal.keep:
                raise
            kept = refusal
        for call in work.before:
            call()
        if db.session.registry.has():
            db.session.flush()
            _commit()
    finally:
        try:
            _release()
        finally:
            _unit.reset(token)
        _each(work.ended)
    _each(work.after)
    if kept is not None:
        raise kept


def _commit() -> None:
    try:
        db.session.commit()
    except Exception as exc:
        exc.__committing__ = True  # type: ignore[attr-defined]
        raise


def committing(exc: BaseException) -> bool:
    """Whether it was the commit itself that failed: where the connection was lost, nobody knows what became of it."""
    return bool(getattr(exc, "__committing__", False))


def _each(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        try:
            call()
        except Exception:
            log.exception("a step after the commit failed", extra={"step": getattr(call, "__qualname__", repr(call))})


def _release() -> None:
    """Give the connection back, rolling back what was not committed; one that died is thrown away."""
    if not db.session.registry.has():
        return
    try:
        db.session.close()
    except Exception:
        db.session().invalidate()
