"""Passwords: choosing one, verifying one, where that stops nobody else.

A hash is some 30 ms of CPU and 19 MiB. Under gevent it runs in a small pool of real threads, for the loop
must go on; the pool is made on first use, which is after the fork. Whoever finds the queue full is told so at once.
Call these outside a unit of work: no connection is worth holding for that long.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app

from core.data import unit_or_none
from core.errors import BUSY, VALIDATION_FAILED, FieldFault, Refused
from core.registry import settings_of
from plugins.auth.common_passwords import is_common
from plugins.auth.hashers import NEW, hasher_of

T = TypeVar("T")

DETAIL = "this is one of the passwords that everybody tries first; choose another"


def chosen(password: str, field: str = "$.password") -> str:
    """The hash of a password that somebody chose. ``Refused``: VALIDATION_FAILED for a common one, BUSY."""

    def work() -> str | None:
        return None if is_common(_normal(password)) else NEW.hash(_prepared(password))

    digest = _off_the_loop(work)
    if digest is None:
        raise Refused(VALIDATION_FAILED, f"{field}: {DETAIL}", fields=[FieldFault(field, "TOO_COMMON", DETAIL)])
    return digest


def hashed(password: str) -> str:
    """The password's hash in PHC form, however common it is. ``Refused(BUSY)`` when too many wait already."""
    return _off_the_loop(lambda: NEW.hash(_prepared(password)))


def matches(password: str, known: str | None) -> bool:
    """Whether the password has this hash. Without one the work is done all the same, and the answer is no."""
    return _off_the_loop(lambda: _verify(known or NEW.decoy(), _prepared(password)))


def outdated(known: str) -> bool:
    """Whether a hash that has just verified should be replaced: other costs, or another system's way."""
    hasher = hasher_of(known)
    return hasher is not None and hasher.outdated(known)


def _verify(known: str, password: bytes) -> bool:
    hasher = hasher_of(known)
    return hasher is not None and hasher.verify(known, password)


def _prepared(password: str) -> bytes:
    return _normal(password).encode()


def _normal(password: str) -> str:
    """One text for what looks the same, whichever keyboard it came from (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


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
