"""The log's lines of jobs that were done: when they are settled; each at a quiet time, one for many at a busy one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import ConnectionError

from core import telemetry
from core.background import enqueue, task
from core.background.queue import contents, lines, routes, settling
from core.background.queue.huey import BoardHuey, Job
from core.background.queue.leased import Leased
from core.background.queue.pump import Pump
from core.data import DEFAULT, new_id, redis
from core.data.outbox import Envelope
from core.telemetry.logs import entry
from core.trust import public


@pytest.fixture
def told(ctx: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(lines, "LINES", 3)
    monkeypatch.setattr(lines, "_second", 0.0)
    caplog.set_level(logging.INFO, "core.background.queue.lines")
    return caplog


@pytest.fixture
def shown() -> Iterator[list[dict[str, Any]]]:
    """What the lines become, with whose they are."""
    found: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(entry(record))  # type: ignore[method-assign]
    lines.log.addHandler(handler)
    yield found
    lines.log.removeHandler(handler)


def job(name: str = "shop.count") -> Envelope:
    return Envelope(new_id(), "task", name, {}, DEFAULT.id, request_id="r-1")


def test_those_beyond_the_most_of_a_second_are_told_by_task(told: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        lines.settled(job(), 0.010, True)
    lines.settled(job("shop.tidy"), 0.5, True)
    lines.sum_up()
    assert [each.message for each in told.records] == ["job done"] * 3 + ["jobs done"] * 2
    sums = {each.task: (each.many, each.mean_ms) for each in told.records[3:]}  # type: ignore[attr-defined]
    assert sums == {"shop.count": (2, 10.0), "shop.tidy": (1, 500.0)}
    lines.sum_up()
    assert len(told.records) == 5, "once"


def test_a_sum_is_nobodys_in_particular(
    told: pytest.LogCaptureFixture, shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINES", 0)
    with telemetry.log_context(tenant="t", user="u", request_id="r"):
        lines.settled(job(), 0.010, True)
        lines.sum_up()
    assert {*shown[0]} == {"time", "level", "logger", "message", "plugin", "extra"}


# -- when a job is settled ------------------------------------------------------------------------------------------


@task()
@public
def count() -> None: ...


@pytest.fixture
def hand(worker_app: Flask, told: pytest.LogCaptureFixture) -> Iterator[Callable[[], BoardHuey]]:
    """Answers a worker that has done one job and has not settled it."""
    module = ModuleType("chores.tasks")
    count.__module__ = module.__name__
    vars(module)["count"] = count
    tasks = worker_app.extensions["pegboard.tasks"]
    before = tasks._tasks.copy()
    tasks.add("chores", module)
    with worker_app.app_context():
        routes.tell(worker_app)

    def work() -> BoardHuey:
        with telemetry.log_context(request_id="r-17"):
            enqueue("chores.count")
        huey = BoardHuey(worker_app, Pump(Leased(redis.client(), "default", "one"), 1))
        huey.pump._step()
        with worker_app.app_context():
            taken = huey.dequeue()
            assert isinstance(taken, Job)
            huey.execute(taken)
        return huey

    yield work
    tasks._tasks = before


def test_a_job_is_done_once_it_is_settled(hand: Callable[[], BoardHuey], shown: list[dict[str, Any]]) -> None:
    huey = hand()
    assert shown == []
    huey.pump._step()
    [line] = shown
    assert (line["message"], line["request_id"], line["tenant"]) == ("job done", "r-17", str(DEFAULT.id))
    assert (line["plugin"], line["extra"]["task"], line["extra"]["attempt"]) == ("chores", "chores.count", 1)


def test_one_whose_lease_was_lost_is_not_told_to_be_done(
    hand: Callable[[], BoardHuey], shown: list[dict[str, Any]]
) -> None:
    huey = hand()
    huey.pump.queue.leave()
    Leased(redis.client(), "default", "two").reap()
    huey.pump._step()
    [line] = shown
    assert line["message"] == "job was done, but its lease was lost, and somebody else does it again"
    assert (line["level"], line["request_id"]) == ("WARNING", "r-17")


@pytest.mark.parametrize("applied", [True, False])
def test_while_redis_is_away_nobody_says_that_it_is_done(
    hand: Callable[[], BoardHuey], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    huey = hand()
    whole = Leased.step

    def lost(self: Leased, *args: Any) -> Any:
        if applied:
            whole(self, *args)
        raise ConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Leased, "step", lost)
        huey.pump._turn()
    assert huey.pump.away and shown == []
    huey.pump._step()
    [line] = shown
    unsure = "job was done, but Redis was away, and nobody knows whether it is settled"
    assert line["message"] == (unsure if applied else "job done")


def test_one_that_goes_back_is_not_told_to_be_done(
    hand: Callable[[], BoardHuey], shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> Any:
        raise ConnectionError("away")

    monkeypatch.setattr(settling, "_record", away)
    hand().pump._step()
    assert shown == [] and len(list(contents.waiting()) + list(contents.leased())) == 1


def test_what_a_tool_has_run_is_told_too(
    hand: Callable[[], BoardHuey], shown: list[dict[str, Any]], run_jobs: Callable[[], int]
) -> None:
    enqueue("chores.count")
    run_jobs()
    assert [line["message"] for line in shown] == ["job done"]
