"""Password hashes (argon2id), computed where they stop nobody else.

A hash is some 30 ms of CPU and 19 MiB. Under gevent it runs in a small pool of real threads, for the loop
must go on; the pool is made on first use, which is after the fork. Whoever finds the queue full is told so at once.
Call these outside a unit of work: no connection is worth holding for that long.
"""

from __future__ import annotations

import threading
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from flask import current_app

from core.data import unit_or_none
from core.errors import BUSY, Refused
from core.registry import settings_of

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")


def hashed(password: str) -> str:
    """The password's hash in PHC form. ``Refused(BUSY)`` when too many wait already."""
    return _off_the_loop(lambda: _hasher().hash(_prepared(password)))


def matches(password: str, known: str | None) -> bool:
    """Whether the password has this hash. Without one the work is done all the same, and the answer is no."""
    return _off_the_loop(lambda: _verify(known or decoy(), _prepared(password)))


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """OWASP's least for argon2id: 19 MiB, two passes, one lane."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)


@lru_cache(maxsize=1)
def decoy() -> str:
    """A hash that no password has, as dear to verify as a real one."""
    hasher = _hasher()
    salt, digest = (b64encode(bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


def _verify(known: str, password: bytes) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


def _prepared(password: str) -> bytes:
    """One byte string for what looks the same, whichever keyboard it came from (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()


# -- where it runs ------------------------------------------------------------------------------------------------


class Workbench:
    """At most ``size`` calls at work and ``queue`` more waiting, in this process."""

    def __init__(self, size: int, queue: int) -> None:
        self.places = threading.BoundedSemaphore(size + queue)
        self.seats = threading.BoundedSemaphore(size)
        self.pool: Any = None
        if _under_gevent():
            from gevent.threadpool import ThreadPool

            self.pool = ThreadPool(size)

    def run(self, work: Callable[[], T]) -> T:
        if not self.places.acquire(blocking=False):
            raise Refused(BUSY, "many people are signing in at this moment; try again shortly", retry_after=2)
        try:
            with self.seats:
                # An idle pool is false, for it counts its tasks.
                return work() if self.pool is None else self.pool.apply(work)
        finally:
            self.places.release()


def _off_the_loop(work: Callable[[], T]) -> T:
    if unit_or_none() is not None:
        raise RuntimeError("hash passwords outside the unit of work: its connection would be held meanwhile")
    workbench: Workbench | None = current_app.extensions.get("pegboard.auth.workbench")
    if workbench is None:
        settings = settings_of("auth")
        fresh = Workbench(settings.hash_threads, settings.hash_queue)
        workbench = current_app.extensions.setdefault("pegboard.auth.workbench", fresh)
    return workbench.run(work)


def _under_gevent() -> bool:
    try:
        from gevent.monkey import is_module_patched
    except ImportError:
        return False
    return bool(is_module_patched("threading"))
