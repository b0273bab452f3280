"""A pool whose connections go to whoever has waited longest.

SQLAlchemy's own wakes a waiter and lets it try again: meanwhile whoever has just given a connection back may take it
for its next request, and the waiter starts again at the end of the line. Under load the same few are served and the
others reach their time-out. Here a connection that comes back is handed to the first in line.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Empty, Full, QueueCommon


class _Waiter:
    """Somebody in line, and what they were handed."""

    __slots__ = ("handed", "item")

    def __init__(self) -> None:
        self.item: Any = None
        self.handed = threading.Lock()
        self.handed.acquire()


class FairQueue(QueueCommon[Any]):
    """What ``QueuePool`` keeps its idle connections in; there are never both idle ones and somebody waiting."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._mutex = threading.Lock()
        self._idle: deque[Any] = deque()
        self._line: deque[_Waiter] = deque()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """An idle connection, or the one that comes back in our turn; ``Empty`` after ``timeout`` seconds."""
        with self._mutex:
            if self._idle:
                return self._idle.pop() if self.use_lifo else self._idle.popleft()
            if not block:
                raise Empty
            waiter = _Waiter()
            self._line.append(waiter)
        try:
            if waiter.handed.acquire(timeout=-1 if timeout is None else timeout):
                return waiter.item
        except BaseException:  # a greenlet that is killed while it waits
            self._leave(waiter)
            raise
        if self._leave(waiter, giving_up=False):
            return waiter.item
        raise Empty

    def _leave(self, waiter: _Waiter, *, giving_up: bool = True) -> bool:
        """Step out of the line. Whether we were handed a connection just then; who gives up passes it on."""
        with self._mutex:
            if waiter in self._line:
                self._line.remove(waiter)
                return False
        if giving_up:
            self.put(waiter.item, False)
        return True

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Hand a connection to the first in line, or keep it. Never waits: ``Full`` where there is no room."""
        with self._mutex:
            if self._line:
                waiter = self._line.popleft()
                waiter.item = item
                waiter.handed.release()
                return
            if self.full():
                raise Full
            self._idle.append(item)

    def get_nowait(self) -> Any:
        return self.get(False)

    def put_nowait(self, item: Any) -> None:
        self.put(item, False)

    def empty(self) -> bool:
        return not self._idle

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._idle)

    def qsize(self) -> int:
        return len(self._idle)


class FairPool(QueuePool):
    _queue_class = FairQueue
