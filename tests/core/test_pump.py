"""The pump on a bad line: replies that get lost, connections that are cut, a worker that was given up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_cable import Cable, until

from core.background.queue import contents
from core.background.queue.frames import frame
from core.background.queue.leased import Leased
from core.background.queue.pump import Pump
from core.data import redis

HANDS = 4


class Crew:
    """Some hands at a pump, each job a millisecond, or for as long as the gate is closed."""

    def __init__(self, pump: Pump, work: float = 0.001, gate: threading.Event | None = None) -> None:
        self.pump = pump
        self.work = work
        self.gate = gate
        self.did: Counter[bytes] = Counter()
        self.threads = [threading.Thread(target=pump.run, daemon=True)]
        self.threads += [threading.Thread(target=self._hand, daemon=True) for _ in range(HANDS)]
        for thread in self.threads:
            thread.start()

    def _hand(self) -> None:
        while not self.pump.ending:
            if (taken := self.pump.take(0.2)) is not None:
                time.sleep(self.work)
                if self.gate is not None:
                    self.gate.wait(30)
                self.did[taken.message] += 1
                self.pump.settle(taken, ("count", "completed", 1))


@pytest.fixture
def cable(ctx: Flask) -> Iterator[Cable]:
    with Cable(ctx.extensions["pegboard.redis"].url) as cable:
        yield cable


@contextmanager
def crew(cable: Cable, name: str = "one", **more: Any) -> Iterator[Crew]:
    client = Redis.from_url(cable.url(), socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))
    made = Crew(Pump(Leased(client, "default", name), HANDS, ahead=4), **more)
    try:
        yield made
    finally:
        made.pump.end()
        made.pump.wait_settled(5)


def put(many: int) -> None:
    Leased(redis.client(), "default", "putter").push((0, frame(b"%d" % number)) for number in range(many))


def completed() -> int:
    found: Any = redis.client().hget("pb:q:{default}:stat", "completed")
    return int(found or 0)


def left() -> int:
    return len(list(contents.waiting())) + len(list(contents.leased()))


def test_lost_replies_lose_no_job_and_do_none_twice(cable: Cable) -> None:
    put(400)
    with crew(cable) as made:
        for _ in range(6):
            until(lambda: made.did.total() > 0)
            cable.muted = True
            time.sleep(0.05)
            cable.cut()
            cable.mend()
            time.sleep(0.05)
        until(lambda: left() == 0, 30)
        assert made.did == Counter({b"%d" % number: 1 for number in range(400)})
        assert completed() == 400, "what follows from a job follows once"


def test_a_step_that_fails_for_any_reason_is_not_the_last(
    cable: Cable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failures = Leased.step, [ValueError("nobody has thought of this")]

    def step(queue: Leased, *args: Any) -> Any:
        found = whole(queue, *args)
        if found.taken and failures:
            raise failures.pop()
        return found

    monkeypatch.setattr(Leased, "step", step)
    with crew(cable) as made:
        for number in range(20):
            made.pump.queue.push([(0, frame(str(number).encode()))])
        until(lambda: len(made.did) == 20)
    assert not failures and set(made.did.values()) == {1}
    assert "a step failed" in caplog.text


def test_whoever_ends_gives_back_what_nobody_has_begun(cable: Cable) -> None:
    put(40)
    with crew(cable, work=0.3) as made:
        until(lambda: len(list(contents.leased())) > HANDS)
        made.pump.end()
        assert made.pump.wait_settled(5)
    assert list(contents.leased()) == []
    assert len(list(contents.waiting())) + made.did.total() == 40
    numbers = [int(each.message) for each in contents.waiting()]
    assert numbers == sorted(numbers)


def test_who_was_given_up_drops_what_it_has_not_begun(cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    put(12)
    gate = threading.Event()
    with crew(cable, gate=gate) as made:
        until(lambda: len(list(contents.leased())) == HANDS + 4 and made.pump.running == HANDS)
        redis.client().zadd("pb:q:{default}:procs", {"one": 1})
        other = Leased(redis.client(), "default", "two")
        assert len(other.reap()[0]) == HANDS + 4
        theirs = other.step(8).taken
        made.pump._renewed -= 60  # as after a standstill: it could not have been given up otherwise
        gate.set()
        until(lambda: "given up for dead" in caplog.text)
        until(lambda: made.did.total() == HANDS + 4, 10)
    begun = {each.message for each in theirs}
    twice = [message for message in made.did if message in begun]
    assert len(twice) == HANDS, "those that were running; the others are left to whoever has them now"
