"""Processes that die at a call to Redis of their choice (``arms.Arm``), or have the server die there and go on.

One process imports the board once, patched as a worker is, and forks whoever is asked for: a line of JSON each on its
standard input, and how that one ended, by its signal or its exit status, on its standard output.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from typing import Any  # noqa: E402

from arms import TASK, Arm  # noqa: E402
from flask import Flask  # noqa: E402
from grounds import LEASE  # noqa: E402
from redis.exceptions import RedisError  # noqa: E402
from redis_sites import sites  # noqa: E402

PATIENCE = 20
"""Seconds after which one that has not met its point ends by SIGALRM."""
UNMET = 3
"""The exit status of one that did not come to its point."""


def main() -> None:
    from core.app import create_app
    from core.background.queue import consumer, leased, pump, running

    app = create_app("worker")
    leased.LEASE, pump.REAP_EVERY, consumer.FINISH = LEASE, 0.2, 3
    pump.AGAIN = consumer.AGAIN = running.OUTAGE_DELAY = 0.1
    leased.MOST_STALLS = 1000  # so many die here that nobody would be believed any more
    known = set(sites()) | {TASK}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(app, json.loads(line), known)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}\n")
        sys.stdout.flush()


def _run(app: Flask, order: dict[str, Any], known: set[str]) -> None:
    signal.alarm(PATIENCE)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    arm = order["arm"] = Arm(order, known)
    if order["site"]:
        arm.take_up()
    status = 0
    try:
        ROLES[order["role"]](app, order)
    except BaseException as exc:
        if not (arm.server and isinstance(exc, RedisError)):  # else the caller is told that the server is away
            traceback.print_exc()
        status = 1
    os._exit(UNMET if order["site"] and not arm.struck else status)


# -- roles ----------------------------------------------------------------------------------------------------------


def worker(app: Flask, order: dict[str, Any]) -> None:
    """With ``stalls`` in the order, a job may stall so often. One that outlives the server ends as ``idle_worker``."""
    from core.background.queue import consume, leased

    leased.MOST_STALLS = order.get("stalls", leased.MOST_STALLS)
    if order.get("server"):
        threading.Thread(target=end_idle, args=(app, order), daemon=True).start()
    consume(app)


def idle_worker(app: Flask, order: dict[str, Any]) -> None:
    """Ends by itself once nothing is left."""
    threading.Thread(target=end_idle, args=(app, order), daemon=True).start()
    worker(app, order)


def end_idle(app: Flask, order: dict[str, Any]) -> None:
    """End this process once nothing is left, and not before whoever is to die is dead."""
    with app.app_context():
        while (order["site"] and not order["arm"].struck) or is_any_left("default"):
            time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)


def is_any_left(queue: str) -> bool:
    """Waiting, delayed, leased, or held up at a gate; asked in one command, for jobs move meanwhile."""
    from core.data import redis

    store: Any = redis.client()
    try:
        found = {key.split(b":")[3] for key in store.keys(f"pb:q:{{{queue}}}:*")}
    except RedisError:
        return True
    return bool(found & {b"sched", b"f", b"w", b"z", b"g", b"p"})


def leaving_worker(app: Flask, order: dict[str, Any]) -> None:
    def leave() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=leave, daemon=True).start()
    worker(app, order)


def unsure_worker(app: Flask, order: dict[str, Any]) -> None:
    """The reply to its first step is lost, so that it has to ask what it holds."""
    lose_a_reply()
    worker(app, order)


def lose_a_reply() -> None:
    """Of the first step."""
    from redis.exceptions import ConnectionError

    from core.background.queue.leased import Leased

    step = Leased.step

    def lost(self: Leased, *args: Any) -> Any:
        Leased.step = step  # type: ignore[method-assign]
        step(self, *args)
        raise ConnectionError("the reply was lost")

    Leased.step = lost  # type: ignore[method-assign]


def enqueuer(app: Flask, order: dict[str, Any]) -> None:
    from core.background import enqueue
    from core.contracts import SYSTEM
    from core.data import DEFAULT, acting_in, unit
    from core.trust import acting_as

    with app.app_context(), acting_in(DEFAULT), acting_as(SYSTEM), unit():
        for number in order["numbers"]:
            enqueue("chores.note", number=number)


def scheduler(app: Flask, order: dict[str, Any]) -> None:
    from core.background.schedules.firing import fire

    with app.app_context():
        fire()


def call(app: Flask, order: dict[str, Any]) -> None:
    """Whatever function of this module is named, in an app context."""
    with app.app_context():
        globals()[order["call"]](order)


def hold_lease(order: dict[str, Any]) -> None:
    from core.background.lease import lease

    with lease(order["key"], 0.6) as held:
        assert held is not None
        time.sleep(0.5)


def hold_lease_soon(order: dict[str, Any]) -> None:
    """As soon as whoever held it is forgotten."""
    from core.background.lease import lease

    for _ in range(100):
        with lease(order["key"], 0.6) as held:
            if held is not None:
                return
        time.sleep(0.02)
    raise AssertionError("nobody else gets the lease")


def run_duty(order: dict[str, Any]) -> None:
    from flask import current_app

    from core.background import duties

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    duties.run_once(app, app.extensions["pegboard.duties"]["core.outbox_sweep"])


def replay(order: dict[str, Any]) -> None:
    from core.background.queue import dead

    for letter in list(dead.letters("default")):
        dead.replay(letter)


def discard(order: dict[str, Any]) -> None:
    from core.background.queue import dead

    for letter in list(dead.letters("default")):
        dead.discard(letter)


def count(order: dict[str, Any]) -> None:
    """The only member of a group, counted where it did not run; the group is called after the key."""
    from uuid import NAMESPACE_URL, uuid5

    from core.background.queue import chaining
    from core.data.envelopes import Envelope, Group, Then

    id = uuid5(NAMESPACE_URL, order["key"])
    follower = Envelope(id, "step", "chores.note", {"number": 1000})
    chaining.count(Then(group=Group(id, 1, "default")), "", follower)


def confirm(order: dict[str, Any]) -> None:
    from datetime import timedelta

    from core.data import confirming

    confirming.confirm(after=timedelta(0))


def forget(order: dict[str, Any]) -> None:
    from datetime import timedelta

    from core.background.queue import retention
    from core.data import utcnow

    later = utcnow() + timedelta(minutes=1)
    retention.forget("default", later, later)


def forget_counts(order: dict[str, Any]) -> None:
    from core.background.queue import retention

    retention.forget_counts("default", ["k:chores.gone"])


def pause_and_resume(order: dict[str, Any]) -> None:
    from core.background.queue import figures

    figures.pause("default")
    figures.resume("default")


ALL = (worker, idle_worker, leaving_worker, unsure_worker, enqueuer, scheduler, call)
ROLES = {each.__name__: each for each in ALL}

if __name__ == "__main__":
    main()
