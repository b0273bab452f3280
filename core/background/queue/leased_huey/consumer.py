"""Huey's consumer over a pump: a hand for each of its workers, and periodic tasks once a minute among all consumers."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b
from typing import Any

from huey.consumer import Consumer, Scheduler, Worker

from core.background.queue.leased_huey.storage import under


class LeasedWorker(Worker):
    """The first of a process starts its pump, the last ends it."""

    def initialize(self) -> None:
        with self.huey.place.context():
            self.huey.storage.here.arrive()
            super().initialize()

    def loop(self, now: datetime | None = None) -> None:
        with self.huey.place.context():
            super().loop(now)

    def shutdown(self) -> None:
        with self.huey.place.context():
            super().shutdown()
            self.huey.storage.here.leave()


class LeasedScheduler(Scheduler):
    """Periodic tasks alone: what is due is put on the queue by the pumps."""

    def loop(self, now: datetime | None = None) -> None:
        with self.huey.place.context():
            super().loop(now)

    def enqueue_periodic_tasks(self, now: datetime | None) -> None:
        """However many schedulers there are, each task is enqueued once a minute."""
        at = now or self.huey._get_timestamp()
        for task in self.huey.read_periodic(at):
            with under(None if now else _of_minute(f"{task.__module__}.{task.name}", at)):
                try:
                    self.huey.enqueue(task)
                except Exception:
                    self._logger.exception("Error enqueueing periodic task %s.", task)


def _of_minute(name: str, at: datetime) -> bytes:
    return urlsafe_b64encode(blake2b(f"{name} {at:%Y-%m-%d %H:%M}".encode(), digest_size=12).digest())


class LeasedConsumer(Consumer):
    """Its workers are threads, greenlets or processes, as Huey's are."""

    worker_class = LeasedWorker
    scheduler_class = LeasedScheduler

    def __init__(self, huey: Any, *args: Any, **options: Any) -> None:
        super().__init__(huey, *args, **options)
        huey.place.running()

    def stop(self, graceful: bool = False) -> None:
        """What has not finished by then goes back to the queue."""
        super().stop(graceful)
        self.huey.storage.close()
