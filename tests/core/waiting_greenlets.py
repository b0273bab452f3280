"""Run by ``test_waiting.py`` in a process of its own, which gevent patches: psycopg there waits in the hub."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import psycopg  # noqa: E402
from psycopg import waiting as stock  # noqa: E402

from core.data import waiting  # noqa: E402

URL = os.environ["DATABASE_URL"]


def connect() -> psycopg.Connection[Any]:
    return psycopg.connect(URL, autocommit=True)


def failure(call: Callable[[], Any]) -> str:
    try:
        call()
    except BaseException as exc:
        return type(exc).__name__
    return "none"


def side_by_side() -> int:
    """How many of ten statements wait for the server at once: for a lock, which is let go when all do."""
    key = int.from_bytes(os.urandom(3))
    holder, connections = connect(), [connect() for _ in range(10)]
    holder.execute("select pg_advisory_lock(%s)", (key,))
    waiters = [gevent.spawn(one.execute, "select pg_advisory_lock_shared(%s)", (key,)) for one in connections]
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and objid = %s and not granted"
    with gevent.Timeout(20):
        while (row := holder.execute(waiting, (key,)).fetchone()) and row[0] < 10:
            gevent.sleep(0.01)
    holder.execute("select pg_advisory_unlock(%s)", (key,))
    gevent.joinall(waiters, raise_error=True)
    return int(row[0]) if row else 0


def large() -> int:
    """More than any socket buffer, both ways."""
    text = "x" * 20_000_000
    row = connect().execute("select length(%s), repeat('y', 20000000)", (text,)).fetchone()
    assert row
    return int(row[0]) + len(row[1])


def statement_timeout() -> str:
    one = connect()
    one.execute("set statement_timeout = '50ms'")
    return failure(lambda: one.execute("select pg_sleep(5)")) + " " + failure(lambda: one.execute("select 1"))


def cancelled() -> str:
    one = connect()
    gevent.spawn_later(0.1, one.cancel_safe)
    return failure(lambda: one.execute("select pg_sleep(5)")) + " " + failure(lambda: one.execute("select 1"))


def notified() -> list[str]:
    """``timeout`` of psycopg's own wait: none comes in 0.1 s, then one does."""
    one, other = connect(), connect()
    one.execute("listen things")
    early = [notice.payload for notice in one.notifies(timeout=0.1)]
    gevent.spawn_later(0.1, other.execute, "notify things, 'now'")
    return [str(len(early)), *(notice.payload for notice in one.notifies(timeout=5, stop_after=1))]


def closed_meanwhile() -> str:
    """Another greenlet closes the connection under a wait, which must end."""
    one = connect()
    gevent.spawn_later(0.1, one.close)
    return failure(lambda: one.execute("select pg_sleep(5)"))


def server_gone() -> str:
    one, other = connect(), connect()
    gevent.spawn_later(0.1, other.execute, "select pg_terminate_backend(%s)", (one.info.backend_pid,))
    return failure(lambda: one.execute("select pg_sleep(5)"))


def silent() -> str:
    """A server that is alive and says nothing, as one that is frozen: it is hung up on."""
    one = connect()
    waiting.install(0.5)
    began = time.monotonic()
    try:
        told = failure(lambda: one.execute("select pg_sleep(30)"))
    finally:
        waiting.install(30)
    assert time.monotonic() - began < 5
    return f"{told} {'closed' if one.closed else 'open'}"


def abandoned() -> str:
    """A time-out of the caller's ends the wait, and leaves the loop clean for the next."""
    one = connect()

    def nap() -> None:
        with gevent.Timeout(0.1):
            one.execute("select pg_sleep(5)")

    first = failure(nap)
    one.close()
    return first + " " + failure(lambda: connect().execute("select 1"))


def main() -> None:
    installed = waiting.install(30) and stock.wait is waiting.wait
    began = time.monotonic()
    checks = (
        side_by_side,
        large,
        statement_timeout,
        cancelled,
        notified,
        closed_meanwhile,
        server_gone,
        silent,
        abandoned,
    )
    found = {check.__name__: check() for check in checks}
    json.dump({"installed": installed, "seconds": time.monotonic() - began, **found}, sys.stdout)


if __name__ == "__main__":
    main()
