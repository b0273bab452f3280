"""Who dies by SIGKILL at a call to Redis that an order names: the process that calls, or the server that it calls.

Imported after gevent's patch. A server that was killed is started again by others (``grounds.revived``).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from gevent import getcurrent
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, NoScriptError
from redis_sites import ROOT

from core.background.queue.native import original

TASK = "the task"
"""The site of what the task itself sends."""


class Arm:
    """Strikes at the ``nth`` call from ``site``, once, at its moment.

    ``before``: nothing was sent. ``sent``: whether it was done is open, for no reply is read. ``unread``: it was done,
    and the reply is lost on its way. ``after``: the reply has come.
    """

    def __init__(self, order: dict[str, Any], known: set[str]) -> None:
        self.site, self.nth, self.moment = order["site"], order["nth"], order["moment"]
        self.server: int = order.get("server", 0)
        self.known = known
        self.met = 0
        self.struck = False
        self._reader: Any = None

    def take_up(self) -> None:
        self._around(Redis, "execute_command")
        self._around(Pipeline, "execute")
        self._between()

    def _around(self, sender: type, name: str) -> None:
        send = getattr(sender, name)

        def sent(client: Any, *args: Any, **given: Any) -> Any:
            here = self._site(sys._getframe(1))
            self.met += here == self.site
            mine = here == self.site and self.met == self.nth and not self.struck
            if mine and self.moment == "before":
                self._strike()
            if mine and self.moment in ("sent", "unread"):
                self._reader = getcurrent()
            if mine and self.moment == "sent" and self.server:
                self._settle()
            try:
                reply = send(client, *args, **given)
            except NoScriptError:  # nothing was done, and it is sent again, whole
                self.met -= here == self.site
                raise
            if mine and self.moment == "after":
                self._strike()
            return reply

        setattr(sender, name, sent)

    def _between(self) -> None:
        """Between sending and reading: the first reply of a pipeline comes when all of it was done."""
        read: Callable[..., Any] = Redis.parse_response

        def parsed(client: Any, connection: Any, *args: Any, **given: Any) -> Any:
            if self._reader is not getcurrent():
                return read(client, connection, *args, **given)
            self._reader = None
            if self.moment == "unread":
                read(client, connection, *args, **given)
            self._strike()
            raise ConnectionError("the reply was never read")

        Redis.parse_response = parsed  # type: ignore[method-assign]

    def _strike(self) -> None:
        self.struck = True
        if self.server and self.moment != "sent":
            self._settle()
        os.kill(self.server or os.getpid(), signal.SIGKILL)
        while not _has_ended(self.server):  # nothing else of this process goes on meanwhile
            original("time", "sleep")(0.001)

    def _settle(self) -> None:
        """Let the server write what it has told others of to its append-only file.

        While it syncs that file it holds back what comes then, and forgets it when it is killed: its last second is no
        promise of ours (docs/operators/jobs.md).
        """
        url = urlsplit(os.environ["REDIS_URL"])
        with original("socket", "socket")() as line:  # gevent's would let others go on
            line.connect((url.hostname, url.port))
            line.sendall(f"AUTH {url.password}\r\n".encode())
            told = b""
            while not (b"aof_buffer_length:0\r" in told and b"aof_pending_bio_fsync:0\r" in told):
                line.sendall(b"INFO persistence\r\n")
                told = line.recv(65536)

    def _site(self, frame: FrameType | None) -> str:
        """The innermost function on the stack that is a site."""
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(f"{ROOT}/core/"):
                here = f"{code.co_filename.removeprefix(f'{ROOT}/')}:{code.co_qualname.partition('.<locals>')[0]}"
                if here in self.known:
                    return here
            elif code.co_filename.endswith(("/chores/tasks.py", "/huey_shop.py")):
                return TASK
            frame = frame.f_back
        return ""


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
