"""The worker's crews: for each queue Huey's consumer with greenlets, over a pump of its own, until told to end.

Of a queue whose tasks are of the kind ``process`` a greenlet waits while a child process does its job."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

import gevent
from flask import Flask
from gevent.event import Event
from huey.consumer import Consumer

from core.background.queue import delivery, lines, routes
from core.background.queue.bell import Bell
from core.background.queue.children import Children
from core.background.queue.heartbeat import Heartbeat
from core.background.queue.huey import BoardHuey, Hand
from core.background.queue.leased import Leased
from core.background.queue.neighbours import me
from core.background.queue.outside import Outside
from core.background.queue.pump import Pump
from core.background.queue.running import WorkerEnds, attempt
from core.background.queue.sizes import process_queues, queues_of, unconsumed, unnamed
from core.background.queue.watchdog import Watchdog
from core.background.schedules import tasks
from core.data import redis

log = logging.getLogger(__name__)

FINISH = 20
"""Seconds that running jobs are given after SIGTERM; platforms kill after 30."""
PUT_BACK = 2
"""Seconds for those that did not finish, to go back to their queues."""
SETTLE = 2
"""Seconds for the last to be settled."""
AGAIN = 5.0
"""Seconds between two tries to tell the others of this worker's tasks."""
TOLD_EACH = 3600.0
"""Seconds after which they are told again: what nobody has told for a day is forgotten."""
TIMEOUT = 4.0
"""Of the pumps' connections: a step waits for nothing."""


class Crew(Consumer):
    """Huey's consumer on one queue, minus its signals, its schedule and its restarts."""

    worker_class = Hand

    def __init__(self, huey: BoardHuey, size: int) -> None:
        super().__init__(
            huey,
            workers=size,
            periodic=False,
            worker_type="greenlet",
            scheduler_interval=60,
            check_worker_health=False,
            shutdown_timeout=FINISH,
        )
        self.pump = huey.pump
        self.flow = gevent.spawn(huey.pump.run)

    def _set_signal_handlers(self) -> None:
        """One handler for all crews: ``consume`` has it."""

    def finish(self, deadline: float) -> None:
        """Let running jobs finish until then; those that do not go back."""
        self.pump.end()
        self.stop_flag.set()
        greenlets = [greenlet for _, greenlet in self.worker_threads]
        gevent.joinall(greenlets, timeout=max(0.0, deadline - time.monotonic()))
        # A job that never lets the loop go must not keep the others from going back.
        gevent.killall(greenlets, WorkerEnds, timeout=PUT_BACK)


def consume(app: Flask, leaving: Callable[[], None] = lambda: None) -> None:
    """Run jobs until SIGTERM or SIGINT, then ``leaving()``, let running ones finish, and return.

    The process must have been patched by gevent. It holds two connections to Redis and one
    for each queue, besides those of its pool.
    """
    process = me()
    with app.app_context():
        # Retried by hand: a client that does so by itself could take twice what it answers once.
        sizes = queues_of(app)
        steps, beats = redis.dedicated(TIMEOUT, size=len(sizes)), redis.dedicated(TIMEOUT)
        bell = Bell(redis.dedicated(TIMEOUT))
        children = Children()
        runs = dict.fromkeys(process_queues(app), Outside(children).attempt)
        pumps = [Pump(Leased(steps, name, process), size) for name, size in sizes.items()]
        crews = [Crew(BoardHuey(app, pump, runs.get(pump.queue.name, attempt)), pump.size) for pump in pumps]
    heartbeat = Heartbeat([Leased(beats, crew.pump.queue.name, process) for crew in crews])
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: ended.set())
    bell.ring = {crew.pump.queue.name: crew.pump.ring for crew in crews}
    bell.start()
    heartbeat.start()
    watchdog = Watchdog()
    watchdog.start()
    for crew in crews:
        crew.start()
    announcing = _announce(app)
    log.info("worker is ready", extra={"queues": sizes})
    with app.app_context():
        if others := unconsumed(app):
            told = "tasks of this worker go to queues that it does not consume: see that another does (WORKER_QUEUES)"
            log.warning(told, extra={"queues": others})
        if idle := unnamed(app):
            log.warning("WORKER_QUEUES names queues that no task of this worker goes to", extra={"queues": idle})
    # Waking now and then lets Python see a signal that came while the loop slept.
    summed = time.monotonic()
    while not ended.wait(0.2):
        watchdog.turned()
        if (now := time.monotonic()) - summed >= 1:
            lines.sum_up()
            summed = now
    watchdog.stop()
    announcing.kill(block=False)
    log.info("worker ends: running jobs may finish", extra={"running": sum(crew.pump.running for crew in crews)})
    leaving()
    deadline = time.monotonic() + FINISH
    gevent.joinall([gevent.spawn(crew.finish, deadline) for crew in crews])
    children.close()
    heartbeat.stop()
    bell.stop()
    for crew in crews:
        crew.pump.wait_settled(SETTLE)
        _leave(crew.pump)
    for client in (steps, beats):
        client.close()
    lines.sum_up()
    log.info("worker has ended")


def _announce(app: Flask) -> gevent.Greenlet:
    """Tell the others which tasks go where, and which queues there are, once Redis is there."""

    def announce() -> None:
        while True:
            try:
                with app.app_context():
                    gone = tasks.forgotten()
                    routes.tell(app, gone)
                    tasks.tell(app, gone)  # last: whoever dies before it leaves the names for the next
                    for name in routes.own_queues() | queues_of(app).keys():
                        delivery.remember(name)
                gevent.sleep(TOLD_EACH)
            except Exception:
                gevent.sleep(AGAIN)

    return gevent.spawn(announce)


def _leave(pump: Pump) -> None:
    try:
        pump.queue.leave()
    except Exception as exc:
        log.warning("the leases of this worker will lapse by themselves: %s", exc)
