"""The worker's side of its child processes: asking the template for them, lending them out, and ending them.

The worker is patched by gevent and waits for them in its loop; children and template are in other processes.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections import deque
from threading import Lock
from typing import Any

import gevent
from gevent.event import AsyncResult

from core.background.queue import talk
from core.background.queue.orphans import kill_group

log = logging.getLogger(__name__)

IDLE = 60.0
"""Seconds without a job after which a child, and after the last one the template, leaves."""
BOOT = 60.0
"""Seconds for a template to boot and fork; after them it is killed, and all of its children with it."""
DYING = 5.0
"""Seconds for a killed child to be buried; after them the template is killed, and all of its children with it."""


class NoChild(Exception):
    """No process could be had."""


class Child:
    """A process that runs one job at a time. ``ended`` answers its status, ``None`` where nobody can tell it."""

    def __init__(self, seat: socket.socket) -> None:
        self.seat = seat
        self.pid = 0
        self.born: AsyncResult[int] = AsyncResult()
        self.ended: AsyncResult[int | None] = AsyncResult()
        self.since = 0.0

    def ask(self, message: bytes) -> bytes | None:
        """Have it run a job; ``None`` when it ends before it has answered."""
        try:
            talk.send(self.seat, message)
        except ConnectionError:
            return None
        return talk.receive(self.seat)

    def bury(self, status: int | None) -> None:
        """It has ended, and what it had started has been killed: whoever waits for its answer finds it closed."""
        self.born.set(0)
        self.ended.set(status)

    def ending(self) -> str:
        """How it ended, in words."""
        status = self.ended.wait(DYING)
        if status is None:
            return "its process ended"
        return f"its process ended by signal {-status}" if status < 0 else f"its process ended with status {status}"


class Template:
    """A running template, and its children by their numbers."""

    def __init__(self) -> None:
        self.children: dict[int, Child] = {}
        self.gone = False
        self._unborn: dict[int, Child] = {}
        self._number = 0
        self._control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "core.worker_child", str(theirs.fileno())]
            pass_fds = (theirs.fileno(),)
            self.process = subprocess.Popen(command, pass_fds=pass_fds, stdin=subprocess.DEVNULL)
        gevent.spawn(self._listen)

    def fork(self) -> Child:
        """A child that nobody has used. Raises ``NoChild``."""
        ours, theirs = socket.socketpair()
        child, number = Child(ours), self._number
        self._number += 1
        self._unborn[number] = child
        try:
            with theirs:
                socket.send_fds(self._control, [talk.RECORD.pack(talk.FORK, number, 0)], [theirs.fileno()])
            if not child.born.wait(BOOT):
                if not child.born.ready():
                    self._give_up()
                    child.born.wait(DYING)
                raise NoChild("the template made none")
        except OSError as exc:
            raise NoChild(f"the template is gone: {exc}") from exc
        finally:
            self._unborn.pop(number, None)
            if not child.pid:
                ours.close()  # if it comes to be after all, it leaves at once
        return child

    def kill(self, child: Child) -> None:
        """Return once it has ended, and can do nothing more."""
        with contextlib.suppress(OSError):  # a template that is gone has taken it along
            self._control.sendall(talk.RECORD.pack(talk.KILL, child.pid, 0))
        child.ended.wait(DYING)
        if not child.ended.ready():
            self._give_up()
            child.ended.wait(DYING)

    def _give_up(self) -> None:
        """The next job gets another."""
        log.error("the template does not answer: it is killed with all of its children")
        self.process.kill()

    @property
    def unused(self) -> bool:
        return not self.children and not self._unborn

    def close(self) -> None:
        """It ends, and its children are killed."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        while (record := talk.exactly(self._control, talk.RECORD.size)) is not None:
            what, number, told = talk.RECORD.unpack(record)
            if what == talk.ENDED:
                if dead := self.children.pop(number, None):
                    dead.bury(told)
            elif child := self._unborn.get(number):
                child.pid = told
                if told:
                    self.children[told] = child
                child.born.set(told)
        self.gone = True
        self._control.close()
        for child in [*self._unborn.values(), *self.children.values()]:
            if child.pid:
                kill_group(child.pid)  # its template cannot any more
            child.bury(None)
        self.children.clear()


class Children:
    """Those of this worker; whoever takes one puts it back, or kills it."""

    def __init__(self) -> None:
        self._template: Template | None = None
        self._lock = Lock()
        self._idle: deque[Child] = deque()
        self._used = 0.0
        self._tidying: Any = None

    def take(self) -> Child:
        """The one that was used last, whose memory is warm, or a new one. Raises ``NoChild``."""
        self._used = time.monotonic()
        while self._idle:
            child = self._idle.pop()
            if not child.ended.ready():
                return child
            child.seat.close()
        return self._living().fork()

    def put_back(self, child: Child) -> None:
        self._used = child.since = time.monotonic()
        self._idle.append(child)

    def kill(self, child: Child) -> None:
        if self._template is not None:
            self._template.kill(child)
        child.seat.close()

    def close(self) -> None:
        """End all of them, and wait a little for that."""
        if self._tidying is not None:
            self._tidying.kill()
        if self._template is not None:
            self._template.close()
            try:
                self._template.process.wait(1)
            except subprocess.TimeoutExpired:
                self._template.process.kill()

    def _living(self) -> Template:
        with self._lock:
            if self._template is None or self._template.gone:
                self._template = Template()
            if self._tidying is None:
                self._tidying = gevent.spawn(self._tidy)
            return self._template

    def _tidy(self) -> None:
        while True:
            gevent.sleep(IDLE / 10)
            now = time.monotonic()
            while self._idle and now - self._idle[0].since > IDLE:
                self._idle.popleft().seat.close()
            with self._lock:
                if self._template and self._template.unused and now - self._used > IDLE:
                    self._template.close()
                    self._template = None
