"""Huey's API on leases: what is taken comes back, what follows from a task happens with its end or not at all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from huey.api import Result, Task, chord, crontab
from huey.exceptions import TaskException, TaskLockedException
from redis.exceptions import ConnectionError
from throwaway import eventually

from core.background.queue import LeasedHuey, contents, leased
from core.background.queue.frames import frame
from core.background.queue.leased_huey.consumer import LeasedScheduler
from core.background.queue.leased_huey.signed_json import RemoteError
from core.data import redis

NAME = "huey.shop"
NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - Huey's times have no zone


@pytest.fixture
def make(ctx: Flask) -> Iterator[Callable[[], LeasedHuey]]:
    """Another Huey on the same queue, as another process has it."""
    made: list[LeasedHuey] = []

    def make() -> LeasedHuey:
        huey = LeasedHuey("shop")

        @huey.task(name="add")
        def add(a: Any, b: Any) -> Any:
            return a + b

        huey.add = add
        made.append(huey)
        return huey

    yield make
    for huey in made:
        huey.storage.close()


@pytest.fixture
def huey(make: Callable[[], LeasedHuey]) -> LeasedHuey:
    return make()


def fall_silent(huey: LeasedHuey) -> None:
    """As after its leases have run out."""
    huey.storage.close()
    redis.client().zadd(
        huey.storage.keys.procs, dict.fromkeys(redis.client().zrange(huey.storage.keys.procs, 0, -1), 1)
    )


def run(huey: LeasedHuey) -> Any:
    task = huey.dequeue()
    assert task is not None
    return huey.execute(task)


def left(huey: LeasedHuey) -> set[str]:
    found = {key.decode().removeprefix(huey.storage.keys.prefix) for key in redis.client().keys(f"*{NAME}*")}
    return {name for name in found if not name.startswith(("stat", "procs", "idle"))}


def test_a_task_whose_process_dies_is_anothers_and_what_the_first_did_counts_for_nothing(
    make: Callable[[], LeasedHuey],
) -> None:
    one, two = make(), make()
    result = one.add(1, 2)
    mine = one.dequeue()
    assert two.dequeue() is None
    fall_silent(one)
    again = eventually(two.dequeue)
    assert again.id == mine.id
    one.execute(mine)
    assert result() is None
    two.execute(again)
    assert result() == 3
    assert left(two) == set()


def test_what_follows_happens_with_the_end_or_not_at_all(huey: LeasedHuey, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    huey.signal("complete")(lambda signal, task: told.append(signal))
    task = huey.add.s(1, 2).then(huey.add, 10)
    huey.enqueue(task)
    taken = huey.dequeue()

    def away(*args: Any, **more: Any) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as broken:
        broken.setattr(leased.Leased, "step", away)
        with pytest.raises(ConnectionError):
            huey.execute(taken)
    assert (len(huey), huey.result_count(), told) == (0, 0, [])
    assert len(list(contents.leased(NAME))) == 1
    assert run(huey) == 13, "what followed went with the next step, and only then was there something to take"
    assert task.id in huey.all_results()


def test_what_was_taken_when_the_reply_was_lost_is_run(huey: LeasedHuey, monkeypatch: pytest.MonkeyPatch) -> None:
    huey.add(1, 2)
    step = leased.Leased.step

    def lost(self: leased.Leased, *args: Any) -> None:
        step(self, *args)
        raise ConnectionError("the reply is lost")

    with monkeypatch.context() as broken:
        broken.setattr(leased.Leased, "step", lost)
        with pytest.raises(ConnectionError):
            huey.dequeue()
    assert run(huey) == 3
    assert huey.dequeue() is None


def test_a_chord_counts_each_member_once_and_leaves_nothing_behind(huey: LeasedHuey) -> None:
    @huey.task()
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    result = huey.enqueue(chord([huey.add.s(n, n) for n in range(3)], total))
    for _ in range(3):
        run(huey)
    assert [task.args for task in huey.pending()] == [([0, 2, 4],)]
    assert run(huey) == 6
    assert (result(), result.results()) == (6, [0, 2, 4])
    assert left(huey) == set()


def test_a_task_that_is_not_signed_by_us_is_kept_with_the_dead(huey: LeasedHuey) -> None:
    huey.add(1, 2)
    [message] = huey.storage.enqueued_items()
    huey.storage.flush_queue()
    for forged in (message[:-1] + (b"A" if message[-1:] != b"A" else b"B"), b"\x80\x04.", b"", "é".encode()):
        huey.storage.enqueue(forged)
        with pytest.raises(ValueError):
            huey.dequeue()
    assert (len(huey), list(contents.leased(NAME))) == (0, [])
    assert len(list(contents.dead(NAME))) == 4


def test_a_task_that_nobody_knows_is_kept_with_the_dead(make: Callable[[], LeasedHuey], huey: LeasedHuey) -> None:
    other = make()
    other.task(name="unheard")(lambda: None)()
    with pytest.raises(Exception, match="not found"):
        huey.dequeue()
    [(key, why)] = huey.storage.dead().items()
    assert "unheard" in why
    assert huey.storage.replay(key)
    assert not huey.storage.replay(key)
    run(other)
    assert huey.storage.dead() == {}


def test_a_result_that_json_cannot_carry_is_told_to_whoever_waits(huey: LeasedHuey) -> None:
    result = huey.task(name="thing")(lambda: object())()
    with pytest.raises(TypeError):
        run(huey)
    with pytest.raises(TaskException, match="cannot go into JSON"):
        result()
    assert len(list(contents.dead(NAME))) == 1


def test_a_task_that_exits_does_so_once(huey: LeasedHuey) -> None:
    result = huey.task(name="leave")(lambda: sys.exit(3))()
    with pytest.raises(SystemExit):
        run(huey)
    with pytest.raises(TaskException, match="SystemExit"):
        result()
    assert huey.dequeue() is None


def test_what_was_taken_before_a_consumer_began_here_ends_all_the_same(huey: LeasedHuey) -> None:
    result = huey.add(1, 2)
    task = huey.dequeue()
    consumer = huey.create_consumer(periodic=False)
    consumer.start()
    eventually(lambda: huey.storage.blocking)
    huey.execute(task)
    consumer.stop(graceful=True)
    assert result() == 3
    assert left(huey) == set()


@pytest.mark.unit
@pytest.mark.parametrize("name", ["", "two words", "{", "x" * 65])
def test_names_that_redis_could_not_tell_apart_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        LeasedHuey(name)


def test_a_dead_mans_job_is_dead_after_a_few_times(huey: LeasedHuey) -> None:
    result = huey.add(1, 2)
    for _ in range(leased.MOST_STALLS + 1):
        assert eventually(huey.dequeue)
        fall_silent(huey)
    assert huey.dequeue() is None
    assert len(list(contents.dead(NAME))) == 1
    with pytest.raises(TaskException, match="fell silent"):
        result()


def test_higher_priorities_first_and_of_equals_the_first(huey: LeasedHuey) -> None:
    for number, priority in enumerate((0, 5, None, -3, 5, 100, -3)):
        huey.add(number, 0, priority=priority)
    assert [run(huey) for _ in range(7)] == [5, 1, 4, 0, 2, 3, 6]


def test_what_comes_back_goes_before_its_equals(make: Callable[[], LeasedHuey]) -> None:
    one, two = make(), make()
    for number in range(3):
        one.add(number, 0, priority=2)
    one.dequeue()
    fall_silent(one)
    assert [eventually(two.dequeue).args[0] for _ in range(3)] == [0, 1, 2]


def test_what_is_due_goes_to_the_queue_by_itself(huey: LeasedHuey) -> None:
    huey.add.schedule((1, 2), delay=0.05)
    huey.add.schedule((1, 2), delay=1000)
    huey.execute(huey.dequeue())
    huey.execute(huey.dequeue())
    assert eventually(lambda: (task := huey.dequeue()) and huey.execute(task)) == 3
    assert huey.scheduled_count() == 1


def test_periodic_tasks_are_enqueued_once_a_minute_however_many_schedulers(make: Callable[[], LeasedHuey]) -> None:
    ones = [make() for _ in range(3)]
    for one in ones:
        one.periodic_task(crontab(), name="tick")(lambda: None)
        one._get_timestamp = lambda: NOON + timedelta(seconds=30)
        LeasedScheduler(one, threading.Event(), 1, True).enqueue_periodic_tasks(None)
    assert len(ones[0]) == 1
    ones[0]._get_timestamp = lambda: NOON + timedelta(minutes=1)
    LeasedScheduler(ones[0], threading.Event(), 1, True).enqueue_periodic_tasks(None)
    assert len(ones[0]) == 2


def test_what_was_revoked_does_not_run_in_a_consumer(huey: LeasedHuey) -> None:
    ran: list[int] = []
    run = huey.task()(lambda number: ran.append(number))
    tasks = [run.s(number) for number in range(6)]
    consumer = huey.create_consumer(workers=2, periodic=False)
    consumer.start()
    try:
        huey.enqueue(tasks[0])
        eventually(lambda: ran == [0])
        for task in tasks[1:3]:
            huey.revoke(task)
        for task in tasks[1:5]:
            huey.enqueue(task)
        eventually(lambda: sorted(ran) == [0, 3, 4])
        huey.revoke_all(run, revoke_once=True)
        huey.enqueue(tasks[5])
        eventually(lambda: not huey.is_revoked(run))
        assert sorted(ran) == [0, 3, 4]
    finally:
        consumer.stop(graceful=True)


def test_values_come_back_as_they_went(huey: LeasedHuey) -> None:
    values: list[Any] = [
        (1, [2.5, None]), {"a": {1: "b"}}, {"!tuple": [1]}, {"!": 1}, {1, 2}, b"\x00\xff", 2**80,
        NOON, timedelta(days=1, microseconds=3), "ü",
    ]  # fmt: skip
    for value in values:
        back = huey.serializer.deserialize(huey.serializer.serialize(value))
        assert (back, type(back)) == (value, type(value))
    back = huey.serializer.deserialize(huey.serializer.serialize(KeyError("x")))
    assert repr(back) == "KeyError('x')"

    class Own(Exception):
        pass

    for _ in range(2):
        back = huey.serializer.deserialize(huey.serializer.serialize(Own("so", 1)))
        assert isinstance(back, RemoteError)
        assert repr(back) == "Own('so', 1)"


# -- locks --


def test_only_its_owner_lets_go_of_a_lock(make: Callable[[], LeasedHuey]) -> None:
    one, two = make(), make()
    lock = one.lock_task("till")
    lock.acquire()
    other = two.lock_task("till")
    with pytest.raises(TaskLockedException):
        other.acquire()
    assert not other.release()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert two.is_locked("till")
    assert lock.release()
    assert not two.is_locked("till")
    assert not lock.release()


def test_a_lock_that_lapsed_and_is_anothers_is_not_let_go(make: Callable[[], LeasedHuey]) -> None:
    one, two = make(), make()
    with one.lock_task("till", ttl=0.05):
        eventually(lambda: not two.is_locked("till"))
        with two.lock_task("till"):
            pass
        two.lock_task("till").acquire()
    assert two.is_locked("till")
    assert two.flush_locks("till") == {"till"}
    assert not two.is_locked("till")


def test_a_lock_stands_while_its_process_lives_and_lapses_with_it(
    huey: LeasedHuey, make: Callable[[], LeasedHuey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased, "LEASE", 0.5)
    store, until = redis.client(), huey.storage.keys.prefix + "res_until"
    huey.lock_task("till").acquire()
    [(_, first)] = store.zrange(until, 0, -1, withscores=True)
    eventually(lambda: store.zrange(until, 0, -1, withscores=True)[0][1] > first + 500)
    huey.storage.close()
    eventually(lambda: not make().is_locked("till"))


def test_a_locked_task_lets_go_when_it_fails(huey: LeasedHuey) -> None:
    @huey.task()
    @huey.lock_task("till")
    def fail() -> None:
        assert huey.is_locked("till")
        raise ValueError

    fail()
    run(huey)
    assert not huey.is_locked("till")


def test_a_task_that_was_never_on_the_queue_ends_like_the_others(huey: LeasedHuey) -> None:
    task: Task = huey.add.s(1, 2)
    assert huey.execute(task) == 3
    assert Result(huey, task)() == 3
    assert left(huey) == set()


def test_the_boards_queues_and_hueys_do_not_mix(huey: LeasedHuey, run_jobs: Callable[[], int]) -> None:
    default = LeasedHuey("default")
    default.storage.enqueue(b"something")
    assert run_jobs() == 0
    assert default.pending_count() == 1
    leased.Leased(redis.client(), "default", "putter").push([(0, frame(b"something"))])
    assert default.pending_count() == 1


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    for short in ("", "x", "x" * 15):
        with pytest.raises(ValueError, match="needs 16"):
            LeasedHuey("shop", url="redis://127.0.0.1:1/0", secret=short)
