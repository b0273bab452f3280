"""Where a ``LeasedHuey`` finds its Redis and its keys: in the board's settings, or in what it was given."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from flask import Flask, current_app

from core.data import redis
from core.trust import secrets

if TYPE_CHECKING:
    from redis import Redis

PURPOSE = "huey"
"""Of the keys that sign tasks and results."""


class Place(Protocol):
    def client(self) -> Redis:
        """The pooled client of this process."""

    def dedicated(self, timeout: float) -> Redis:
        """A client of one connection; whoever asks closes it."""

    def sign(self, data: bytes) -> bytes: ...

    def verify(self, signed: bytes) -> bytes:
        """What was signed; raises ``secrets.BadSignature``."""

    def running(self) -> None:
        """A consumer begins here: remember what its threads need."""

    def context(self) -> AbstractContextManager[None]:
        """Around each task."""


class OfTheBoard:
    """The board's Redis and SECRET_KEYS, those of the app whose context is there."""

    def __init__(self) -> None:
        self.app: Flask | None = None

    def client(self) -> Redis:
        return redis.client()

    def dedicated(self, timeout: float) -> Redis:
        return redis.dedicated(timeout)

    def sign(self, data: bytes) -> bytes:
        return secrets.sign(PURPOSE, data).encode()

    def verify(self, signed: bytes) -> bytes:
        try:
            return secrets.verify(PURPOSE, signed.decode("ascii"))
        except UnicodeDecodeError:
            raise secrets.BadSignature from None

    def running(self) -> None:
        self.app = current_app._get_current_object()  # type: ignore[attr-defined]

    @contextmanager
    def context(self) -> Iterator[None]:
        """A context for one task; the consumer's threads have none of their own."""
        if self.app is None:
            yield
            return
        with self.app.app_context():
            yield


class OfItsOwn:
    """A Redis and a secret that are given: no board is needed."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._key = secrets.derive_from(secret, PURPOSE)
        self._clients: dict[int, Redis] = {}

    def client(self) -> Redis:
        """One pool for each process: connections that a fork shared would mix their replies."""
        found = self._clients.get(os.getpid())
        return found or self._clients.setdefault(os.getpid(), self._open(10))

    def dedicated(self, timeout: float) -> Redis:
        return self._open(1, timeout)

    def _open(self, size: int, timeout: float = 2.0) -> Redis:
        from core.data.redis.connections import open_client

        return open_client(self.url, True, socket_timeout=timeout, size=size)

    def sign(self, data: bytes) -> bytes:
        return self._mac(data) + b"." + data

    def verify(self, signed: bytes) -> bytes:
        mac, _, data = signed.partition(b".")
        if not hmac.compare_digest(mac, self._mac(data)):
            raise secrets.BadSignature
        return data

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, hashlib.sha256).hex().encode()

    def running(self) -> None:
        """Nothing: whatever is needed was given."""

    @contextmanager
    def context(self) -> Iterator[None]:
        yield
