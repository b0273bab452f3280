"""Duties: periodic, one at a time where that matters, and never the reason why a process stops."""

from __future__ import annotations

import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import gevent
import pytest
from flask import Flask
from redis.exceptions import ConnectionError as RedisAway
from shelf import services
from throwaway import eventually

from core.background import duties
from core.background.duties import Duty, Runner, add, add_module, duty, last_runs, run_once, still_alone
from core.background.lease import lease
from core.contracts import SYSTEM
from core.data import redis
from core.data.tenancy import all_tenants, tenant_or_none
from core.data.unit import in_steps, unit, unit_or_none
from core.errors import BootError
from core.ops.processes import Process
from core.trust.identity import current_principal

StartProcess = Callable[..., Process]


@pytest.fixture
def no_duties(ctx: Flask) -> Iterator[dict[str, Duty]]:
    """The web board without duties, for the test to fill."""
    before = ctx.extensions["pegboard.duties"]
    fresh: dict[str, Duty] = {}
    ctx.extensions["pegboard.duties"] = fresh
    yield fresh
    ctx.extensions["pegboard.duties"] = before


# -- one run --------------------------------------------------------------------------------------------------------


def test_a_run_is_the_systems_in_a_unit_without_a_tenant(ctx: Flask) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append((current_principal(), unit_or_none() is not None, still_alone()))

    assert run_once(ctx, Duty("t.look", 1, ("web",), look))
    assert seen == [(SYSTEM, True, True)]


def test_a_run_inherits_nothing_of_whoever_starts_it(ctx: Flask) -> None:
    seen: list[Any] = []
    assert run_once(ctx, Duty("t.look", 1, ("web",), lambda: seen.append(tenant_or_none())))
    assert seen == [None]


def test_in_steps_it_visits_the_tenants_one_by_one(ctx: Flask) -> None:
    @in_steps
    def visit() -> None:
        for tenant in all_tenants("a test"):
            with unit():
                services.leave_mark(f"seen {tenant.slug}")

    assert run_once(ctx, Duty("t.visit", 1, ("web",), visit, alone=False))
    with unit():
        assert services.marks() == ["seen default"]


