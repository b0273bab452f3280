"""The pool hands a connection to whoever has waited longest, and waits that are broken off lose none."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy.util.queue import Empty, Full

from core.data.pool import FairQueue

pytestmark = pytest.mark.unit


def until(true: object) -> None:
    deadline = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_first_come_first_served() -> None:
    queue = FairQueue(1)
    served: list[int] = []
    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=lambda number=number: (queue.get(True, 60), served.append(number))))
        threads[-1].start()
        until(lambda: len(queue._line) == len(threads) - len(served))
    for number in range(5):
        queue.put("connection", False)
        # Who gives one back and asks again at once does not overtake those in line.
        with pytest.raises(Empty):
            queue.get(False)
        until(lambda number=number: len(served) == number + 1)
    assert served == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join()


def test_who_waits_too_long_leaves_the_line() -> None:
    queue = FairQueue(1)
    with pytest.raises(Empty):
        queue.get(True, 0.01)
    queue.put("connection", False)
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, True)
    with pytest.raises(Full):
        queue.put("another", False)
    assert queue.get(True, 0.01) == "connection"


def test_the_last_one_used_is_the_next_if_so_wished() -> None:
    for lifo, expected in ((True, "second"), (False, "first")):
        queue = FairQueue(2, use_lifo=lifo)
        queue.put_nowait("first")
        queue.put_nowait("second")
        assert queue.get_nowait() == expected
        assert queue.qsize() == 1


def test_a_wait_that_is_broken_off_loses_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """As gevent does when it kills a greenlet that waits; here at the worst moment, just as it was handed one."""
    queue = FairQueue(1)

    class Broken:
        def __init__(self) -> None:
            self.item = None
            self.handed = self

        def acquire(self, timeout: float) -> bool:
            queue.put("connection", False)
            raise SystemExit

        def release(self) -> None:
            """Nobody listens any more."""

    monkeypatch.setattr("core.data.pool._Waiter", Broken)
    with pytest.raises(SystemExit):
        queue.get(True, 5)
    assert queue.qsize() == 1
