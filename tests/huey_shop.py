"""Tasks of Huey's own API, for processes that die while they run them; each notes its number, and answers it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from huey import crontab
from redis.exceptions import RedisError

from core.background.queue import LeasedHuey
from core.data import redis

shop = LeasedHuey("shop")
DONE = "chores:done"


def patiently(send: Callable[[], Any]) -> Any:
    """Huey takes no task back that could not reach Redis: these wait for it themselves."""
    while True:
        try:
            return send()
        except RedisError:
            time.sleep(0.01)


def did(number: int) -> int:
    time.sleep(0.002)
    patiently(lambda: redis.client().rpush(DONE, number))
    return number


@shop.task()
def note(number: int) -> int:
    return did(number)


@shop.task()
def follow(number: int, before: int) -> int:
    """The next of a pipeline."""
    return did(number)


@shop.task(retries=1, retry_delay=0.01)
def stumble(number: int) -> int:
    if patiently(lambda: redis.client().incr(f"chores:tries:{number}")) == 1:
        raise ValueError("at first")
    return did(number)


@shop.task(retries=10_000, retry_delay=0.05)
def alone(number: int, till: str) -> int:
    """Tried again for as long as another has the till, or that of one who died with it has not lapsed."""
    with shop.lock_task(till):
        return did(number)


@shop.task()
def fail(number: int) -> None:
    raise ValueError(number)


@shop.task()
def console(number: int, error: Any) -> int:
    """What follows a failure."""
    return did(number)


@shop.task()
def total(number: int, members: list[int]) -> int:
    """The callback of a chord."""
    did(number)
    return sum(members)


@shop.periodic_task(crontab())
def tick() -> None:
    did(0)
