"""Jobs that a process has taken and not begun: the tenants among them take turns here as they do on the queue.

Otherwise one who has few would wait behind all that was taken ahead of one who has many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock

from core.background.queue.frames import Frame


class Ready:
    """Frames by their lanes, each lane's in their order. Hands may be threads."""

    def __init__(self) -> None:
        self._lanes: dict[bytes, deque[Frame]] = {}
        self._many = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return self._many

    def __iter__(self) -> Iterator[Frame]:
        with self._lock:
            return iter([frame for lane in self._lanes.values() for frame in lane])

    def put(self, frames: Iterable[Frame]) -> None:
        """A lane that has nothing here comes next: it has waited for longest."""
        with self._lock:
            fresh: dict[bytes, deque[Frame]] = {}
            for frame in frames:
                lane = _lane(frame)
                found = self._lanes.get(lane)
                (fresh.setdefault(lane, deque()) if found is None else found).append(frame)
                self._many += 1
            if fresh:
                self._lanes = {**fresh, **self._lanes}

    def take(self) -> Frame | None:
        with self._lock:
            if not self._many:
                return None
            lane = next(iter(self._lanes))
            waiting = self._lanes.pop(lane)
            frame = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting  # behind the others
            self._many -= 1
            return frame

    def empty(self) -> list[Frame]:
        """All of them; of each lane the last first, so that each goes to the front of the queue before the others."""
        with self._lock:
            found = [frame for lane in self._lanes.values() for frame in reversed(lane)]
            self._lanes, self._many = {}, 0
            return found


def _lane(frame: Frame) -> bytes:
    return frame.head.partition(b";")[0].partition(b"/")[2]
