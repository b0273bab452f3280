"""Unique tasks: a twin of a job that waits or runs, or of one within its window, is not put on the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from core.background import enqueue, task
from core.background.queue import contents, dead, routes, twins
from core.background.queue.huey import BoardHuey
from core.background.queue.leased import MOST_STALLS, Leased
from core.background.queue.pump import Pump
from core.background.tasks import Tasks
from core.data import DEFAULT, PLATFORM, acting_in, redis, unit
from core.errors import BootError
from core.trust import public

did: list[tuple[str, Any]] = []


@task(unique=True)
@public
def count(number: int, note: str = "") -> None:
    did.append(("count", number))


@task(unique=("number",), retries=1, retry_delay=30)
@public
def count_by(number: int, note: str = "") -> None:
    did.append(("count_by", number))
    if note == "fail":
        raise RuntimeError("no")


@task(unique=True, window=3600, queue="reports")
@public
def report(day: str) -> None:
    did.append(("report", day))


@pytest.fixture(autouse=True)
def chores(ctx: Flask, worker_app: Flask) -> Iterator[None]:
    module = ModuleType("chores.tasks")
    for function in (count, count_by, report):
        function.__module__ = module.__name__
        vars(module)[function.__name__] = function
    did.clear()
    before = {app: app.extensions["pegboard.tasks"]._tasks.copy() for app in (ctx, worker_app)}
    worker_app.extensions["pegboard.tasks"].add("chores", module)
    with worker_app.app_context():
        routes.tell(worker_app)
    yield
    for app, tasks in before.items():
        app.extensions["pegboard.tasks"]._tasks = tasks
    with worker_app.app_context():
        routes.tell(worker_app)


def waiting(queue: str = "default") -> int:
    return len(list(contents.waiting(queue)))


def test_a_twin_of_one_that_waits_is_left_out(run_jobs: Callable[[], int]) -> None:
    for number in (1, 1, 2, 1):
        enqueue("chores.count", number=number)
    assert waiting() == 2
    run_jobs()
    assert did == [("count", 1), ("count", 2)]
    enqueue("chores.count", number=1)
    run_jobs()
    assert did[2:] == [("count", 1)], "the first has run: a twin may come"


def test_twins_in_one_unit_are_one(run_jobs: Callable[[], int]) -> None:
    with unit():
        enqueue("chores.count", number=1)
        enqueue("chores.count", number=1)
    run_jobs()
    assert did == [("count", 1)]


def test_twins_are_told_by_the_arguments_that_are_named(run_jobs: Callable[[], int]) -> None:
    for note in ("a", "b"):
        enqueue("chores.count", number=1, note=note)
        enqueue("chores.count_by", number=1, note=note)
    assert waiting() == 3
    run_jobs()
    assert sorted(did) == [("count", 1), ("count", 1), ("count_by", 1)]


def test_an_argument_that_is_left_out_is_its_default(run_jobs: Callable[[], int]) -> None:
    enqueue("chores.count", number=1)
    enqueue("chores.count", number=1, note="")
    enqueue("chores.count", note="", number=1.0)
    assert waiting() == 1
    enqueue("chores.count", number=1, note="b")
    assert waiting() == 2


def test_a_process_that_has_the_tasks_and_one_that_has_not_agree(ctx: Flask, worker_app: Flask) -> None:
    with ctx.app_context():
        enqueue("chores.count", number=1)
    with worker_app.app_context(), acting_in(DEFAULT):
        enqueue("chores.count", number=1, note="")
    assert waiting() == 1


def test_a_job_that_is_tried_again_keeps_its_twins_away_until_it_has_failed(run_jobs: Callable[[], int]) -> None:
    enqueue("chores.count_by", number=1, note="fail")
    run_jobs()
    enqueue("chores.count_by", number=1)
    run_jobs()
    contents.run_now()
    run_jobs()
    assert did == [("count_by", 1)] * 2, "twice the same job"
    assert len(list(contents.dead())) == 1
    enqueue("chores.count_by", number=1)
    run_jobs()
    assert len(did) == 3


def test_one_that_is_replayed_keeps_its_twins_away_again(run_jobs: Callable[[], int]) -> None:
    enqueue("chores.count_by", number=1, note="fail")
    for _ in range(2):
        run_jobs()
        contents.run_now()
    [letter] = dead.letters("default")
    did.clear()
    assert dead.replay(letter)
    enqueue("chores.count_by", number=1)
    assert waiting() == 1
    run_jobs()
    enqueue("chores.count_by", number=1)
    assert did == [("count_by", 1)] and waiting() == 0, "it is tried again"
    contents.run_now()
    run_jobs()
    enqueue("chores.count_by", number=1)
    assert waiting() == 1, "it has failed"


def test_one_that_is_replayed_beside_a_twin_leaves_that_alone(run_jobs: Callable[[], int]) -> None:
    enqueue("chores.count_by", number=1, note="fail")
    for _ in range(2):
        run_jobs()
        contents.run_now()
    enqueue("chores.count_by", number=1)
    [letter] = dead.letters("default")
    assert dead.replay(letter)
    assert waiting() == 2
    run_jobs()
    enqueue("chores.count_by", number=1)
    assert waiting() == 1, "the twin has run; the one that was replayed waits to be tried again"


def test_within_its_window_there_is_one_whether_it_has_run_or_not(run_jobs: Callable[[], int]) -> None:
    enqueue("chores.report", day="monday")
    run_jobs()
    enqueue("chores.report", day="monday")
    enqueue("chores.report", day="tuesday")
    run_jobs()
    assert did == [("report", "monday"), ("report", "tuesday")]
    key = next(iter(redis.client().scan_iter("pb:q:{reports}:u:*")))
    assert 3_500_000 < redis.client().pttl(key) <= 3_600_000


def test_tenants_have_no_twins_in_one_another(ctx: Flask, run_jobs: Callable[[], int]) -> None:
    enqueue("chores.count", number=1)
    with ctx.app_context(), acting_in(PLATFORM):
        enqueue("chores.count", number=1)
    with acting_in(DEFAULT):
        assert waiting() == 2


def test_one_whose_workers_died_again_and_again_lets_a_twin_come(worker_app: Flask) -> None:
    enqueue("chores.count", number=1)
    queue, other = (Leased(redis.client(), "default", name) for name in ("one", "two"))
    huey = BoardHuey(worker_app, Pump(other, 1))
    for turn in range(MOST_STALLS + 1):
        queue.step(1)
        queue.client.zadd(queue.keys.procs, {"one": 1})
        stalled, dead = other.reap()
        for frame in (*stalled, *dead):
            huey.pump.on_stalled(frame, bool(dead))
        assert bool(dead) is (turn == MOST_STALLS)
    huey.pump._step()
    enqueue("chores.count", number=1)
    assert waiting() == 1


def test_a_job_that_is_handed_over_again_is_put_there_once(run_jobs: Callable[[], int]) -> None:
    from core.background.queue import push
    from core.data import new_id
    from core.data.outbox import Envelope

    one = Envelope(new_id(), "task", "chores.count", {"number": 1}, tenant_id=DEFAULT.id)
    push([one])
    push([one])
    push([Envelope(new_id(), "task", "chores.count", {"number": 1}, tenant_id=DEFAULT.id)])
    assert waiting() == 1, "its twin is left out as well"
    assert run_jobs() == 1
    push([one])
    assert waiting() == 0, "nor after it has run"
    assert twins.LONGEST == 86_400


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"unique": "number"}, "has unique='number'"),
        ({"unique": ("colour",)}, "is unique by colour, which it does not take"),
        ({"window": 60}, "has window=60; say seconds"),
        ({"unique": True, "window": 0}, "has window=0"),
        ({"unique": True, "window": 1e6}, "has window=1000000.0"),
    ],
)
def test_what_cannot_be_unique_stops_the_boot(given: dict[str, Any], said: str) -> None:
    @task(**given)
    @public
    def chore(number: int) -> None: ...

    module = ModuleType("chores.tasks")
    chore.__module__ = module.__name__
    vars(module)["chore"] = chore
    with pytest.raises(BootError, match=said):
        Tasks().add("chores", module)
