"""gunicorn's worker, as this board runs it: it leaves in good order and in time.

A router learns late that a process is leaving, and keeps connections open between requests. So after SIGTERM: each
reply says that its connection ends; new connections are taken for ``LINGER`` seconds more, and then those that the
kernel had accepted already; connections at rest are hung up; requests under way may finish until shortly before
gunicorn's master would kill. Stock gunicorn resets the second kind and waits for the third until it is killed.

gunicorn imports this by name before anything is patched, hence it imports next to nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

LINGER = 2.0
"""Seconds for which a leaving worker still accepts: routers learn of it meanwhile. Development does without."""
RESTED = 1.0
"""A connection that has brought nothing for so many seconds is hung up; a fresh one may be about to."""
RESERVE = 4.0
"""How long before the master's SIGKILL requests under way are given up: time to notice, to cut and to tidy up."""


class Worker(GeventWorker):
    """``alive`` turns false at SIGTERM; from then on gunicorn ends each connection after its reply."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients: dict[Any, Any] = {}
        self._resting: dict[Any, float] = {}

    def run(self) -> None:
        servers = [self._serve(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            gevent.sleep(0.25)
        self._leave(servers)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        me = gevent.getcurrent()
        self._clients[me] = client
        try:
            super().handle(listener, client, addr)
        finally:
            del self._clients[me]

    @contextlib.contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Entered by gunicorn where a connection waits for its next request: meanwhile it is at rest."""
        client = self._clients[gevent.getcurrent()]
        self._resting[client] = time.monotonic()
        try:
            with super().timeout_ctx():
                yield
        finally:
            del self._resting[client]

    def _serve(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=Pool(self.worker_connections))
        if self.cfg.workers > 1:
            server.max_accept = 1  # the next one may be for a sibling
        server.start()
        return server

    def _leave(self, servers: list[StreamServer]) -> None:
        from core.background import duties

        deadline = time.monotonic() + self.cfg.graceful_timeout - RESERVE
        duties.leave()
        self._wait(0.0 if self.wsgi.extensions["pegboard.settings"].development else LINGER)
        _close(servers)
        while any(len(server.pool) for server in servers):
            if time.monotonic() > deadline:
                self.log.warning("Requests are cut off: this worker must leave (pid:%s)", self.pid)
                for server in servers:
                    server.stop(timeout=0)
                return
            self._hang_up()
            self._wait(0.1)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.notify()
            gevent.sleep(min(left, 1.0))

    def _hang_up(self) -> None:
        """End connections at rest by saying that nothing more is read: what has come already is still answered."""
        long_ago = time.monotonic() - RESTED
        for client in [client for client, since in self._resting.items() if since < long_ago]:
            with contextlib.suppress(OSError):
                # Not gevent's own, which would also make a fault of the read that waits.
                client._sock.shutdown(socket.SHUT_RD)


# A classic BPF program over TCP headers: byte 13 holds the flags; what bears SYN is dropped, all else passes.
_NO_NEWCOMERS = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
SO_ATTACH_FILTER = 26
HANDSHAKES = 0.1
"""Seconds for those who have begun to connect: some round trips."""


def _close(servers: list[StreamServer]) -> None:
    """Stop listening. Closing would reset what the kernel has accepted for us: newcomers are kept out, those taken.

    Whoever is kept out asks again in a second, finds nobody listening, and a router goes to the next process. While
    the master listens on, this worker alone leaves, and the others go on with the same socket.
    """
    last = [server for server in servers if not _master_listens(server.socket)]
    kept_out = [_keep_out(server.socket) for server in last]
    if any(kept_out):
        gevent.sleep(HANDSHAKES)
    for server in servers:
        server.stop_accepting()
        while server in last and (arrived := server.do_read()):
            server.do_handle(*arrived)
        server.close()


def _master_listens(listener: Any) -> bool:
    """Whether the master holds this socket still; it lets go before it tells its workers to leave."""
    inode = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    try:
        held = Path(f"/proc/{os.getppid()}/fd").iterdir()
        return any(inode == _target(descriptor) for descriptor in held)
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _keep_out(listener: Any) -> bool:
    """Linux lets a socket choose what reaches it; elsewhere a few connections may be reset."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_NEWCOMERS))
    try:
        option = struct.pack("HL", len(_NO_NEWCOMERS), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)
        return sys.platform == "linux"
    except OSError:
        return False


def mind_early_signals() -> None:
    """Called once in gunicorn's master. A SIGTERM must not get lost in a worker that has only just been forked.

    Until it sets up its own handlers, such a worker has those of the master, which put the signal into a queue that
    nobody there reads, and the master would wait for it until it kills. Now it ends at once: it has nothing to finish.
    """
    master, early = os.getpid(), (signal.SIGTERM, signal.SIGINT)

    def hold() -> None:
        if os.getpid() == master:
            signal.pthread_sigmask(signal.SIG_BLOCK, early)

    def release() -> None:
        if os.getpid() == master:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, early)

    def release_child() -> None:
        if os.getppid() == master:
            for number in early:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, early)

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release_child)
