"""Figures that go with the step that settles a job: times as percentiles, counts by task and by tenant."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from handover import NOW, put

from core.background import AtOnce
from core.background.queue import framing, parts, tallies
from core.background.queue.figures import figures
from core.background.queue.frames import frame, head_of, lane_of
from core.background.queue.gates import Limit
from core.background.queue.leased import Leased, Settled
from core.background.queue.routes import Route
from core.data import DEFAULT, PLATFORM, new_id, redis, sweeping
from core.data.outbox import Envelope


def finish(many: int, task: str, lane: str, waited: float, ran: float, how: str = "done") -> None:
    queue = Leased(redis.client(), "default", "one")
    queue.push((0, frame(b"x", head_of(0, lane))) for _ in range(many))
    for taken in queue.step(many).taken:
        queue.step(0, [Settled(taken.nonce, [(how, tallies.told(task, lane, waited, ran), b"{}")])])


def test_percentiles_are_good_to_a_fifth() -> None:
    random.seed(7)
    times = [random.lognormvariate(3, 1.2) for _ in range(20_000)]  # milliseconds
    found = tallies.spread(Counter(tallies.bucket(ms / 1000) for ms in times))
    cuts = statistics.quantiles(times, n=100)
    for told, true in ((found.p50, cuts[49]), (found.p95, cuts[94]), (found.p99, cuts[98])):
        assert told == pytest.approx(true, rel=0.2)
    assert tallies.spread({}) == tallies.Spread()
    assert tallies.bucket(1e12) == tallies.LONGEST and tallies.bucket(-5) == 0


def test_each_end_is_counted_for_its_queue_task_and_tenant(ctx: Flask) -> None:
    lane = lane_of(DEFAULT.id)
    finish(19, "shelf.count", lane, waited=0.010, ran=0.1)
    finish(1, "shelf.count", lane, waited=100, ran=0.1, how="failed")
    finish(2, "shelf.tidy", "", waited=3, ran=5)
    whole = figures("default")
    assert (whole.completed, whole.failed, whole.total) == (21, 1, 22)
    assert whole.wait_ms.p50 == pytest.approx(10, rel=0.42) and whole.wait_ms.p99 > 70_000  # type: ignore[operator]
    count, tidy = parts.parts("default", "task")
    assert (count.name, count.completed, count.failed, count.total) == ("shelf.count", 19, 1, 20)
    assert 70 < count.run_ms.p95 < 142  # type: ignore[operator]
    assert (tidy.name, tidy.ended, tidy.wait_ms.p50) == ("shelf.tidy", 2, pytest.approx(3000, rel=0.42))
    board, own = parts.parts("default", "tenant")
    assert (board.name, board.completed) == ("", 2)
    assert (UUID(own.name), own.completed, own.failed) == (DEFAULT.id, 19, 1)
    assert parts.parts("default", "tenant", lane=lane) == [own]


def test_a_job_that_another_has_by_now_is_not_counted(ctx: Flask) -> None:
    queue = Leased(redis.client(), "default", "one")
    told = tallies.told("shelf.count", "", 1, 1)
    assert queue.step(0, [Settled(b"x" * 16, [("done", told, b"{}")])]).lost
    assert tallies.of("default") == {} and tallies.ever("default") == {}


def test_what_waits_is_told_by_task_and_tenant(ctx: Flask) -> None:
    for tenant in (DEFAULT, DEFAULT, PLATFORM):
        put("shelf.nothing", tenant.id)
    sweeping.sweep(settled=NOW)
    [part] = parts.parts("default", "task")
    assert (part.name, part.waiting, part.total, part.partial) == ("shelf.nothing", 3, 3, False)
    assert part.oldest_seconds is not None and part.wait_ms == tallies.Spread()
    by_tenant = {UUID(each.name): each.waiting for each in parts.parts("default", "tenant")}
    assert by_tenant == {DEFAULT.id: 2, PLATFORM.id: 1}


def test_of_too_many_only_the_first_are_looked_at(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LOOKED_AT", 2)
    for _ in range(3):
        put("shelf.nothing")
    sweeping.sweep(settled=NOW)
    [part] = parts.parts("default", "task")
    assert (part.waiting, part.partial) == (2, True)


@pytest.mark.parametrize("limits", [(), (AtOnce(1, each_tenant=True),)], ids=["free", "at a gate"])
def test_what_waits_of_a_tenant_is_not_sought_among_the_others(
    ctx: Flask, monkeypatch: pytest.MonkeyPatch, limits: tuple[Limit, ...]
) -> None:
    monkeypatch.setattr(parts, "LOOKED_AT", 2)
    queue = Leased(redis.client(), "default", "one")
    big, small = uuid4(), uuid4()
    for tenant, many, priority in ((big, 20, 5), (big, 10, 0), (small, 3, 5), (small, 4, -5)):
        jobs = [Envelope(new_id(), "task", "shelf.nothing", {}, tenant) for _ in range(many)]
        queue.push([(0, framing.framed(job, Route(priority=priority, limits=limits))) for job in jobs])
    taken = 0
    if limits:
        taken = len(queue.step(2).taken)
        queue.step(0)
    for tenant, many in ((big, 30), (small, 7)):
        [part] = parts.parts("default", "tenant", lane=lane_of(tenant))
        assert (part.waiting + part.active, part.partial) == (many, False)
        assert part.oldest_seconds is not None
    both = {UUID(each.name): each.waiting for each in parts.parts("default", "tenant")}
    assert sum(both.values()) == 37 - taken and both.keys() == {big, small}


def test_what_waits_in_a_lane_that_is_none_of_ours_is_left_out(ctx: Flask) -> None:
    Leased(redis.client(), "default", "one").push([(0, frame(b"x", head_of(0, "none"))), (0, frame(b"x", head_of()))])
    assert [(part.name, part.waiting) for part in parts.parts("default", "tenant")] == [("", 1)]


def test_tenants_have_no_line_of_their_own_beyond_what_memory_allows(ctx: Flask) -> None:
    hour: Any = redis.client()
    finish(1, "shelf.count", "a" * 22, 0, 0)
    [key] = hour.keys("pb:q:{default}:t:*")
    hour.hset(key, mapping={f"l:{number}|w1": 1 for number in range(20_000)})
    finish(1, "shelf.count", "b" * 22, 0, 0)
    found = tallies.of("default")
    assert "l:" + "b" * 22 not in found and found["k:shelf.count"].completed == 2
    assert 0 < hour.ttl(key) <= 93_600
