"""The circuit breaker: a queue whose outside service is away is closed for a while, and nobody loses an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import msgspec
import pytest
from flask import Flask

from core.background import enqueue, task
from core.background.queue import contents, figures, messages, settling
from core.background.queue.figures import QueueFigures
from core.background.queue.leased import Leased, Settled
from core.background.queue.running import attempt
from core.background.tasks import Tasks
from core.data import DEFAULT, new_id, redis, utcnow
from core.data.outbox import Envelope
from core.errors import BootError
from core.trust import public


class BankAway(Exception):
    pass


away: bool | Exception = True
did: list[int] = []


@task(outage=(BankAway,), retries=1)
@public
def charge(number: int) -> None:
    if away:
        raise away if isinstance(away, Exception) else BankAway("no answer")
    did.append(number)


@pytest.fixture(autouse=True)
def chores(ctx: Flask, worker_app: Flask) -> Iterator[None]:
    module = ModuleType("chores.tasks")
    charge.__module__ = module.__name__
    vars(module)["charge"] = charge
    did.clear()
    global away
    away = True
    before = worker_app.extensions["pegboard.tasks"]._tasks.copy()
    worker_app.extensions["pegboard.tasks"].add("chores", module)
    yield
    worker_app.extensions["pegboard.tasks"]._tasks = before


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


def work(queue: Leased, app: Flask, wanted: int) -> int:
    taken = queue.step(wanted).taken
    with app.app_context():
        done = [
            Settled.of(each, *settling.effects_of(each, attempt(messages.decode(each.message), app), "default"))
            for each in taken
        ]
        queue.step(0, done)
    return len(taken)


def told() -> QueueFigures:
    return figures.figures("default")


def reopen(queue: Leased) -> None:
    """As after the time for which it was closed."""
    contents.run_now()
    queue.client.hset(queue.keys.stat, "open_until", 1)


def test_a_queue_is_closed_after_some_in_a_row_and_tried_with_one(queue: Leased, worker_app: Flask) -> None:
    for number in range(12):
        enqueue("chores.charge", number=number)
    assert work(queue, worker_app, 4) == 4
    assert told().closed_seconds == 0
    assert work(queue, worker_app, 4) == 4
    assert 0 < told().closed_seconds <= 10
    assert work(queue, worker_app, 4) == 0, "nothing is taken while it is closed"
    reopen(queue)
    assert [work(queue, worker_app, 4), work(queue, worker_app, 4)] == [1, 0], "one tries, and it is closed again"
    assert 10 < told().closed_seconds <= 20, "for longer"
    global away
    away = False
    reopen(queue)
    assert work(queue, worker_app, 4) == 1
    assert told().closed_seconds == 0
    while work(queue, worker_app, 20) or contents.run_now():
        pass
    assert sorted(did) == list(range(12)), "all are done, though each may fail once only"
    assert (told().failed, told().dead, told().completed) == (0, 0, 12)


def test_while_one_tries_the_others_wait(queue: Leased, worker_app: Flask) -> None:
    for number in range(8):
        enqueue("chores.charge", number=number)
    work(queue, worker_app, 5)
    reopen(queue)
    other = Leased(redis.client(), "default", "two")
    assert [len(queue.step(5).taken), len(other.step(5).taken), len(queue.step(5).taken)] == [1, 0, 0]
    assert 0 < told().closed_seconds <= 15, "they are told for how long at most"


def test_whoever_finds_nothing_to_try_it_with_keeps_nobody_waiting(queue: Leased, worker_app: Flask) -> None:
    for number in range(5):
        enqueue("chores.charge", number=number)
    work(queue, worker_app, 5)
    queue.client.hset(queue.keys.stat, "open_until", 1)
    assert queue.step(5).taken == [], "all are to come again later"
    reopen(queue)
    assert len(queue.step(5).taken) == 1


def test_a_job_that_fails_for_a_reason_of_its_own_shows_that_the_service_is_back(
    queue: Leased, worker_app: Flask
) -> None:
    global away
    for number in range(8):
        enqueue("chores.charge", number=number)
    work(queue, worker_app, 5)
    away = ValueError("the card has expired")
    reopen(queue)
    assert work(queue, worker_app, 8) == 1
    assert told().closed_seconds == 0
    assert work(queue, worker_app, 8) == 7


def test_while_a_queue_is_closed_such_a_failure_does_not_open_it(queue: Leased, worker_app: Flask) -> None:
    global away
    for number in range(8):
        enqueue("chores.charge", number=number)
    late = queue.step(1).taken
    work(queue, worker_app, 5)
    away = ValueError("the card has expired")
    done = [settling.effects_of(each, attempt(messages.decode(each.message), worker_app), "default") for each in late]
    queue.step(0, [Settled.of(late[0], *done[0])])
    assert told().closed_seconds > 0, "it may have begun before the service went"


@pytest.mark.parametrize("between", [False, ValueError("the card has expired")], ids=["success", "failure"])
def test_an_answer_between_keeps_it_open(queue: Leased, worker_app: Flask, between: Any) -> None:
    global away
    for number in range(12):
        enqueue("chores.charge", number=number)
    for turn in (True, between, True):
        away = turn
        work(queue, worker_app, 4)
    assert told().closed_seconds == 0


def test_a_try_that_goes_back_is_another_workers(queue: Leased, worker_app: Flask) -> None:
    for number in range(8):
        enqueue("chores.charge", number=number)
    work(queue, worker_app, 5)
    reopen(queue)
    [tried] = queue.step(5).taken
    queue.step(0, [Settled.of(tried, ("back", "", tried.raw()))])
    assert len(Leased(redis.client(), "default", "two").step(5).taken) == 1


@pytest.mark.parametrize("born", [timedelta(0), timedelta(days=9)], ids=["now", "long ago"])
def test_once_it_has_waited_for_a_day_such_attempts_count(worker_app: Flask, born: timedelta) -> None:
    """Since it first met the outage: it may have been enqueued days ago, to come now."""
    milliseconds = int((utcnow() - born).timestamp() * 1000) << 80
    id = UUID(int=new_id().int & ((1 << 80) - 1) | milliseconds)
    job = Envelope(id, "task", "chores.charge", {"number": 1}, DEFAULT.id)
    with worker_app.app_context():
        first = attempt(job, worker_app)
        assert (first.what, first.again and first.again.attempt) == ("outage", 1)
        waits = msgspec.structs.replace(first.again, waits=first.again.waits - 86_000)  # type: ignore[type-var, union-attr]
        assert attempt(waits, worker_app).what == "outage"
        waits = msgspec.structs.replace(waits, waits=waits.waits - 1_000)
        second = attempt(waits, worker_app)
        assert (second.what, second.again and (second.again.attempt, second.again.waits)) == ("retry", (2, 0.0))
        assert attempt(msgspec.structs.replace(waits, attempt=2), worker_app).what == "failed"


@pytest.mark.parametrize("outage", [(5,), (BaseException,), BankAway])
def test_an_outage_names_classes_of_exceptions(outage: Any) -> None:
    module = ModuleType("chores.tasks")

    @task(outage=outage)
    @public
    def chore() -> None: ...

    chore.__module__ = module.__name__
    vars(module)["chore"] = chore
    if outage is BankAway:
        Tasks().add("chores", module)
    else:
        with pytest.raises(BootError, match="in outage="):
            Tasks().add("chores", module)


def test_the_command_tells_that_a_queue_is_closed(queue: Leased, worker_app: Flask) -> None:
    from plugins.jobs.cli import _line

    for number in range(5):
        enqueue("chores.charge", number=number)
    work(queue, worker_app, 5)
    assert "after an outage" in _line(told())
