"""Back-pressure: what a tenant enqueues beyond the limit stays in PostgreSQL, in order, and holds nobody else up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from handover import NOW, leave, rows, waiting

from core.background.queue import delivery, fullness
from core.background.queue.leased import Leased, Settled
from core.background.queue.routes import Route
from core.data import DEFAULT, PLATFORM, new_id, outbox, redis
from core.data.outbox import Envelope


@pytest.fixture(autouse=True)
def small(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fullness, "limit", lambda: 100)
    fullness._full.clear()
    yield
    fullness._full.clear()


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
    assert outbox.sweep(limit=60, settled=NOW) == 60
    assert outbox.sweep(limit=60, settled=NOW) == 60
    assert outbox.sweep(limit=60, settled=NOW) == 0, "120 wait in Redis, and 130 in PostgreSQL"
    assert len(rows(superuser)) == 130
    take(80)
    fullness._full.clear()  # a second later
    assert outbox.sweep(limit=60, settled=NOW) == 60
    assert [each.id for each in waiting()] == [each.id for each in sent[80:180]]


def test_other_tenants_notice_nothing(ctx: Flask) -> None:
    for _ in range(200):
        leave(job())
    while outbox.sweep(limit=60, settled=NOW):
        pass
    leave(job(PLATFORM.id))
    leave(job(None))
    assert outbox.sweep(limit=60, settled=NOW) == 2


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
    from core.background import enqueue

    def one() -> None:
        enqueue("shelf.count")

    return one


def test_what_was_told_holds_for_a_second(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    fullness.note("default", [""])
    assert fullness.full_tenants() == {None}
    monkeypatch.setattr(fullness, "HOLDS", -1.0)
    fullness.note("default", [""])
    assert fullness.full_tenants() == set()


def test_a_queue_that_does_not_empty_takes_no_more_however_long_it_is(
    ctx: Flask, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "HOLDS", 0.0)  # each question comes a second later
    for _ in range(250):
        leave(job())
    assert [outbox.sweep(limit=60, settled=NOW) for _ in range(5)] == [60, 60, 0, 0, 0]
    take(30)
    assert [outbox.sweep(limit=60, settled=NOW) for _ in range(3)] == [60, 0, 0]


def test_jobs_with_a_priority_count_too(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullness, "HOLDS", 0.0)
    monkeypatch.setattr(delivery, "route_of", lambda name: Route(priority=5))
    for _ in range(250):
        leave(job())
    assert [outbox.sweep(limit=60, settled=NOW) for _ in range(4)] == [60, 60, 0, 0]
