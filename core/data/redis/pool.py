"""The process's one pool of Redis connections, the names of keys, and scripts.

The pool is made on first use, so after gunicorn's fork: a connection that two processes share would mix their
replies. Redis errors are redis-py's own; ``core.data.faults`` makes a 503 of those that mean "not reachable".
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import UUID

from flask import Flask, current_app

from core.config import BoardSettings
from core.errors import BootError

if TYPE_CHECKING:
    from redis import Redis

    from core.data.redis.notices import Subscription

SCHEMES = ("redis", "rediss", "unix")


class Here:
    """What this process holds of one Redis: its pool, its name in notices, its subscription once there is one."""

    def __init__(self, server: Server) -> None:
        from core.data.redis.connections import open_client

        self.server = server
        self.client = open_client(server.url, server.verify_tls)
        self.sender = secrets.token_hex(8)
        self.subscriptions: list[Subscription] = []


class Server:
    """One Redis. Boards in one process that name the same one share it."""

    def __init__(self, url: str, verify_tls: bool) -> None:
        self.url = url
        self.verify_tls = verify_tls
        self._by_process: dict[int, Here] = {}

    def here(self) -> Here:
        found = self._by_process.get(os.getpid())
        return found or self._arrive()

    def here_or_none(self) -> Here | None:
        return self._by_process.get(os.getpid())

    def close(self) -> None:
        """Give back what this process holds; the next use begins anew."""
        if mine := self._by_process.pop(os.getpid(), None):
            for subscription in mine.subscriptions:
                subscription.stop()
            mine.client.close()

    def _arrive(self) -> Here:
        # No lock: one that a thread held during the fork would stay locked in the child. Of two threads that arrive
        # at once one wins, and the other's pool has not connected yet.
        fresh = Here(self)
        mine = self._by_process.setdefault(os.getpid(), fresh)
        for pid in list(self._by_process):
            if pid != os.getpid():
                self._by_process.pop(pid, None)
        if mine is fresh:
            for hook in on_first_use:
                hook(mine)
        return mine


_servers: dict[tuple[str, bool], Server] = {}

# Called when a process first uses a Redis; filled by the notices.
on_first_use: list[Callable[[Here], None]] = []


def servers() -> list[Server]:
    return list(_servers.values())


def init_app(app: Flask) -> None:
    settings: BoardSettings = app.extensions["pegboard.settings"]
    _check(settings.redis_url)
    place = (settings.redis_url, settings.redis_tls_verify)
    app.extensions["pegboard.redis"] = _servers.setdefault(place, Server(*place))
    if app.extensions.get("pegboard.kind") != "cli":
        # Every serving process needs it: imported before the fork, its 15 MB are shared.
        importlib.import_module("core.data.redis.connections")


def _check(url: str) -> None:
    wanted = "REDIS_URL is not acceptable: expected redis://host:6379/0, rediss://… or unix:///path"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BootError(wanted) from None
    if parts.scheme not in SCHEMES:
        raise BootError(wanted)


def here() -> Here:
    server: Server = current_app.extensions["pegboard.redis"]
    return server.here()


def client() -> Redis:
    """The pooled client of this process; replies are bytes. Connecting takes at most 1 s, a reply 2 s, no retries.

    Call it where it is used and keep no copy: a copy made before a fork would share its connections.
    """
    return here().client


def dedicated(socket_timeout: float, size: int = 1) -> Redis:
    """A client with a pool of its own, for commands that block longer than 2 s; close it when done."""
    from core.data.redis.connections import open_client

    server: Server = current_app.extensions["pegboard.redis"]
    return open_client(server.url, server.verify_tls, socket_timeout=socket_timeout, size=size)


# -- names ------------------------------------------------------------------------------------------------------


def key(plugin: str, *parts: str | int | UUID) -> str:
    """``pb:<tenant>:<plugin>:<parts…>`` in the current tenant; ``LookupError`` where there is none."""
    from core.data.tenancy import current_tenant  # tenancy keeps a noticed cache, which is made of this package

    return _join(current_tenant().id, plugin, *parts)


def board_key(*parts: str | int | UUID) -> str:
    """``pb:-:<parts…>``: the board's own, shared by all tenants."""
    return _join("-", *parts)


def _join(*parts: str | int | UUID) -> str:
    # A part cannot pretend to be two: ("a:b",) and ("a", "b") are different keys.
    return "pb:" + ":".join(text if ":" not in text and "%" not in text else quote(text) for text in map(str, parts))


# -- scripts ----------------------------------------------------------------------------------------------------


class Script:
    """A Lua script, sent once and then called by its digest."""

    def __init__(self, lua: str) -> None:
        self.lua = lua
        self.sha = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str] = (), args: Sequence[Any] = (), using: Redis | None = None) -> Any:
        from redis.exceptions import NoScriptError

        store = using or client()
        try:
            return store.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:  # nothing has run: a new server, or one that was told to forget
            return store.eval(self.lua, len(keys), *keys, *args)


@functools.cache
def script(lua: str) -> Script:
    """``take = script("…")`` at import, ``take(keys=[…], args=[…])`` in an app context."""
    return Script(lua)
