"""A way to a real Redis that a test can cut, freeze or mute, and an app that has nothing but Redis."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from flask import Flask

from core.config import BoardSettings
from core.data import redis
from core.data.redis import pool


def bare(url: str, *, verify_tls: bool = True) -> Flask:
    app = Flask("bare")
    app.extensions["pegboard.settings"] = BoardSettings(
        app_env="development",
        secret_keys=("a secret of nobody, 32 characters",),
        database_url="-",
        mongodb_uri="-",
        redis_url=url,
        redis_tls_verify=verify_tls,
    )
    redis.init_app(app)
    return app


def until(true: Callable[[], Any], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class Cable:
    """A way to the server that a test can cut, freeze (nothing passes) or mute (commands pass, replies do not)."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self.server = urlsplit(url)
        self.tls = tls
        self.frozen = self.muted = False
        self.accepted = 0
        self.ends: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def url(self, options: str = "") -> str:
        scheme = "rediss" if self.tls else "redis"
        user, at, _ = self.server.netloc.rpartition("@")
        return urlunsplit((scheme, f"{user}{at}127.0.0.1:{self.port}", self.server.path, options, ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Cut it, and let nobody go on trying."""
        self.cut()
        for server in pool.servers():
            if f":{self.port}/" in server.url:
                server.close()

    def cut(self) -> None:
        end(self.listener)
        for each in self.ends:
            end(each)
        self.ends.clear()

    def mend(self) -> None:
        self.frozen = self.muted = False
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                near = self.tls.wrap_socket(near, server_side=True) if self.tls else near
                far = socket.create_connection((self.server.hostname, self.server.port))
            except OSError:
                end(near)
                continue
            self.accepted += 1
            self.ends += [near, far]
            for one, other, back in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pump, args=(one, other, back), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, back: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if back and self.muted:
                    break
                while self.frozen:
                    time.sleep(0.005)
                other.sendall(data)
        end(one)
        end(other)


def end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
