"""Jobs that compute, or are caught in a C function, past their time: nothing in gevent's loop can stop those.

A native thread looks whether the loop turns. Where it does not, and the job that keeps it from turning is overdue, that
job gets ``JobTimeout`` at its next line of Python. One that has no next line, for it never comes back from C, takes the
process with it: its leases lapse, and others run what it ran. So does a process in which no Python runs at all.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
import time
from types import FrameType
from uuid import UUID

from core.background.queue.native import original, start_thread
from core.background.queue.timeouts import JobTimeout, deadlines

TICK = 0.25
STILL = 1.0
"""Seconds without a turn after which the loop counts as kept from turning."""
GRACE = 5.0
"""Seconds that an overdue job has to come back to Python."""
DEAF = 60.0
"""Seconds without a line of Python, in any thread, after which the process is given up."""
GIVEN_UP = 70
"""Exit status (EX_SOFTWARE of sysexits.h)."""


class Watchdog:
    """Watches the thread that makes it. ``turned`` is called by the loop, again and again."""

    def __init__(self) -> None:
        self._thread = original("_thread", "get_ident")()
        self._turned = time.monotonic()
        self._struck: tuple[UUID, float] | None = None
        self._since = 0.0
        self._stopped = False

    def turned(self) -> None:
        self._turned = time.monotonic()

    def start(self) -> None:
        start_thread(self._run)

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        sleep = original("time", "sleep")
        armed = 0.0
        while not self._stopped:
            if time.monotonic() - armed > DEAF / 10:
                # It exits from a thread of C's own, which needs no turn at Python.
                faulthandler.dump_traceback_later(DEAF, exit=True, file=2)
                armed = time.monotonic()
            sleep(TICK)
            if time.monotonic() - self._turned > STILL:
                self._look(sys._current_frames().get(self._thread))
        faulthandler.cancel_dump_traceback_later()

    def _look(self, frame: FrameType | None) -> None:
        job = job_of(frame)
        deadline = deadlines.get(job) if job is not None else None
        now = time.monotonic()
        if job is None or deadline is None or now < deadline.at:
            return
        overdue = (job, deadline.at)  # each attempt of a job has a grace of its own
        if overdue == self._struck:
            if now - self._since > GRACE:
                os.write(2, b'{"level": "CRITICAL", "message": "a job does not come back from C: this worker ends"}\n')
                os._exit(GIVEN_UP)
        else:
            self._struck, self._since = overdue, now
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(JobTimeout))


def job_of(frame: FrameType | None) -> UUID | None:
    """The job that a stack belongs to: the one whose ``attempt`` stands in it."""
    while frame is not None:
        if frame.f_code.co_name == "_perform" and "envelope" in frame.f_locals:
            found: UUID = frame.f_locals["envelope"].id
            return found
        frame = frame.f_back
    return None
