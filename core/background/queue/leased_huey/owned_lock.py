"""Huey's locks, with an owner: nobody else lets go of one, and it lapses when its owner has died."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from huey.api import TaskLock
from huey.exceptions import TaskLockedException

from core.background.queue.leased_huey.storage import LeasedStorage


class OwnedLock(TaskLock):
    """Only the thread, or greenlet, that acquired it lets go of it.

    Without ``ttl`` (seconds) it stands for as long as its process gives signs of life, with one for so long at most.
    ``huey.flush_locks(name)`` takes it away from whoever has it.
    """

    def __init__(self, huey: Any, name: str, ttl: float | None = None) -> None:
        super().__init__(huey, name, ttl)
        self._mine = threading.local()

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fn)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with OwnedLock(self._huey, self._name, self._ttl):
                return fn(*args, **kwargs)

        return inner

    def acquire(self) -> bool:
        """Raises Huey's ``TaskLockedException`` while somebody has it."""
        if not isinstance(self._huey.storage, LeasedStorage):  # in memory, for Huey's immediate mode
            return bool(super().acquire())
        token = secrets.token_hex(16).encode()
        if not self._huey.storage.lock(self._key, token, self._ttl):
            raise TaskLockedException(f"unable to acquire lock {self._name}")
        self._mine.token = token
        return True

    def release(self) -> bool:
        """Whether it was still ours."""
        if not isinstance(self._huey.storage, LeasedStorage):
            return bool(super().release())
        token = getattr(self._mine, "token", None)
        self._mine.token = None
        return token is not None and bool(self._huey.storage.unlock(self._key, token))

    clear = release

    def __exit__(self, *exc: object) -> None:
        self.release()
