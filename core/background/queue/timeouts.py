"""Time-outs that stop the work: of a job that waits by gevent, of one that computes by the watchdog.

``JobTimeout`` is no ``Exception``: what a task catches for its own reasons must not keep it running, and a connection
that was left in the middle of a question must not be used again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

deadlines: dict[UUID, float] = {}
"""Of the jobs that run in this process: when each must have ended, by the monotonic clock."""


class JobTimeout(BaseException):
    """The job has run for longer than its task allows."""

    def __str__(self) -> str:
        return super().__str__() or "it took longer than its task allows"


@contextmanager
def limit(job_id: UUID, seconds: float) -> Iterator[None]:
    """Raise ``JobTimeout`` in what is done here once so many seconds have passed."""
    deadlines[job_id] = time.monotonic() + seconds
    timer = _timer(seconds)
    try:
        yield
    finally:
        if timer is not None:
            timer.close()
        deadlines.pop(job_id, None)


def _timer(seconds: float) -> Any:
    """gevent's, where it runs the loop; a test's thread has none, and what a tool performs is waited for by hand."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return None
    from gevent import Timeout

    timer = Timeout(seconds, JobTimeout(f"it took longer than {seconds:g} s"))
    timer.start()
    return timer
