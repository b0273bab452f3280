"""Telling of a job while it runs, under its lease: what cannot be told is left out, and the job goes on.

Who has lost the lease must not go on: somebody else runs the job by now.
"""

from __future__ import annotations

import logging
import time
from threading import Lock, Timer

from core.background.queue.keys import Keys
from core.background.queue.scripts import TELL
from core.background.queue.stories import Held
from core.data import redis

log = logging.getLogger(__name__)

EVERY = 0.2
"""Seconds between two tellings of a job's progress."""
REST = 5.0
"""Seconds for which nothing is told once Redis was away: each try would take time from the job."""


class LeaseLost(BaseException):
    """The job is somebody else's. No ``Exception``: what a task catches for reasons of its own does not keep it up."""


class Teller:
    """Tells of one attempt at a job. Needs the app's context to be made."""

    def __init__(self, held: Held, job_id: str) -> None:
        self.held = held
        self.job_id = job_id
        self._client = redis.client()  # a timer has no context to ask
        self._lock = Lock()
        self._pending = ""
        self._timer: Timer | None = None
        self._told_at = self._rests_until = 0.0
        self._lost = self._ended = False

    def tell(self, event: str) -> None:
        """Tell it now, after what is pending. ``LeaseLost`` where it is not ours to tell."""
        with self._lock:
            self._send([*self._taken(), event])
        self._check()

    def merged(self, event: str) -> None:
        """Tell it soon, or not at all where another comes before that. ``LeaseLost``."""
        self._check()
        self._pending = event
        wait = self._told_at + EVERY - time.monotonic()
        if wait > 0:
            self._later(wait)
            return
        with self._lock:
            self._send(self._taken())
        self._check()

    def end(self) -> None:
        """The attempt is over; what is pending is told."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._lost:
            with self._lock:
                self._send(self._taken())

    def _later(self, wait: float) -> None:
        if self._timer is None:
            self._timer = Timer(wait, self._due)
            self._timer.daemon = True
            self._timer.start()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            if not self._ended:
                self._send(self._taken())

    def _taken(self) -> list[str]:
        pending, self._pending = self._pending, ""
        return [pending] if pending else []

    def _send(self, events: list[str]) -> None:
        from redis.exceptions import RedisError

        if not events or time.monotonic() < self._rests_until:
            return
        keys = [Keys(self.held.queue).prefix]
        self._told_at = time.monotonic()
        try:
            ours = TELL(keys=keys, args=[self.held.process, self.held.nonce, self.job_id, *events], using=self._client)
        except RedisError as exc:
            self._rests_until = time.monotonic() + REST
            log.warning("a job's story has a gap: %s", exc, extra={"job": self.job_id})
            return
        self._lost = not ours

    def _check(self) -> None:
        if self._lost:
            raise LeaseLost
