"""Performing in this process whatever waits, for tests and tools; with the same leases as a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

from flask import Flask

from core.background.queue import delivery, lines, messages, settling
from core.background.queue.leased import Leased, Settled
from core.background.queue.running import attempt
from core.data import confirming, redis, sweeping


def drain(app: Flask) -> int:
    """Perform all that waits in the outbox and the queues and is due, and what that enqueues.

    Answers how many jobs ran, repetitions included.
    """
    done = 0
    with app.app_context():
        while True:
            sweeping.sweep(settled=timedelta(0))
            taken = [frame for name in delivery.names() for frame in _ran(name, app)]
            if not taken:
                confirming.confirm(after=timedelta(0))
                lines.sum_up()
                return done
            done += sum(taken)


def _ran(name: str, app: Flask) -> Iterator[bool]:
    """Take one job of a queue; tell whether it ran, or could not be read."""
    queue = Leased(redis.client(), name, f"drain-{os.getpid()}")
    try:
        for frame in queue.step(1).taken:
            try:
                envelope = messages.decode(frame.message)
            except messages.BadMessage as exc:
                queue.step(0, [Settled.of(frame, *settling.unreadable(frame, str(exc)))])
                yield False
                continue
            if not delivery.is_at_home(envelope, frame, name):
                delivery.pass_on(envelope, frame.nonce, name)
                queue.step(0, [Settled.of(frame)])
                yield False
                continue
            outcome = attempt(envelope, app, queue.held_as(frame))
            effects = settling.effects_of(frame, outcome, name)
            step = queue.step(0, [Settled.of(frame, *effects)])
            if told := settling.told_of(outcome, effects):
                told(not step.lost, False)
            yield True
    finally:
        queue.leave()
