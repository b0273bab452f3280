"""A child of the template: runs the jobs that its worker sends it, one at a time, until the worker hangs up."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import NoReturn

import msgspec
from flask import Flask

from core.background.queue import talk
from core.background.queue.orphans import end_with, go_first
from core.background.queue.running import attempt
from core.background.queue.stories import Held
from core.data.outbox import Envelope

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(tuple[Envelope, Held | None])


def run(app: Flask, seat: socket.socket, parent: int) -> NoReturn:
    """Begin and end as a process; called right after the fork, when no connection is open yet."""
    status = 1
    try:
        end_with(parent)
        go_first()
        seat.setblocking(True)  # gevent made it otherwise
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _serve(app, seat)
        status = 0
    except BaseException:
        log.exception("a process that runs jobs ends")
    finally:
        logging.shutdown()
        os._exit(status)  # what is registered for the template's end is none of ours


def _serve(app: Flask, seat: socket.socket) -> None:
    while (message := talk.receive(seat)) is not None:
        envelope, held = _decoder.decode(message)
        outcome = attempt(envelope, app, held)
        talk.send(seat, msgspec.json.encode(outcome))
