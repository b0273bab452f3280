"""What follows from one task, kept until its lease is given up, and what is told once that has happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from core.background.queue.leased import Effect


class Completion:
    """Of the task that runs in this thread, or greenlet. While its own code runs, nothing is gathered."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.told: list[Callable[[bool], None]] = []
        """Signals and hooks, in order, each called with whether this task made its chord full."""
        self.interrupted = False
        self.open = True
        self._owner = threading.get_ident()

    @property
    def mine(self) -> bool:
        """Not of a greenlet that the task has left behind, which inherits its context."""
        return self._owner == threading.get_ident()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around code that is not Huey's."""
        self.open = False
        try:
            yield
        finally:
            self.open = True


_current: ContextVar[Completion | None] = ContextVar("completion", default=None)


def current() -> Completion | None:
    found = _current.get()
    return found if found is not None and found.mine else None


def gathering() -> Completion | None:
    """Where what follows is to be put; ``None`` where it is written at once."""
    found = current()
    return found if found is not None and found.open else None


@contextmanager
def completing(done: Completion) -> Iterator[None]:
    token = _current.set(done)
    try:
        yield
    finally:
        _current.reset(token)
