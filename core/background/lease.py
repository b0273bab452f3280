"""A lease in Redis: something that one process at a time may hold, renewed for as long as it does."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app

from core.data import redis

log = logging.getLogger(__name__)

# Only the holder, known by its token, renews or lets go.
_RENEW = redis.script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)
_RELEASE = redis.script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Lease:
    """Held from when ``lease`` gave it. Long work asks ``held()`` between steps and stops when the answer is no."""

    def __init__(self, key: str, seconds: float) -> None:
        self.key = key
        self.token = secrets.token_hex(16)
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._ended = threading.Event()

    def held(self) -> bool:
        """False once another process may have it: it was taken, or could not be renewed in time."""
        return time.monotonic() < self._until

    def take(self) -> bool:
        return bool(redis.client().set(self.key, self.token, nx=True, px=int(self.seconds * 1000)))

    def release(self) -> None:
        self._ended.set()
        _RELEASE(keys=[self.key], args=[self.token])

    def keep_alive(self, app: Flask) -> None:
        """Renew every third of its time, until released or lost."""
        while not self._ended.wait(self.seconds / 3):
            asked = time.monotonic()
            try:
                with app.app_context():
                    renewed = _RENEW(keys=[self.key], args=[self.token, int(self.seconds * 1000)])
            except Exception as exc:  # there is nobody above to tell
                # Nobody else can take it either while Redis is away, and it may be ours still when Redis is back.
                log.warning("a lease could not be renewed: %s", exc, extra={"lease": self.key})
                continue
            if not renewed:
                self._until = asked
                log.error("a lease was lost while its work went on", extra={"lease": self.key})
                return
            self._until = asked + self.seconds


@contextmanager
def lease(key: str, seconds: float = 30) -> Iterator[Lease | None]:
    """The lease ``key``, or ``None`` while another process holds it. It lapses ``seconds`` after its holder has died.

    Raises redis-py's errors when Redis cannot be asked.
    """
    wanted = Lease(key, seconds)
    if not wanted.take():
        yield None
        return
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    threading.Thread(target=wanted.keep_alive, args=(app,), name=f"lease-{key}", daemon=True).start()
    try:
        yield wanted
    finally:
        try:
            wanted.release()
        except Exception as exc:  # the work is done, and that is what counts
            log.warning("a lease could not be given back and will lapse: %s", exc, extra={"lease": key})
