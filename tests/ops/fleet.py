"""What the tests of processes share: a plugin whose routes and tasks take their time, and small HTTP clients."""

from __future__ import annotations

import contextlib
import http.client
import os
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PARTS = {
    "__init__": """\
        from core.registry import Plugin

        plugin = Plugin(name="naps", package=__name__)
        """,
    "views": """\
        import time
        from core.data import in_steps, redis
        from core.trust import public
        from core.web import Body, Routes

        routes = Routes(__name__)

        class Nap(Body):
            seconds: float

        @routes.post("/naps")
        @public
        @in_steps
        def nap(body: Nap) -> dict[str, float]:
            redis.client().incr("naps:begun")
            time.sleep(body.seconds)
            return {"slept": body.seconds}

        @routes.get("/word")
        @public
        def word() -> dict[str, str]:
            return {"word": "awake"}
        """,
    "tasks": """\
        import time
        from core.background import task
        from core.data import in_steps, redis
        from core.trust import public

        @task()
        @public
        @in_steps
        def rest(seconds: float, word: str) -> None:
            redis.client().rpush("naps", f"{word} begun")
            time.sleep(seconds)
            redis.client().rpush("naps", f"{word} done")
        """,
}


def install_naps(folder: Path) -> dict[str, str]:
    """Write the plugin; answers the environment of processes that are to have it."""
    package, metadata = folder / "naps", folder / "naps-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    for part, source in PARTS.items():
        (package / f"{part}.py").write_text(textwrap.dedent(source))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: naps\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pegboard.plugins]\nnaps = naps:plugin\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), os.environ["PYTHONPATH"]))}


def eventually(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``what()`` answers once that is true; it must be so in time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def connect(url: str, timeout: float = 30) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """GET, or POST of JSON, on an open connection."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("GET" if body is None else "POST", path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def ask_once(url: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """The same on a connection of its own."""
    with contextlib.closing(connect(url)) as connection:
        return ask(connection, path, body)


class Nap(threading.Thread):
    """A request that takes its time, in a thread: ``status`` is what it got, ``None`` when it was cut off."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self.url, self.seconds, self.status = url, seconds, None
        self.start()

    def run(self) -> None:
        connection = connect(self.url)
        try:
            self.status, _ = ask(connection, "/api/naps/naps", f'{{"seconds": {self.seconds}}}'.encode())
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def children(pid: int) -> list[int]:
    """The processes that ``pid`` has started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
