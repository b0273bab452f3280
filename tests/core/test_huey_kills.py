"""Consumers that are killed, or told to end, in the middle of tasks: nothing is lost, and little is done twice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from flask import Flask
from huey.api import chord
from huey_consumers import SECRET, Start, shop
from redis_cable import Cable
from throwaway import eventually

from core.background.queue import LeasedHuey, contents
from core.data import redis
from core.ops.testbed import TestServers

__all__ = ["shop"]
NAME = "huey.shop"
HANDS = 4

TASKS = """\
    import time

    @huey.task()
    def note(number):
        time.sleep(0.01)
        while notes.llen("shop:noted") >= int(notes.get("shop:quota")):
            time.sleep(0.01)
        notes.rpush("shop:noted", number)
        return number

    @huey.task()
    def then(number):
        notes.rpush("shop:then", number)

    @huey.task()
    def total(numbers, chord):
        notes.rpush("shop:total", f"{chord} {sum(numbers)}")
    """


def producer(servers: TestServers) -> LeasedHuey:
    huey = LeasedHuey("shop", url=servers.redis_url, secret=SECRET)
    for name in ("note", "then", "total"):
        huey.task(name=name)(module(lambda: None))
    return huey


def module(function: Any) -> Any:
    """Huey knows its tasks by module and name."""
    function.__module__ = "shop"
    return function


def told(key: str) -> Counter[str]:
    found: Any = redis.client().lrange(f"shop:{key}", 0, -1)
    return Counter(each.decode() for each in found)


def gone(name: str = NAME) -> bool:
    return not any((*contents.waiting(name), *contents.leased(name), *contents.scheduled(name)))


@pytest.mark.timeout(120)
def test_nothing_is_lost_when_consumers_are_killed(
    shop: Callable[[str], Start], servers: TestServers, ctx: Flask
) -> None:
    start, huey, dice, kills = shop(TASKS), producer(servers), Random(5), 6
    store: Any = redis.client()
    store.set("shop:quota", 0)
    note, then, total = (huey._registry.string_to_task(f"shop.{name}") for name in ("note", "then", "total"))
    for number in range(300):
        huey.enqueue(note((number,)).then(then()))
    for number in range(20):
        huey.enqueue(chord([note((n,)) for n in range(5)], total(kwargs={"chord": number})))
    crew = [start("-k", "greenlet", "-w", str(HANDS)) for _ in range(2)]
    for kill in range(kills):
        store.set("shop:quota", 50 * (kill + 1))
        eventually(lambda wanted=50 * kill + 25: store.llen("shop:noted") >= wanted)
        victim = dice.randrange(2)
        crew[victim].kill()
        crew[victim].wait(10)
        crew[victim] = start("-k", "greenlet", "-w", str(HANDS))
    store.set("shop:quota", 1000)
    eventually(gone, 60)
    noted = told("noted")
    assert set(noted) == {str(number) for number in range(300)}
    assert sum(noted.values()) - 400 <= kills * HANDS
    assert set(told("then")) == {str(number) for number in range(300)}
    assert sum(told("then").values()) - 300 <= kills * HANDS
    assert set(told("total")) == {f"{number} 10" for number in range(20)}
    assert sum(told("total").values()) - 20 <= kills * HANDS
    assert list(contents.dead(NAME)) == []
    huey.storage.close()


def test_lost_replies_lose_no_task_and_do_none_twice(servers: TestServers, ctx: Flask) -> None:
    noted, followed = Counter[int](), Counter[int]()
    with Cable(servers.redis_url) as cable:
        huey = LeasedHuey("shop", url=cable.url(), secret=SECRET, results=False)

        @huey.task()
        def follow(number: int) -> None:
            followed[number] += 1

        @huey.task()
        def note(number: int) -> int:
            noted[number] += 1
            return number

        for number in range(600):
            huey.enqueue(note.s(number).then(follow))
        consumer = huey.create_consumer(workers=HANDS, periodic=False, check_worker_health=False)
        consumer.start()
        for _ in range(5):
            before = noted.total()
            eventually(lambda wanted=before: noted.total() > wanted)
            cable.muted = True
            time.sleep(0.05)
            cable.cut()
            cable.mend()
        eventually(gone)
        consumer.stop(graceful=True)
    assert noted == Counter(dict.fromkeys(range(600), 1))
    assert followed == noted


SLOW = """\
    import time

    @huey.task()
    def note(number):
        notes.rpush("shop:begun", number)
        while not notes.get("shop:go"):
            time.sleep(0.02)
        notes.rpush("shop:noted", number)
    """


@pytest.mark.parametrize("kind", ["greenlet", "thread", "process"])
@pytest.mark.parametrize(("number", "finishes"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_told_to_end_tasks_finish_or_go_back(
    shop: Callable[[str], Start], servers: TestServers, ctx: Flask, kind: str, number: int, finishes: bool
) -> None:
    start, huey = shop(SLOW), producer(servers)
    note = huey._registry.string_to_task("shop.note")
    for each in range(5):
        huey.enqueue(note((each,)))
    one: subprocess.Popen[bytes] = start("-k", kind, "-w", "2")
    eventually(lambda: sum(told("begun").values()) == 2)
    one.send_signal(number)
    if finishes:
        redis.client().set("shop:go", 1)
    one.wait(20)
    assert list(contents.leased(NAME)) == []
    assert huey.pending_count() + sum(told("noted").values()) == 5
    assert (huey.pending_count() == 5) is not finishes
    assert redis.client().hlen(huey.storage.keys.stalls) == 0
    huey.storage.close()
