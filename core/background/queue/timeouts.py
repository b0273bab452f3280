"""Time-outs that stop the work: of a job that waits by gevent, of one that computes by the watchdog.

``JobTimeout`` is no ``Exception``: what a task catches for its own reasons must not keep it running, and a connection
that was left in the middle of a question must not be used again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

TICK = 0.1
"""Seconds between two looks at who is overdue: one timer for all costs a job less than one for each."""


class Deadline(NamedTuple):
    """When a job must have ended, by the monotonic clock, and the greenlet that runs it where there is one."""

    at: float
    seconds: float
    greenlet: Any


deadlines: dict[UUID, Deadline] = {}
"""Of the jobs that run in this process."""


class JobTimeout(BaseException):
    """The job has run for longer than its task allows."""

    def __str__(self) -> str:
        return super().__str__() or "it took longer than its task allows"


@contextmanager
def limit(job_id: UUID, seconds: float) -> Iterator[None]:
    """Raise ``JobTimeout`` in what is done here once so many seconds have passed."""
    deadlines[job_id] = Deadline(time.monotonic() + seconds, seconds, _greenlet())
    try:
        yield
    finally:
        deadlines.pop(job_id, None)


_clock: Any = None


def _greenlet() -> Any:
    """The current one, where gevent runs the loop: in a test's thread, and a tool, somebody waits by hand."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return None
    from gevent import get_hub, getcurrent

    global _clock
    if _clock is None:
        _clock = get_hub().loop.timer(TICK, repeat=TICK)
        _clock.start(_strike)
    return getcurrent()


def _strike() -> None:
    """Called in the hub: whom it strikes goes on at once, and nothing comes between."""
    now = time.monotonic()
    for job_id, due in list(deadlines.items()):
        if now >= due.at and due.greenlet is not None and deadlines.get(job_id) is due:
            deadlines[job_id] = due._replace(greenlet=None)  # once is enough
            due.greenlet.throw(JobTimeout(f"it took longer than {due.seconds:g} s"))
