"""How many jobs are taken ahead: as many as are begun at once where they are small, none where they are long."""

from __future__ import annotations

import threading
import time

import pytest
from flask import Flask
from redis_cable import until

from core.background.queue import contents, pump
from core.background.queue.bell import Bell
from core.background.queue.frames import frame
from core.background.queue.leased import Leased
from core.background.queue.pump import Pump
from core.data import redis

HANDS = 2


class Slow:
    """Two hands at a pump without a number of its own; what they take, they keep for ``work`` seconds."""

    def __init__(self, work: float) -> None:
        self.pump = Pump(Leased(redis.client(), "default", "one"), HANDS)
        self.work, self.done = work, 0
        self.threads = [threading.Thread(target=self._hand, daemon=True) for _ in range(HANDS)]
        self.threads.append(threading.Thread(target=self.pump.run, daemon=True))

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def _hand(self) -> None:
        while not self.pump.ending:
            if (taken := self.pump.take(0.2)) is not None:
                until_then = time.monotonic() + self.work
                while time.monotonic() < until_then and not self.pump.ending:
                    time.sleep(0.005)
                self.done += 1
                self.pump.settle(taken, ("done", "", b"{}"))

    def end(self) -> None:
        self.pump.end()
        assert self.pump.wait_settled(5)


def put(many: int) -> None:
    Leased(redis.client(), "default", "putter").push((0, frame(b"%d" % number)) for number in range(many))


def test_of_small_jobs_a_step_brings_more_than_there_are_hands(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "OF_IDLE", 0.05)  # many more than a slow machine does in a moment
    put(3000)
    crew = Slow(0)
    most = 0
    crew.start()
    while crew.done < 3000:
        most = max(most, len(crew.pump._ready))
    crew.end()
    assert most > HANDS * 5


def test_of_long_jobs_none_is_taken_before_a_hand_is_free(ctx: Flask) -> None:
    put(20)
    crew = Slow(0.3)
    crew.start()
    until(lambda: crew.done >= 4)
    assert len(list(contents.leased())) <= HANDS
    crew.end()


def test_what_was_taken_ahead_goes_back_when_no_hand_becomes_free(ctx: Flask) -> None:
    put(12)
    crew = Slow(60)
    crew.pump._pace = 1e9  # as after a thousand small jobs
    crew.pump._stepped = time.monotonic()
    crew.start()
    until(lambda: len(list(contents.leased())) > HANDS)
    until(lambda: len(list(contents.leased())) == HANDS)
    numbers = [int(each.message) for each in contents.waiting()]
    assert numbers == sorted(numbers) and len(numbers) == 12 - HANDS, "in their order, for whoever is free"
    crew.end()


def test_another_worker_that_is_idle_has_it_at_once(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "IDLE", 60.0)  # whoever waits for the next look has no part in this
    monkeypatch.setattr(pump, "STALE", 1.0)
    busy, idle = Slow(60), Slow(0)
    idle.pump.queue.process = "two"
    busy.pump._pace, busy.pump._stepped = 1e9, time.monotonic()
    put(12)
    busy.start()
    until(lambda: len(list(contents.leased())) == 12)
    bell = Bell(redis.dedicated(1.0))
    bell.ring = {"default": idle.pump.ring}
    bell.start()
    idle.start()
    until(lambda: idle.done == 12 - HANDS)
    bell.stop()
    busy.end()
    idle.end()
