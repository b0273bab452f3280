"""Our Huey: envelopes for messages, and no step that loses a job because Redis or a message is not what it should be.

Huey's consumer, worker and scheduler are kept. What differs: the schedule moves what is due inside Redis (stock Huey
takes it out, then puts it back, and loses it in between); a retry that Redis does not take goes back to the outbox;
an unreadable message is dropped with a log line. Results, revocation and Huey's own registry are not used.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from huey.api import Huey, Task as HueyTask
from huey.exceptions import RetryTask
from huey.signals import SIGNAL_INTERRUPTED
from huey.storage import BaseStorage
from redis import Redis
from redis.exceptions import RedisError

from core.background.queue import lists, messages
from core.background.queue.running import perform
from core.data import outbox, redis
from core.data.outbox import Envelope

log = logging.getLogger(__name__)

BLOCK = 1
"""Seconds that a worker waits in Redis for a message; then it looks whether it should end."""


class Storage(BaseStorage):
    """The two places of ``lists``; ``client`` is the one whose time-outs are longer than ``BLOCK``."""

    blocking = True

    def __init__(self, name: str, client: Redis) -> None:
        super().__init__(name)
        self.client = client

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        self.client.lpush(lists.WAIT, data)

    def dequeue(self) -> bytes | None:
        reply: Any = self.client.brpop([lists.WAIT], timeout=BLOCK)
        return reply[1] if reply else None

    def add_to_schedule(self, data: bytes, ts: datetime) -> None:
        raise NotImplementedError("the board's Huey schedules envelopes through lists.push")

    def read_schedule(self, ts: datetime) -> list[bytes]:
        lists.promote()
        return []


class Job(HueyTask):
    """An envelope in the hands of Huey's worker."""

    def __init__(self, envelope: Envelope, app: Flask) -> None:
        super().__init__(id=str(envelope.id))
        self.envelope = envelope
        self.app = app

    def execute(self) -> None:
        again = perform(self.envelope, self.app)
        if again is not None:
            self.envelope = again
            raise RetryTask(eta=again.due_at)


class BoardHuey(Huey):
    def __init__(self, app: Flask, client: Redis) -> None:
        super().__init__("default", results=False, storage_class=Storage, client=client)
        self.app = app
        self.redis_away = False
        self.ending = False
        # What becomes of a job is told in `running`; Huey would tell it again.
        logging.getLogger("huey").setLevel(logging.WARNING)
        self.signal(SIGNAL_INTERRUPTED)(self._put_back)

    def dequeue(self) -> Job | None:
        try:
            message = self.storage.dequeue()
        except RedisError as exc:
            self._wait_for_redis(exc)
            return None
        self._redis_is_here()
        if message is None or (self.ending and self._give_back(message)):
            return None
        return self.read(message)

    def read(self, message: bytes) -> Job | None:
        try:
            with self.app.app_context():
                return Job(messages.decode(message), self.app)
        except messages.BadMessage as exc:
            log.error("a message on the queue was dropped: %s", exc, extra={"size": len(message)})
            return None

    def read_schedule(self, timestamp: datetime | None = None) -> list[Any]:
        try:
            with self.app.app_context():
                self.storage.read_schedule(timestamp)
        except RedisError as exc:
            self._wait_for_redis(exc)
        return []

    def ready_to_run(self, task: Job, timestamp: datetime | None = None) -> bool:
        # What lies on the queue is due: the schedule has waited for it, by Redis's clock.
        return True

    def is_revoked(self, task: Job, timestamp: datetime | None = None, peek: bool = True) -> bool:
        return False

    def delete(self, key: str) -> bool:
        """Huey deletes a revocation after each job; there are none, and a round trip would be a third of its cost."""
        return False

    def add_schedule(self, task: Job) -> None:
        """Where Huey puts a job that is to be tried again: on the schedule or, while Redis is away, in the outbox."""
        with self.app.app_context():
            _keep(task.envelope)

    def _put_back(self, signal: str, task: Job) -> None:
        """A job that was not done when its worker had to end."""
        log.warning("job goes back to the queue: the worker ends", extra={"task": task.envelope.name, "job": task.id})
        with self.app.app_context():
            _keep(task.envelope)

    def _give_back(self, message: bytes) -> bool:
        """A pop that was under way when the worker was told to end has taken one more."""
        try:
            self.storage.client.rpush(lists.WAIT, message)
        except RedisError:
            return False
        return True

    def _wait_for_redis(self, exc: RedisError) -> None:
        if not self.redis_away:
            self.redis_away = True
            log.warning("Redis is away, jobs wait: %s", exc)
        time.sleep(random.uniform(0.5, 1.5))

    def _redis_is_here(self) -> None:
        if self.redis_away:
            self.redis_away = False
            log.info("Redis is back")


def _keep(envelope: Envelope) -> None:
    """Put a job that is in our hands where it is safe; for as long as nothing takes it, keep it and try again."""
    while True:
        try:
            lists.push([envelope])
            return
        except RedisError:
            pass
        try:
            outbox.park(envelope)
            return
        except Exception as exc:
            log.warning(
                "neither Redis nor PostgreSQL takes a job, it is kept: %s", exc, extra={"job": str(envelope.id)}
            )
        time.sleep(random.uniform(0.5, 1.5))


def drain(app: Flask) -> int:
    """Perform in this process all that waits in the outbox and the queue and is due, and what that enqueues.

    For tests and tools; answers how many jobs ran, repetitions included.
    """
    with app.app_context():
        queue = BoardHuey(app, redis.client())
    done = 0
    while True:
        with app.app_context():
            outbox.sweep(settled=timedelta(0))
            lists.promote()
            message: Any = redis.client().rpop(lists.WAIT)
        if message is None:
            return done
        job = queue.read(message)
        if job is not None:
            queue.execute(job)
            done += 1
