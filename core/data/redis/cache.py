"""A small cache in each process whose entries are dropped, in all of them, when somebody says that they changed."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from core.data.redis.notices import ANY, listen, notify_all, on_change
from core.data.redis.pool import Server, here

V = TypeVar("V")

DEAF_TTL = 1.0  # seconds that an entry lives at most while notices may be lost


class NoticedCache(Generic[V]):
    """``roles = NoticedCache("access.roles")`` at import, ``roles.get(key, load)`` anywhere in an app context.

    An entry lives ``ttl`` seconds, or until ``roles.changed(key)`` in any process; while notices do not arrive, one
    second. At most ``size`` entries, the least recently used goes first. Keys are text; what belongs to a tenant has
    its id in the key.
    """

    def __init__(self, name: str, ttl: float = 60.0, size: int = 1024) -> None:
        self.name = name
        self.ttl = ttl
        self.size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Server, str], tuple[float, V]] = OrderedDict()
        self._loading: dict[tuple[Server, str], object] = {}
        _caches.add(self)

    def get(self, key: str, load: Callable[[], V]) -> V:
        """The value under ``key``, from ``load()`` where it is not known. What ``load`` raises is not kept."""
        mine = here()
        ttl = self.ttl if listen(mine).live() else min(self.ttl, DEAF_TTL)
        place = (mine.server, key)
        now = time.monotonic()
        with self._lock:
            entry = self._entries.get(place)
            if entry and now - entry[0] < ttl:
                self._entries.move_to_end(place)
                return entry[1]
            # One for all who load at once: the first to end keeps its value. With a mark each, the last to begin would,
            # and under a steady stream of others nobody is the last.
            mark = self._loading.setdefault(place, object())
        try:
            value = load()
        except BaseException:
            with self._lock:
                self._settle(place, mark)
            raise
        with self._lock:
            # A notice that came while we loaded has taken our mark away: the value may be the old one.
            if self._settle(place, mark):
                self._entries[place] = (now, value)
                self._entries.move_to_end(place)
                if len(self._entries) > self.size:
                    self._entries.popitem(last=False)
        return value

    def changed(self, key: str = ANY) -> None:
        """Drop the entry in every process of the board, or all entries. Call it after the commit."""
        notify_all(self.name, key)

    def _settle(self, place: tuple[Server, str], mark: object) -> bool:
        if self._loading.get(place) is not mark:
            return False
        del self._loading[place]
        return True

    def drop(self, server: Server, key: str) -> None:
        """Forget, in this process."""
        with self._lock:
            known = {*self._entries, *self._loading} if key == ANY else {(server, key)}
            for place in known:
                if place[0] is server:
                    self._entries.pop(place, None)
                    self._loading.pop(place, None)


_caches: weakref.WeakSet[NoticedCache[Any]] = weakref.WeakSet()


def clear_caches() -> None:
    """Forget everything that this process has cached for this board; for tests that change data behind its back."""
    _drop(here().server, ANY, ANY)


def _drop(server: Server, name: str, key: str) -> None:
    for cache in list(_caches):
        if name in (ANY, cache.name):
            cache.drop(server, key)


on_change.append(_drop)
