"""The log's lines of jobs that were done: one for each or, where they are many, one a second for all of a task.

A line costs more than a small job does, and nobody reads ten thousand of them a second. What fails, waits or is tried
again always has a line of its own. A job is told to be done once Redis knows it, and not before.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from typing import Any

from core import telemetry
from core.data.outbox import Envelope

LINES = 100
"""Of single jobs, in a second of this process."""

log = logging.getLogger(__name__)

_second = 0.0
_told = 0
_withheld: dict[str, list[float]] = {}
"""By task: the seconds that each took."""


def facts(envelope: Envelope) -> dict[str, Any]:
    return {"task": envelope.name, "job": str(envelope.id), "attempt": envelope.attempt}


def context(envelope: Envelope) -> AbstractContextManager[object]:
    """Whose lines they are that are written in it."""
    return telemetry.log_context(
        request_id=envelope.request_id,
        tenant=envelope.tenant_id,
        user=envelope.principal.id,
        plugin=envelope.name.partition(".")[0],
    )


def settled(envelope: Envelope, seconds: float, ours: bool | None, fired: bool = False) -> None:
    """Tell of a job that was done, once the step has been made that settles it (``leased.Settled``)."""
    if ours:
        _done(envelope, seconds)
        return
    why = "its lease was lost, and somebody else does it again"
    if ours is None:
        why = "Redis was away, and nobody knows whether it is settled"
    with context(envelope):
        log.warning("job was done, but %s", why, extra=facts(envelope))


def _done(envelope: Envelope, seconds: float) -> None:
    """Tell of it, or count it for ``sum_up``."""
    global _second, _told
    now = time.monotonic()
    if now - _second >= 1:
        sum_up()
        _second, _told = now, 0
    _told += 1
    if _told <= LINES:
        with context(envelope):
            log.info("job done", extra={**facts(envelope), "ms": round(seconds * 1000, 1)})
    else:
        _withheld.setdefault(envelope.name, []).append(seconds)


def sum_up() -> None:
    """Tell of those that had no line, whoever calls."""
    while _withheld:
        task, took = _withheld.popitem()
        mean = sum(took) / len(took)
        with telemetry.log_context(request_id=None, tenant=None, user=None, plugin=task.partition(".")[0]):
            log.info("jobs done", extra={"task": task, "many": len(took), "mean_ms": round(mean * 1000, 1)})
