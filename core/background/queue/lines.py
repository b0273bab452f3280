"""The log's lines of jobs that were done: one for each or, where they are many, one a second for all of a task.

A line costs more than a small job does, and nobody reads ten thousand of them a second. What fails, waits or is tried
again always has a line of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from core import telemetry

LINES = 100
"""Of single jobs, in a second of this process."""

log = logging.getLogger(__name__)

_second = 0.0
_told = 0
_withheld: dict[str, list[float]] = {}
"""By task: the seconds that each took."""


def done(task: str, seconds: float, facts: Mapping[str, Any]) -> None:
    """Tell of one that took so long, or count it for ``sum_up``."""
    global _second, _told
    now = time.monotonic()
    if now - _second >= 1:
        sum_up()
        _second, _told = now, 0
    _told += 1
    if _told <= LINES:
        log.info("job done", extra={**facts, "ms": round(seconds * 1000, 1)})
    else:
        _withheld.setdefault(task, []).append(seconds)


def sum_up() -> None:
    """Tell of those that had no line, whoever calls."""
    while _withheld:
        task, took = _withheld.popitem()
        mean = sum(took) / len(took)
        with telemetry.log_context(request_id=None, tenant=None, user=None, plugin=task.partition(".")[0]):
            log.info("jobs done", extra={"task": task, "many": len(took), "mean_ms": round(mean * 1000, 1)})
