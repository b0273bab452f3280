"""Time-outs that stop the work: of a job that waits by gevent, of one that computes by the watchdog.

``JobTimeout`` is no ``Exception``: what a task catches for its own reasons must not keep it running, and a connection
that was left in the middle of a question must not be used again.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple
from uuid import UUID

TICK = 0.1
"""Seconds between two looks at who is overdue: one timer for all costs a job less than one for each."""


AGAIN = 5.0
"""Seconds after which one that has not ended by it is struck once more."""


class Deadline(NamedTuple):
    """When a job must have ended, by the monotonic clock, and the greenlet that runs it where there is one; when it is
    struck next."""

    at: float
    seconds: float
    greenlet: Any
    again: float


deadlines: dict[UUID, Deadline] = {}
"""Of the jobs that run in this process."""


class JobTimeout(BaseException):
    """The job has run for longer than its task allows."""

    @classmethod
    def after(cls, seconds: float) -> JobTimeout:
        return cls(f"it took longer than {seconds:g} s")


class limit:
    """``with limit(job_id, seconds):``: raise ``JobTimeout`` in what is done here once so many seconds have passed."""

    __slots__ = ("job_id", "seconds")

    def __init__(self, job_id: UUID, seconds: float) -> None:
        self.job_id = job_id
        self.seconds = seconds

    def __enter__(self) -> None:
        at = time.monotonic() + self.seconds
        deadlines[self.job_id] = Deadline(at, self.seconds, _greenlet(), at)

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        deadlines.pop(self.job_id, None)
        if isinstance(exc, JobTimeout) and not exc.args:  # the watchdog can throw a class alone
            exc.args = JobTimeout.after(self.seconds).args


def _no_greenlet() -> Any:
    """The current one, where gevent runs the loop: in a test's thread, and a tool, somebody waits by hand."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return None
    from gevent import get_hub, getcurrent

    global _clock, _greenlet
    _clock = get_hub().loop.timer(TICK, repeat=TICK)
    _clock.start(_strike)
    _greenlet = getcurrent
    return getcurrent()


_clock: Any = None
_greenlet: Any = _no_greenlet


def in_loop() -> bool:
    """Whether what is done here is done in a greenlet of gevent's loop."""
    return _greenlet() is not None


def _strike() -> None:
    """Called in the hub: whom it strikes goes on at once, and nothing comes between."""
    now = time.monotonic()
    for job_id, due in list(deadlines.items()):
        if now >= due.again and due.greenlet is not None and deadlines.get(job_id) is due:
            # Once is enough for most, who may need a moment to clear up.
            deadlines[job_id] = due._replace(again=now + AGAIN)
            due.greenlet.throw(JobTimeout.after(due.seconds))