def test_a_failure_undoes_its_unit_is_logged_and_recorded(ctx: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("out of order")

    assert run_once(ctx, Duty("t.fail", 60, ("web",), fail))
    assert "a duty failed" in caplog.text
    facts = last_runs()["t.fail"]
    assert facts["error"] == "RuntimeError: out of order"
    started, ended, following = (datetime.fromisoformat(facts[name]) for name in ("started", "ended", "next"))
    assert started <= ended
    assert 59 < (following - started).total_seconds() < 61
    assert run_once(ctx, Duty("t.fail", 60, ("web",), lambda: None))
    assert last_runs()["t.fail"]["error"] is None


def test_a_store_that_is_away_is_one_line_and_no_stack(ctx: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RedisAway("refused")

    assert run_once(ctx, Duty("t.away", 1, ("web",), fail))
    [line] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "a store is away" in line.message
    assert line.exc_info is None


def test_the_error_of_a_run_tells_no_secret_though_it_is_cut(ctx: Flask) -> None:
    words = "x" * 450 + " postgres://bob:hunter2-which-is-long@db/" + "one" * 100

    def fail() -> None:
        raise RuntimeError(words)

    assert run_once(ctx, Duty("t.leak", 60, ("web",), fail))
    error = last_runs()["t.leak"]["error"]
    assert "hunter2" not in error and "postgres://" in error
    assert len(error) <= 512


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (CancelledError(), "CancelledError: "),
        (gevent.Timeout(1), "Timeout: 1 second"),
        (gevent.GreenletExit(), "GreenletExit: "),
        (Mute(), "Mute: (it cannot be printed)"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_whatever_a_run_raises_is_its_error(ctx: Flask, raised: BaseException, told: str) -> None:
    def fail() -> None:
        raise raised

    assert run_once(ctx, Duty("t.odd", 60, ("web",), fail))
    assert last_runs()["t.odd"]["error"] == told


def test_ctrl_c_ends_whoever_runs_a_duty_by_hand(ctx: Flask) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(ctx, Duty("t.stop", 60, ("web",), stop))


# -- alone ----------------------------------------------------------------------------------------------------------


def _two_at_once(app: Flask, one: Duty) -> list[bool]:
    """Start a second run while the first is inside; what the two calls answer, the second first."""
    entered, go = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert go.wait(10)

    answers: list[bool] = []
    first = Duty(one.name, one.every, one.kinds, in_steps(wait) if one.in_steps else wait, one.alone, one.lock)
    thread = threading.Thread(target=lambda: answers.append(run_once(app, first)))
    thread.start()
    assert entered.wait(10)
    answers.append(run_once(app, one))
    go.set()
    thread.join(10)
    return answers


@pytest.mark.parametrize(
    ("more", "second"),
    [({}, False), ({"lock": "redis"}, False), ({"alone": False}, True)],
    ids=["transaction", "redis", "not alone"],
)
def test_alone_means_one_at_a_time(ctx: Flask, more: dict[str, Any], second: bool) -> None:
    ran: list[bool] = []
    one = Duty("t.alone", 1, ("web",), lambda: ran.append(True), **more)
    assert _two_at_once(ctx, one) == [second, True]
    assert bool(ran) is second
    assert run_once(ctx, one), "free again"


def test_in_steps_it_may_be_alone_by_a_lease(ctx: Flask) -> None:
    seen: list[Any] = []

    @in_steps
    def steps() -> None:
        seen.append((unit_or_none(), still_alone()))

    assert _two_at_once(ctx, Duty("t.steps", 1, ("web",), steps, lock="redis")) == [False, True]
    assert seen == []
    assert run_once(ctx, Duty("t.steps", 1, ("web",), steps, lock="redis"))
    assert seen == [(None, True)]


def test_a_lease_is_renewed_while_it_is_held_and_given_back(ctx: Flask) -> None:
    with lease("t:lease", seconds=3) as mine:
        assert mine is not None
        left: list[Any] = [redis.client().pttl("t:lease")]
        assert 0 < left[0] <= 3000

        def renewed() -> bool:
            left.append(redis.client().pttl("t:lease"))
            return bool(left[-1] > left[-2])

        eventually(renewed)
        assert mine.held()
        with lease("t:lease") as other:
            assert other is None
    assert not redis.client().exists("t:lease")


def test_a_lease_that_was_taken_is_known_as_lost_and_left_to_its_new_holder(
    ctx: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with lease("t:lease", seconds=0.3) as mine:
        assert mine is not None
        redis.client().set("t:lease", "somebody else")
        eventually(lambda: not mine.held())
    eventually(lambda: "a lease was lost" in caplog.text)
    assert redis.client().get("t:lease") == b"somebody else"


# -- the runner -----------------------------------------------------------------------------------------------------


def test_each_duty_of_this_kind_runs_again_and_again_until_stopped(
    ctx: Flask, no_duties: dict[str, Duty], caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def fail() -> None:
        ran.append("fails")
        raise RuntimeError("every time")

    add(ctx, Duty("t.counts", 0.02, ("web",), lambda: ran.append("counts")))
    add(ctx, Duty("t.fails", 0.02, ("web", "worker"), fail))
    add(ctx, Duty("t.elsewhere", 0.02, ("scheduler",), lambda: ran.append("elsewhere")))
    duties.start(ctx)
    eventually(lambda: ran.count("counts") > 3 and ran.count("fails") > 3)
    duties.stop()
    after = len(ran)
    time.sleep(0.1)
    assert len(ran) == after
    assert "elsewhere" not in ran


@pytest.mark.parametrize("strikes", ["in its run", "at rest"])
def test_a_duty_that_was_struck_runs_again(
    ctx: Flask, no_duties: dict[str, Duty], monkeypatch: pytest.MonkeyPatch, strikes: str
) -> None:
    ran: list[bool] = []

    def strike(*_: Any) -> None:
        ran.append(True)
        raise SystemExit

    if strikes == "at rest":
        monkeypatch.setattr(duties, "_record", strike)
    add(ctx, Duty("t.struck", 0.02, ("web",), strike if strikes == "in its run" else lambda: None))
    duties.start(ctx)
    eventually(lambda: len(ran) > 3)
    duties.stop()


def test_a_clock_that_is_set_back_does_not_hold_a_duty_up(
    ctx: Flask, no_duties: dict[str, Duty], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[bool] = []
    clock = time.time

    def run() -> None:
        ran.append(True)
        monkeypatch.setattr(time, "time", lambda: clock() - 3600 * len(ran))

    add(ctx, Duty("t.paced", 0.02, ("web",), run))
    duties.start(ctx)
    eventually(lambda: len(ran) > 3)
    duties.stop()


def test_stopping_waits_for_the_run_under_way_but_not_for_ever(ctx: Flask, no_duties: dict[str, Duty]) -> None:
    entered, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert go.wait(10)
        ended.set()

    add(ctx, Duty("t.slow", 0.01, ("web",), slow))
    runner = Runner(ctx)
    runner.start()
    assert entered.wait(10)
    runner.leave()
    runner.deadline = time.monotonic() + 0.2
    runner.join()
    assert not ended.is_set()
    runner.deadline = time.monotonic() + 10
    threading.Timer(0.1, go.set).start()
    runner.join()
    assert ended.is_set()


def test_last_runs_are_unknown_while_redis_is_away(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise RedisAway("refused")

    ran: list[bool] = []
    monkeypatch.setattr(redis, "client", away)
    assert run_once(ctx, Duty("t.anyway", 1, ("web",), lambda: ran.append(True)))
    assert ran == [True]
    assert last_runs() == {}


# -- declared well --------------------------------------------------------------------------------------------------


def test_a_plugins_duties_are_named_after_it(ctx: Flask, no_duties: dict[str, Duty]) -> None:
    @duty(every=60, kinds=("web", "scheduler"), alone=False)
    def tidy() -> None: ...

    module = ModuleType(__name__)
    module.tidy = tidy  # type: ignore[attr-defined]
    add_module(ctx, "t", module)
    assert no_duties == {"t.tidy": Duty("t.tidy", 60, ("web", "scheduler"), tidy, alone=False)}


def test_a_duty_that_cannot_work_stops_the_boot(ctx: Flask, no_duties: dict[str, Duty]) -> None:
    with pytest.raises(BootError, match=r"duty t\.cron runs nowhere: no kind of process is called cron"):
        add(ctx, Duty("t.cron", 1, ("cron",), lambda: None))
    with pytest.raises(BootError, match='no transaction can hold its lock; say lock="redis"'):
        add(ctx, Duty("t.steps", 1, ("web",), in_steps(lambda: None)))


def _takes(what: Any) -> None: ...


async def _waits() -> None: ...


def _yields() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("more", "run", "told"),
    [
        ({"every": 0}, None, "has every=0; say a number of seconds, above 0 and at most a year"),
        ({"every": "60"}, None, "has every='60'; say a number"),
        ({"every": float("nan")}, None, "has every=nan; say a number"),
        ({"every": timedelta(hours=1)}, None, "has every=datetime.timedelta"),
        ({"lock": "rediss"}, None, "has lock='rediss'; say 'transaction' or 'redis'"),
        ({"kinds": ()}, None, "has kinds=(); write a tuple, such as kinds=('scheduler',)"),
        ({"kinds": (1, 2)}, None, "has kinds=(1, 2); write a tuple"),
        ({"kinds": None}, None, "has kinds=None; write a tuple"),
        ({"kinds": ("worker",)}, None, "names the kind worker, where no plugin's duties are; say web or scheduler"),
        ({"kinds": "scheduler"}, None, "has kinds='scheduler'; write a tuple"),
        ({}, _takes, "takes what, and is called with nothing; change its parameters"),
        ({}, _waits, "is async, and nothing here would await it"),
        ({}, _yields, "has a yield, so that a call of it does nothing"),
    ],
)
def test_a_plugins_duty_that_cannot_work_is_named_with_the_cure(
    ctx: Flask, no_duties: dict[str, Duty], more: dict[str, Any], run: Callable[..., Any] | None, told: str
) -> None:
    def chore() -> None: ...

    module = ModuleType(__name__)
    module.chore = duty(**{"every": 60, **more})(run or chore)  # type: ignore[attr-defined]
    with pytest.raises(BootError) as caught:
        add_module(ctx, "t", module)
    [fault] = caught.value.faults
    assert fault.startswith(f"plugin t: {__name__}:chore {told}")


def test_the_boards_own_duties(worker_app: Flask) -> None:
    own = worker_app.extensions["pegboard.duties"]
    assert own["core.outbox_sweep"].every == 5.0
    assert set(own["core.outbox_sweep"].kinds) == {"scheduler", "worker"}
    assert own["core.audit_sealer"].every == 2.0
    for each in ("core.outbox_sweep", "core.audit_sealer"):
        assert run_once(worker_app, own[each])
    with worker_app.app_context():
        assert {last_runs()[each]["error"] for each in ("core.outbox_sweep", "core.audit_sealer")} == {None}
