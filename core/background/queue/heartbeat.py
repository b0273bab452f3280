"""Signs of life that do not depend on gevent's loop: a job that never lets it turn must not be taken for dead.

A native thread renews the leases. It shares nothing with the rest but plain attributes: a client of its own, no log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.background.queue import leased
from core.background.queue.native import original, start_thread

BEATS = 5
"""In the time of a lease: some may be lost."""


class Beating(Protocol):
    """A queue of which this process has leases, or whatever else it holds for as long as it lives."""

    def beat(self) -> bool: ...


class Heartbeat:
    """Beats for these queues until ``stop``."""

    def __init__(self, queues: Sequence[Beating]) -> None:
        self.queues = queues
        self._stopped = False

    def start(self) -> None:
        start_thread(self._run)

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        sleep = original("time", "sleep")
        while not self._stopped:
            sleep(leased.LEASE / BEATS)
            for queue in [] if self._stopped else self.queues:
                try:
                    queue.beat()
                except Exception:  # noqa: S112 - Redis is away: nobody can take the lease meanwhile either
                    continue
