"""The worker's loop: Huey's consumer with greenlets, taking and running jobs until it is told to end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType

import gevent
from flask import Flask
from huey.consumer import Consumer

from core.background.queue.huey import BLOCK, BoardHuey
from core.config import BoardSettings
from core.data import redis

log = logging.getLogger(__name__)

FINISH = 22
"""Seconds that running jobs are given after SIGTERM; platforms kill after 30."""
PUT_BACK = 2
"""Seconds for those that did not finish, to go back to the queue."""
BLOCK_TIMEOUT = BLOCK + 4
"""Socket time-out of the waiting pops: shorter than the wait itself, every quiet second would look like an outage."""


class Crew(Consumer):
    """Huey's consumer, minus restarts and its own ideas of signals."""

    def __init__(self, queue: BoardHuey, size: int, leaving: Callable[[], None]) -> None:
        super().__init__(queue, workers=size, periodic=False, worker_type="greenlet", shutdown_timeout=FINISH)
        self.leaving = leaving

    def start(self) -> None:
        super().start()
        log.info("worker is ready", extra={"concurrency": self.workers})

    def stop(self, graceful: bool = True) -> None:
        log.info("worker ends: running jobs may finish", extra={"running": len(self.huey._tasks_in_flight)})
        self.huey.ending = True
        self.leaving()
        super().stop(graceful=True)

    def _set_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signum, self._restart, self._graceful = signum, False, True

    def _interrupt_workers(self) -> None:
        # Not for ever, as Huey would: a job that never lets the loop go must not keep the others from going back.
        gevent.killall([greenlet for _, greenlet in self.worker_threads], KeyboardInterrupt, timeout=PUT_BACK)


def consume(app: Flask, leaving: Callable[[], None] = lambda: None) -> None:
    """Run jobs until SIGTERM or SIGINT, then ``leaving()``, let running ones finish, and return.

    The process must have been patched by gevent. Each of ``WORKER_CONCURRENCY`` greenlets waits on a connection of its
    own, besides those of the board's pool.
    """
    settings: BoardSettings = app.extensions["pegboard.settings"]
    size = settings.worker_concurrency
    with app.app_context():
        client = redis.dedicated(BLOCK_TIMEOUT, size=size)
    Crew(BoardHuey(app, client), size, leaving).run()
    client.close()
    log.info("worker has ended")
