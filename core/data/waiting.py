"""psycopg waits in gevent's own hub.

Where gevent has patched ``select``, psycopg falls back to Python's ``poll``, which under the patch makes an object, a
watcher and an event for each wait; a request waits once for each of its statements. Here a wait is one watcher for
the socket and one for the time. What it promises is the same: the generator is asked again after ``interval``
seconds without news, so that a connection that was closed meanwhile is noticed, and ``timeout`` is honoured.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import socket
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from psycopg import errors, waiting
from psycopg.abc import PQGen

log = logging.getLogger(__name__)

READ, WRITE = 1, 2  # libev's, libuv's and psycopg's numbers for the two are the same

SHORTEST = 0.001  # a timer of 0 would come before any news from the socket

_stock = waiting.wait
_patience = float("inf")


def install(patience: float) -> bool:
    """Wait in the hub from now on, where this process is patched; whether it does. May be called again.

    A server that says nothing for ``patience`` seconds is hung up on. Its own statement time-out comes first where it
    is alive; one that is frozen, or behind a network that swallows packets, keeps no time-out at all.
    """
    global _patience
    _patience = patience
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("select"):
        return False
    if not _fits(_stock):
        log.warning("this psycopg waits in a way that is not known here: its own wait stays, which costs more")
        return False
    waiting.wait = wait
    return True


def _fits(stock: Callable[..., Any]) -> bool:
    """Whether psycopg's wait takes what ours does; its C version tells nothing of itself."""
    try:
        return list(inspect.signature(stock).parameters) == ["gen", "fileno", "interval", "timeout"]
    except ValueError:
        return hasattr(errors, "_WaitTimeout")


def wait(gen: PQGen[Any], fileno: int, interval: float = 0.0, timeout: float | None = None) -> Any:
    """As ``psycopg.waiting.wait``: drive ``gen`` until it returns, waiting for ``fileno`` as it asks."""
    from gevent import get_hub
    from gevent.hub import Waiter

    try:
        wanted: int = next(gen)
        began = monotonic()
        deadline = None if timeout is None else began + timeout
        hub = get_hub()
        while True:
            longest = interval if deadline is None else min(interval, deadline - monotonic())
            waiter = Waiter(hub)
            # Own watchers each time: the descriptor may be another connection's when we wait again.
            news, timer = hub.loop.io(fileno, int(wanted)), hub.loop.timer(max(longest, SHORTEST))
            try:
                news.start(waiter.switch, pass_events=True)
                timer.start(waiter.switch, 0)
                ready = waiter.get() & (READ | WRITE)
            finally:
                news.close()
                timer.close()
            if not ready:
                _check_open(fileno)
                if monotonic() - began > _patience:
                    _hang_up(fileno)
            wanted = gen.send(ready) or wanted
            if deadline is not None and monotonic() >= deadline:
                raise errors._WaitTimeout("wait timeout expired")
    except StopIteration as done:
        return done.value


def _hang_up(fileno: int) -> None:
    """Let psycopg find the connection closed: it then says so itself, and the pool throws it away."""
    with socket.socket(fileno=os.dup(fileno)) as ours, contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)


def _check_open(fileno: int) -> None:
    try:
        os.fstat(fileno)
    except OSError as exc:
        raise errors.OperationalError("connection socket closed") from exc
