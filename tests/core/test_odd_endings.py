"""Whatever a task raises, or leaves behind, is that attempt's failure: the hands of its worker go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chores_here import chores_of
from flask import Flask
from throwaway import eventually, install

from core.background import enqueue, task
from core.background.queue import contents, dead, settling
from core.background.queue.figures import figures
from core.background.queue.huey import BoardHuey
from core.background.queue.leased import Leased
from core.background.queue.pump import Pump
from core.background.queue.running import WorkerEnds
from core.data import redis
from core.ops.processes import Process
from core.trust import public

TASKS = """\
    import sys
    import time

    import gevent

    from core.background import task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Own(BaseException):
        pass

    ENDINGS = {
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "own": Own("of nobody"),
        "timer": gevent.Timeout(1),
        "greenlet": gevent.GreenletExit(),
        "mute": Mute(),
        "group": BaseExceptionGroup("several", [Own("a"), ValueError("b")]),
    }

    @task(retries=1, retry_delay=0.01)
    @public
    @in_steps
    def end(how: str) -> None:
        raise ENDINGS[how]

    @task(retries=1, retry_delay=0.01, queue="apart", kind="process")
    @public
    @in_steps
    def end_apart(how: str) -> None:
        raise ENDINGS[how]

    @task()
    @public
    @in_steps
    def leave_a_timer() -> None:
        gevent.Timeout(0.3).start()

    @task()
    @public
    @in_steps
    def rest(number: int) -> None:
        time.sleep(0.05)
        redis.client().rpush("chores:rested", number)

    @task(timeout=1, retries=0)
    @public
    @in_steps
    def cling() -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException:
                if redis.client().incr("chores:clung") == 2:
                    raise
    """
WORDS = {
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt: ",
    "own": "Own: of nobody",
    "timer": "Timeout: 1 second",
    "greenlet": "GreenletExit: ",
    "mute": "Mute: (it cannot be printed)",
    "group": "BaseExceptionGroup: several (2 sub-exceptions)",
}


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    return install(tmp_path, "chores", tasks=TASKS)


def test_the_worker_goes_on_with_as_many_hands(
    ctx: Flask, process: Callable[..., Process], odd: dict[str, str]
) -> None:
    worker = process("worker", WORKER_QUEUES="default:2,apart:1", **odd)
    for how in WORDS:
        enqueue("chores.end", how=how)
    enqueue("chores.leave_a_timer")
    eventually(lambda: figures("default").dead == len(WORDS))
    found = {letter.envelope.payload["how"]: letter for letter in dead.letters("default") if letter.envelope}
    assert {how: letter.error for how, letter in found.items()} == WORDS
    assert {letter.envelope.attempt for letter in found.values() if letter.envelope} == {2}
    eventually(lambda: "something that a job left behind struck a hand" in worker.log())
    store: Any = redis.client()
    for number in range(10):
        enqueue("chores.rest", number=number)
    eventually(lambda: store.llen("chores:rested") == 10)
    assert figures("default").stalled == 0
    for how in ("exit", "own", "mute"):
        enqueue("chores.end_apart", how=how)
    eventually(lambda: figures("apart").dead == 3)
    assert {each.error.partition(":")[0] for each in dead.letters("apart")} <= {"SystemExit", "Own", "Mute"}
    assert worker.stop() == 0, worker.log()
    assert "the worker ends" not in worker.log() and "died!" not in worker.log()


def test_one_that_swallows_its_time_out_is_struck_again(
    ctx: Flask, process: Callable[..., Process], odd: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = process("worker", **odd)
    enqueue("chores.cling")
    eventually(lambda: figures("default").dead == 1, 30)
    [letter] = dead.letters("default")
    assert letter.error == "JobTimeout: it took longer than 1 s"
    assert worker.stop() == 0


@task(retries=0)
@public
def fine() -> None: ...


@pytest.fixture
def hand(ctx: Flask, worker_app: Flask) -> Iterator[BoardHuey]:
    """One that has the queue to itself."""
    with chores_of(worker_app, fine), worker_app.app_context():
        yield BoardHuey(worker_app, Pump(Leased(redis.client(), "default", "one"), 1))


def test_what_nobody_thought_of_is_kept_with_the_dead(hand: BoardHuey, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise RecursionError("in our own code")

    enqueue("chores.fine")
    monkeypatch.setattr(settling, "effects_of", fail)
    hand.pump._step()
    job = hand.dequeue()
    assert job is not None
    hand.execute(job)
    hand.pump._step()
    assert [each.error for each in dead.letters("default")] == ["it could not be run: RecursionError: in our own code"]
    assert list(contents.leased()) == []


def test_a_worker_that_ends_gives_its_jobs_back(hand: BoardHuey) -> None:
    def end(*args: Any) -> Any:
        raise WorkerEnds

    enqueue("chores.fine")
    hand.attempt = end
    hand.pump._step()
    job = hand.dequeue()
    assert job is not None
    with pytest.raises(KeyboardInterrupt):
        hand.execute(job)
    hand.pump._step()
    assert len(list(contents.waiting())) + len(list(contents.leased())) == 1 and not list(dead.letters("default"))
