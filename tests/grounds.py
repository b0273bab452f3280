"""Where processes are forked to be killed: one that has imported everything, and forks whoever is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from redis_sites import ROOT

from core.ops.servers import Server, ServerFailed

Ground = Callable[..., int]
"""Called with a role, a site, at which call there, and at which moment of it (``arms.Arm``); answers how that process
ended."""
MOMENTS = ("before", "sent", "unread", "after")
LEASE = 1.0
"""Seconds that a lease lasts there."""
AWAY = 0.05
"""Seconds for which a server that was killed is not there, at least."""


class Point(NamedTuple):
    """Where one dies, and as what; ``calls`` are the first, second … time that it comes there."""

    site: str
    role: str
    calls: tuple[int, ...] = (1,)


@contextmanager
def opened(script: str, environ: Mapping[str, str]) -> Iterator[Ground]:
    """``script`` is the name of a module of ``tests``: ``killing_ground``, or one that adds roles to it."""
    path = os.pathsep.join((environ.get("PYTHONPATH", ""), str(ROOT)))
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / f"{script}.py")],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        told, orders = process.stdout, process.stdin
        assert told.readline() == "ready\n"

        def send(role: str, site: str = "", nth: int = 1, moment: str = "before", **more: Any) -> int:
            orders.write(json.dumps({"role": role, "site": site, "nth": nth, "moment": moment, **more}) + "\n")
            orders.flush()
            return int(told.readline())

        yield send
        orders.close()
        process.wait(30)


@contextmanager
def revived(server: Server) -> Iterator[int]:
    """It is started again should it be killed meanwhile; it runs, with this number, before and after."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if not server.alive:
                over.wait(AWAY)
                server.start()
                return

    assert server.pid
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield server.pid
    finally:
        over.set()
        watcher.join()
        with suppress(ServerFailed):  # its threads may take a moment to end
            server.start()
        server.start()
