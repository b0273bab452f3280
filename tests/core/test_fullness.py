"""Back-pressure: what a tenant enqueues beyond the limit stays in PostgreSQL, in order, and holds nobody else up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from chores_here import chores_of
from flask import Flask
from handover import NOW, leave, put, rows, waiting

from core.background import AtOnce, Rate, enqueue, task
from core.background.queue import delivery, figures, fullness
from core.background.queue.frames import lane_of, tenant_of
from core.background.queue.gates import Limit
from core.background.queue.leased import Leased, Settled
from core.background.queue.routes import Route
from core.data import DEFAULT, PLATFORM, new_id, redis, sweeping
from core.data.outbox import Envelope
from core.trust import public


@pytest.fixture(autouse=True)
def small(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fullness, "limit", lambda: 100)
    forget()
    yield
    forget()


def forget() -> None:
    """As in a process that has not been told of anything."""
    fullness._full.clear()
    fullness._behind.clear()


def job(tenant_id: Any = DEFAULT.id) -> Envelope:
    return Envelope(new_id(), "task", "shelf.count", {}, tenant_id)


def take(many: int) -> None:
    queue = Leased(redis.client(), "default", "one")
    queue.step(0, [Settled.of(each) for each in queue.step(many).taken])


def test_what_is_too_many_stays_in_the_outbox_and_follows_in_order(
    ctx: Flask, superuser: psycopg.Connection[Any]
) -> None:
    sent = [job() for _ in range(250)]
    for each in sent:
        leave(each)
    assert sweeping.sweep(limit=60, settled=NOW) == 60
    assert sweeping.sweep(limit=60, settled=NOW) == 60
    assert sweeping.sweep(limit=60, settled=NOW) == 0, "120 wait in Redis, and 130 in PostgreSQL"
    assert len(rows(superuser)) == 130
    take(80)
    forget()
    assert sweeping.sweep(limit=60, settled=NOW) == 60
    assert [each.id for each in waiting()] == [each.id for each in sent[80:180]]


def test_other_tenants_notice_nothing(ctx: Flask) -> None:
    for _ in range(200):
        leave(job())
    while sweeping.sweep(limit=60, settled=NOW):
        pass
    leave(job(PLATFORM.id))
    leave(job(None))
    assert sweeping.sweep(limit=60, settled=NOW) == 2


def test_the_fast_path_leaves_them_too(
    ctx: Flask, superuser: psycopg.Connection[Any], enqueue_one: Callable[[], None]
) -> None:
    for _ in range(99):
        enqueue_one()
    assert rows(superuser) == []
    enqueue_one()  # fills it, and tells so
    enqueue_one()
    assert len(rows(superuser)) == 1


@pytest.fixture
def enqueue_one(ctx: Flask) -> Callable[[], None]:
    def one() -> None:
        enqueue("shelf.count")

    return one


def test_what_was_told_holds_for_a_second(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    fullness.note("default", [""])
    assert [hold.tenants for hold in fullness.holds_of_sweep()] == [{None}]
    monkeypatch.setattr(fullness, "FOR", -1.0)
    fullness.note("default", [""])
    assert fullness.holds_of_sweep() == []


def test_whoever_sweeps_without_having_been_told_puts_nothing_there_either(
    ctx: Flask, superuser: psycopg.Connection[Any]
) -> None:
    for _ in range(250):
        leave(job())
    for _ in range(3):
        while sweeping.sweep(limit=60, settled=NOW):
            pass
        forget()
    assert len(list(waiting())) == 120 and len(rows(superuser)) == 130
    leave(job(PLATFORM.id))
    while sweeping.sweep(limit=60, settled=NOW):
        pass
    assert len(list(waiting())) == 121, "another's is not behind them"


def test_what_comes_later_does_not_overtake_what_was_held_back(
    ctx: Flask, superuser: psycopg.Connection[Any], enqueue_one: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "FOR", 0.0)  # each question comes a second later
    for _ in range(101):
        enqueue_one()
    superuser.execute("update core_outbox set created_at = created_at - interval '1 minute'")
    [held] = rows(superuser)
    take(100)
    enqueue_one()
    assert waiting() == [] and len(rows(superuser)) == 2, "there is room, and one that was first"
    assert sweeping.sweep() == 1 and [each.id for each in waiting()] == [held[0]]
    enqueue_one()
    assert len(list(waiting())) == 2, "the one of a moment ago is the next sweep's"


def test_a_queue_that_does_not_empty_takes_no_more_however_long_it_is(
    ctx: Flask, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "FOR", 0.0)  # each question comes a second later
    for _ in range(250):
        leave(job())
    assert [sweeping.sweep(limit=60, settled=NOW) for _ in range(5)] == [60, 60, 0, 0, 0]
    take(30)
    assert [sweeping.sweep(limit=60, settled=NOW) for _ in range(3)] == [60, 0, 0]


def test_jobs_with_a_priority_count_too(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullness, "FOR", 0.0)
    monkeypatch.setattr(delivery, "route_of", lambda name: Route(priority=5))
    for _ in range(250):
        leave(job())
    assert [sweeping.sweep(limit=60, settled=NOW) for _ in range(4)] == [60, 60, 0, 0]


# -- what waits at limits ---------------------------------------------------------------------------------------------


def work_off(queue: Leased) -> int:
    """As one worker after the other would, until nothing can be taken."""
    done = 0
    while taken := queue.step(50).taken:
        queue.step(0, [Settled.of(each) for each in taken])
        done += len(taken)
    return done


@pytest.mark.parametrize("limit", [AtOnce(1), Rate(1, per=3600)], ids=["gate", "rate"])
def test_what_waits_at_a_limit_counts_too(ctx: Flask, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    monkeypatch.setattr(fullness, "FOR", 0.0)
    monkeypatch.setattr(delivery, "route_of", lambda name: Route(limits=(limit,)))
    queue = Leased(redis.client(), "default", "one")
    for _ in range(250):
        leave(job())
    assert sweeping.sweep(limit=60, settled=NOW) == 60
    [running] = queue.step(200).taken
    assert queue.step(200).taken == [], "all have been looked at"
    assert [sweeping.sweep(limit=60, settled=NOW) for _ in range(3)] == [60, 0, 0]
    assert queue.step(200).taken == [] and sweeping.sweep(limit=60, settled=NOW) == 0
    queue.step(0, [Settled.of(running)])
    if isinstance(limit, Rate):
        for left in range(119, 0, -1):
            assert figures.figures("default").waiting == left
            limit_is_over(queue)
            assert work_off(queue) == 1
    else:
        assert work_off(queue) == 119
    assert queue.client.hgetall(queue.keys.gate_lengths) == {}
    assert sweeping.sweep(limit=60, settled=NOW) == 60


def limit_is_over(queue: Leased) -> None:
    """As after an hour."""
    store: Any = queue.client
    store.delete(*store.keys(queue.keys.prefix + "r:*"))
    rates = queue.keys.prefix + "rates"
    for gate in store.zrange(rates, 0, -1):
        store.zadd(rates, {gate: 1})


def test_what_waits_at_a_limit_is_counted_by_tenant(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "route_of", lambda name: Route(limits=(AtOnce(1),)))
    for _ in range(150):
        leave(job())
    for _ in range(20):
        leave(job(PLATFORM.id))
    sweeping.sweep(limit=160, settled=NOW)
    queue = Leased(redis.client(), "default", "one")
    queue.step(200)
    store: Any = redis.client()
    lengths = {tenant_of(lane.decode()): int(many) for lane, many in store.hgetall(queue.keys.gate_lengths).items()}
    assert sum(lengths.values()) == 159 and 9 <= lengths[PLATFORM.id] <= 10
    assert sweeping.sweep(limit=60, settled=NOW) == 10, "those of the one that has room"


def test_a_count_that_is_wrong_is_forgotten_once_nothing_waits(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "route_of", lambda name: Route(limits=(AtOnce(1), Rate(1, per=3600))))
    queue = Leased(redis.client(), "default", "one")
    delivery.push([job() for _ in range(5)])
    [first] = queue.step(9).taken
    queue.client.hset(queue.keys.gate_lengths, lane_of(DEFAULT.id), 1000)
    queue.step(0, [Settled.of(first)])
    for _ in range(4):
        work_off(queue)
        limit_is_over(queue)
        assert work_off(queue) == 1
    assert queue.client.hgetall(queue.keys.gate_lengths) == {}


# -- which queue ------------------------------------------------------------------------------------------------------


@task(queue="mail")
@public
def mailed() -> None: ...


@task()
@public
def plain() -> None: ...


@pytest.fixture
def chores(ctx: Flask, worker_app: Flask) -> Iterator[None]:
    with chores_of(worker_app, mailed, plain):
        yield


@pytest.mark.parametrize(("full", "free"), [("mailed", "plain"), ("plain", "mailed")])
def test_a_queue_that_is_full_holds_back_what_goes_there_and_no_more(
    chores: None, superuser: psycopg.Connection[Any], full: str, free: str
) -> None:
    names = [f"chores.{full}", f"chores.{free}", "shelf.unknown"]
    delivery.push([Envelope(new_id(), "task", names[0], {}, DEFAULT.id) for _ in range(100)])
    for name in names:
        enqueue(name)
    held = [names[0]] if full == "mailed" else [names[0], names[2]]
    assert [row[1] for row in rows(superuser)] == held, "at once"
    for name in names:
        put(name)
        put(name, None)
        put(name, PLATFORM.id)
    sweeping.sweep(settled=NOW)
    assert [(row[1], row[5]) for row in rows(superuser)] == [(name, DEFAULT.id) for name in held * 2], "by the sweep"


def test_the_boards_own_jobs_are_held_back_for_themselves(chores: None, superuser: psycopg.Connection[Any]) -> None:
    for _ in range(100):
        put("chores.mailed", None)
    sweeping.sweep(settled=NOW)
    put("chores.mailed", None)
    put("chores.mailed")
    put("chores.plain", None)
    sweeping.sweep(settled=NOW)
    assert [(row[1], row[5]) for row in rows(superuser)] == [("chores.mailed", None)]
