"""Waiting for the next event of a followed job: one greenlet looks for all who wait in this process, in one round trip.

A look of each waiter's own would cost a thousand of them most of a processor.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import sleep
from typing import Any

from core.background import duties
from core.data.redis.pool import Here, here

EVERY = 0.1
"""Seconds between two looks."""


class Watch:
    """Looks at how many events there are of each story, and wakes those for whom there are others than they know of."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: dict[str, list[tuple[int, Event]]] = {}
        self._lock = Lock()
        self._looking = False

    def wait(self, key: str, known: int, seconds: float) -> None:
        """Until the story whose facts lie under ``key`` has more than ``known`` events, or fewer, or is gone.

        Returns early too: after so many seconds, where Redis cannot be asked, and as the process leaves.
        """
        with self._waiter(key, known) as woken:
            woken.wait(seconds)

    @contextmanager
    def _waiter(self, key: str, known: int) -> Iterator[Event]:
        waiter = (known, Event())
        with self._lock:
            self._waiting.setdefault(key, []).append(waiter)
            if not self._looking:
                self._looking = True
                Thread(target=self._run, name="watch", daemon=True).start()
        try:
            yield waiter[1]
        finally:
            with self._lock:
                self._waiting[key].remove(waiter)
                if not self._waiting[key]:
                    del self._waiting[key]

    def _run(self) -> None:
        while True:
            sleep(EVERY)
            with self._lock:
                waiting = {key: list(waiters) for key, waiters in self._waiting.items()}
                self._looking = bool(waiting)
            if not waiting:
                return
            counts = self._counts(list(waiting))
            for (_, waiters), count in zip(waiting.items(), counts, strict=True):
                for known, woken in waiters:
                    if count != known:
                        woken.set()

    def _counts(self, keys: list[str]) -> list[int | None]:
        if duties.leaving():
            return [None] * len(keys)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hget(key, "events")
                return [int(found or 0) for found in pipe.execute()]
        except Exception:  # whoever waits asks again, and tells what is wrong
            return [None] * len(keys)


_watches: weakref.WeakKeyDictionary[Here, Watch] = weakref.WeakKeyDictionary()


def wait(key: str, known: int, seconds: float) -> None:
    """``Watch.wait``, of this process."""
    mine = here()
    watch = _watches.get(mine)
    if watch is None:
        watch = _watches.setdefault(mine, Watch(mine.client))
    watch.wait(key, known, seconds)
