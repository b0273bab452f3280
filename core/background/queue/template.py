"""The template: a process that has the board in memory, runs nothing, and forks a child for each seat on demand.

gevent has patched the worker, so what it forks would be patched too, and share its loop. The template is not: its
children compute as plain processes do, and share its memory as long as they do not write to it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
from types import FrameType

from flask import Flask

from core import telemetry
from core.background.queue import child, talk
from core.background.queue.orphans import kill_group, lead

log = logging.getLogger(__name__)

POOL = 2
"""Connections to PostgreSQL, at most, of one child: its job's, and that of a unit apart (as in ``core.ops.budget``)."""


def serve(app: Flask, control: socket.socket) -> None:
    """Obey the worker at the other end of ``control`` until it hangs up; then nothing of this is left."""
    # Platforms, and a terminal, tell all of a machine's processes to end: the worker alone decides when we do. A
    # handler, for what is ignored would stay so in programs that jobs start.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, _let_pass)
    bell, ringer = socket.socketpair()
    with bell, ringer:
        bell.setblocking(False)
        ringer.setblocking(False)
        signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # a collection in a child would write to all that they share
        nursery = Nursery(app, control)
        try:
            while nursery.turn(bell):
                pass
        finally:
            nursery.end()
            gc.unfreeze()


def _let_pass(number: int, frame: FrameType | None) -> None:
    pass


class Nursery:
    """Forks, kills and buries; ``control`` is the worker's."""

    def __init__(self, app: Flask, control: socket.socket) -> None:
        self.app = app
        self.control = control
        self.me = os.getpid()
        self._living: set[int] = set()

    def turn(self, bell: socket.socket) -> bool:
        """Wait for an order or a death; False once the worker has hung up."""
        ready, _, _ = select.select([self.control, bell], [], [])
        if bell in ready:
            bell.recv(4096)
            self._bury()
        return self.control not in ready or self._obey()

    def _obey(self) -> bool:
        try:
            order, descriptors, _, _ = socket.recv_fds(self.control, talk.RECORD.size, 1)
        except ConnectionError:
            return False
        if len(order) < talk.RECORD.size:
            return False
        what, number, _ = talk.RECORD.unpack(order)
        if what == talk.FORK:
            self._tell(talk.FORK, number, self._fork(*descriptors))
        elif what == talk.KILL and number in self._living:
            kill_group(number)
        return True

    def _fork(self, descriptor: int) -> int:
        with socket.socket(fileno=descriptor) as seat:
            try:
                pid = os.fork()
            except OSError as exc:
                log.error("no process can be made for a job: %s", exc)
                return 0
            if pid == 0:
                self.control.close()
                child.run(self.app, seat, self.me)
        lead(pid)
        self._living.add(pid)
        return pid

    def _bury(self) -> None:
        """Tell of those that have ended. Until one is waited for, its number is nobody else's."""
        for pid in list(self._living):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            kill_group(pid)  # what it has started and left
            _, status = os.waitpid(pid, 0)
            self._living.discard(pid)
            telemetry.child_exit(pid)
            self._tell(talk.ENDED, pid, os.waitstatus_to_exitcode(status))

    def _tell(self, what: bytes, number: int, more: int) -> None:
        with contextlib.suppress(ConnectionError):  # the worker is gone, as the next turn will find
            self.control.sendall(talk.RECORD.pack(what, number, more))

    def end(self) -> None:
        for pid in self._living:
            kill_group(pid)
        for pid in self._living:
            os.waitpid(pid, 0)
            telemetry.child_exit(pid)
