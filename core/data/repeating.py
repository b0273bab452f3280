"""Running a unit of work again where what went wrong lay between us and PostgreSQL, and nothing was committed.

A deadlock and a serialization failure roll the transaction back for certain. So does a connection that is lost, unless
that happens while the commit is under way: then nobody knows, and only work that changes nothing is run again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from core import telemetry
from core.data.unit import committing, unit_or_none

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

log = logging.getLogger(__name__)

TRIES = 3
FIRST_WAIT = 0.02
LONGEST_WAIT = 0.2
CERTAIN = {"40P01": "deadlock", "40001": "serialization"}


def repeatable(function: F) -> F:
    """Mark a view, or a resource's rule, that does nothing outside its unit of work but what bears repetition."""
    function.__repeatable__ = True  # type: ignore[attr-defined]
    return function


def is_repeatable(function: Callable[..., Any]) -> bool:
    """Whether ``@repeatable`` stands above it."""
    return bool(getattr(function, "__repeatable__", False))


def repeating(work: Callable[[], T], *, changes: bool = True) -> T:
    """What ``work`` answers, which opens units of its own; after a transient fault it is called again, thrice in all.

    ``changes`` says that it writes: then a connection that was lost during the commit is no reason to do it again.
    """
    if unit_or_none() is not None:
        raise RuntimeError("repeating() calls what opens units: call it outside of one")
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except DBAPIError as exc:
            why = _why(exc, changes)
            if why is None or attempt == TRIES:
                raise
            telemetry.count("units_repeated_total", why=why)
            log.info("a unit of work is run again", extra={"why": why, "attempt": attempt})
        # Full jitter: two that stood in one another's way must not meet again.
        time.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 4 ** (attempt - 1))))
    raise AssertionError("the last try answers or raises")


def _why(exc: DBAPIError, changes: bool) -> str | None:
    """What to call the fault, if the work may be run again after it."""
    certain = CERTAIN.get(getattr(exc.orig, "sqlstate", None) or "")
    if certain or not exc.connection_invalidated:
        return certain
    return None if changes and committing(exc) else "connection"
