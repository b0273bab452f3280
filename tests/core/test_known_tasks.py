"""What workers tell of their tasks is known for as long as some worker tells it again."""

from __future__ import annotations

import time
from typing import Any

import gevent
import msgspec
import pytest
from chores_here import chores_of
from flask import Flask

from core.background import task
from core.background.queue import consumer, routes
from core.background.schedules import tasks
from core.background.schedules.tasks import Known
from core.data import redis
from core.trust import public

DAY = 86_400


@task(queue="reports")
@public
def sum_up(year: int) -> None: ...


@pytest.fixture
def reports(ctx: Flask, worker_app: Flask) -> None:
    """All workers are of a release that has ``chores.sum_up``, and then of one that has it no more."""
    with chores_of(worker_app, sum_up):
        announce(worker_app)


def announce(app: Flask) -> None:
    with app.app_context():
        gone = tasks.forgotten()
        routes.tell(app, gone)
        tasks.tell(app, gone)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = time.time
    monkeypatch.setattr(tasks.time, "time", lambda: clock() + seconds)


def kept(name: str = "chores.sum_up") -> list[Any]:
    return [redis.client().hget(key, name) for key in (tasks.tasks_key(), routes.routes_key())]


def test_what_nobody_tells_any_more_is_unknown_after_a_day_and_then_forgotten(
    reports: None, worker_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, DAY - 60)
    announce(worker_app)
    assert tasks.known("chores.sum_up") and all(kept())
    later(monkeypatch, 120)
    assert not tasks.known("chores.sum_up")
    why = dict(tasks.unserved(redis.client(), [("t.yearly", "chores.sum_up")]))
    assert why == {"t.yearly": "no worker has told of its task chores.sum_up within a day"}
    announce(worker_app)
    assert kept() == [None, None]
    assert tasks.known("shelf.count")


def test_a_worker_tells_again_and_again(ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "TOLD_EACH", 0.01)
    announcing = consumer._announce(worker_app)
    for _ in range(2):
        gevent.sleep(0.1)
        assert tasks.known("shelf.count")
        redis.client().delete(tasks.tasks_key())
    announcing.kill()


def test_a_task_that_comes_again_after_a_day_is_known_again(
    reports: None, worker_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, DAY + 60)
    with chores_of(worker_app, sum_up):
        announce(worker_app)
    assert tasks.known("chores.sum_up") and all(kept())


def test_what_an_earlier_release_told_is_known_for_a_day_more(
    ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = msgspec.json.encode({"queue": "default", "takes": {}})
    redis.client().hset(tasks.tasks_key(), "chores.old", told)
    announce(worker_app)
    assert tasks.told("chores.old") == Known("default", {}, tasks.told("chores.old").at)  # type: ignore[union-attr]
    later(monkeypatch, DAY + 60)
    assert not tasks.known("chores.old")
    announce(worker_app)
    assert kept("chores.old") == [None, None]
