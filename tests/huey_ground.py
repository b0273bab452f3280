"""Processes that die at a call to Redis of their choice, as ``killing_ground`` has them: users of Huey's own API."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from datetime import UTC, datetime, timedelta  # noqa: E402
from typing import Any  # noqa: E402

from flask import Flask  # noqa: E402
from huey_shop import note, shop  # noqa: E402
from killing_ground import ROLES, is_any_left, lose_a_reply, main  # noqa: E402
from redis.exceptions import RedisError  # noqa: E402

from core.background.queue import leased  # noqa: E402
from core.background.queue.leased_huey import hands  # noqa: E402
from core.background.queue.leased_huey.consumer import LeasedConsumer, LeasedScheduler  # noqa: E402
from core.background.queue.leased_huey.storage import LeasedStorage  # noqa: E402

CALLS: dict[str, Callable[[LeasedStorage], Any]] = {
    "enqueue": lambda storage: storage.enqueue(b"more"),
    "replay": lambda storage: storage.replay("gone"),
    "flush_queue": lambda storage: storage.flush_queue(),
    "add_to_schedule": lambda storage: storage.add_to_schedule(b"more", datetime.now(UTC) + timedelta(hours=1)),
    "read_schedule": lambda storage: storage.read_schedule(datetime.now(UTC)),
    "flush_schedule": lambda storage: storage.flush_schedule(),
    "put_data": lambda storage: storage.put_data("more", b"1"),
    "peek_many": lambda storage: storage.peek_many(["kept"]),
    "pop_data": lambda storage: storage.pop_data("kept"),
    "put_if_empty": lambda storage: storage.put_if_empty("more", b"1", 60),
    "unlock": lambda storage: storage.unlock("locked", b"token"),
    "result_store_size": lambda storage: storage.result_store_size(),
    "result_items": lambda storage: storage.result_items(),
    "flush_results": lambda storage: storage.flush_results(),
    "incr": lambda storage: storage.incr("more"),
    "delete_counter": lambda storage: storage.delete_counter("counted"),
    "flush_counters": lambda storage: storage.flush_counters(),
}


def consuming(app: Flask, order: dict[str, Any]) -> LeasedConsumer:
    """With ``stalls`` in the order, a task may stall so often."""
    leased.MOST_STALLS = order.get("stalls", leased.MOST_STALLS)
    with app.app_context():
        consumer: LeasedConsumer = shop.create_consumer(workers=4, worker_type="greenlet", periodic=False)
    consumer.start()
    return consumer


def consumer(app: Flask, order: dict[str, Any]) -> None:
    """One that outlives the server ends as ``idle_consumer`` does."""
    if order.get("server"):
        idle_consumer(app, order)
        return
    consuming(app, order)
    while True:
        time.sleep(1)


def leaving_consumer(app: Flask, order: dict[str, Any]) -> None:
    running = consuming(app, order)
    time.sleep(0.1)
    with app.app_context():
        running.stop(graceful=True)


def idle_consumer(app: Flask, order: dict[str, Any]) -> None:
    """Ends by itself once nothing is left, and not before whoever is to die is dead."""
    running = consuming(app, order)
    with app.app_context():
        while (order["site"] and not order["arm"].struck) or is_any_left("huey.shop"):
            time.sleep(0.05)
        running.stop()


def unsure_consumer(app: Flask, order: dict[str, Any]) -> None:
    lose_a_reply()
    consumer(app, order)


def script(app: Flask, order: dict[str, Any]) -> None:
    """Works off what there is, without a consumer; one that outlives the server goes on when that is back."""
    with app.app_context():
        while True:
            try:
                while (task := shop.dequeue()) is not None:
                    shop.execute(task)
                return
            except RedisError:
                time.sleep(0.02)


def unsure_script(app: Flask, order: dict[str, Any]) -> None:
    lose_a_reply()
    script(app, order)


def executor(app: Flask, order: dict[str, Any]) -> None:
    """Runs a task that was never put on the queue."""
    with app.app_context():
        shop.execute(note.s(order["number"]))


def scheduler(app: Flask, order: dict[str, Any]) -> None:
    at = datetime.fromisoformat(order["at"])
    shop._get_timestamp = lambda: at
    with app.app_context():
        LeasedScheduler(shop, threading.Event(), 1, True).enqueue_periodic_tasks(None)


def holder(app: Flask, order: dict[str, Any]) -> None:
    with app.app_context(), shop.lock_task(order["lock"]):
        time.sleep(0.3)


def storage_call(app: Flask, order: dict[str, Any]) -> None:
    with app.app_context():
        CALLS[order["call"]](shop.storage)


for each in (
    consumer, leaving_consumer, idle_consumer, unsure_consumer, script, unsure_script, executor, scheduler, holder,
    storage_call,
):  # fmt: skip
    ROLES[each.__name__] = each

if __name__ == "__main__":
    hands.REAP_EVERY = 0.2
    main()
