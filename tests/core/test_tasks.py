"""Tasks: enqueued by name, called with what they ask for, tried again when that may help, and never lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import msgspec
import pytest
from flask import Flask
from handover import scheduled, waiting
from redis.exceptions import ConnectionError as RedisAway
from shelf import services
from throwaway import eventually

from core import telemetry
from core.background.chains import step
from core.background.queue import running
from core.background.queue.sizes import STANDARD
from core.background.tasks import enqueue, enqueue_in, enqueue_many, perform, task
from core.contracts import ANONYMOUS, SYSTEM, Principal
from core.data.models import new_id, utcnow
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT, current_tenant, tenant_or_none
from core.data.unit import in_steps, unit, unit_or_none
from core.errors import CONFLICT, DATABASE_UNAVAILABLE, Refused
from core.ops.doctor.admission import patient
from core.ops.processes import Process
from core.trust.identity import acting_as, current_principal
from core.trust.permissions import public, requires, signed_in

RunJobs = Callable[[], int]
StartProcess = Callable[..., Process]

USER = Principal("user", new_id(), DEFAULT.id)


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


class Chores:
    """Tasks of one test, put into the worker's board under ``chores.<function>``; ``seen`` is what they note."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.seen: list[Any] = []
        self.names: set[str] = set()

    def add(self, *functions: Callable[..., Any]) -> None:
        module = ModuleType(functions[0].__module__)
        for function in functions:
            setattr(module, function.__name__, function)
            self.names.add(f"chores.{function.__name__}")
        self.app.extensions["pegboard.tasks"].add("chores", module)

    def perform(self, name: str, principal: Principal = USER, **more: Any) -> Envelope | None:
        facts: dict[str, Any] = {"payload": {}, "tenant_id": DEFAULT.id, **more}
        return perform(Envelope(id=new_id(), kind="task", name=name, principal=principal, **facts), self.app)


@pytest.fixture
def chores(ctx: Flask, worker_app: Flask) -> Iterator[Chores]:
    made = Chores(worker_app)
    yield made
    for name in made.names:
        worker_app.extensions["pegboard.tasks"]._tasks.pop(name, None)


@pytest.fixture(autouse=True)
def somebody() -> Iterator[Principal]:
    with acting_as(USER):
        yield USER


# -- the call -----------------------------------------------------------------------------------------------------


def test_arguments_arrive_as_the_task_declares_them(chores: Chores, run_jobs: RunJobs) -> None:
    @task()
    @public
    def everything(
        id: UUID, at: datetime, price: Decimal, point: Point, tags: tuple[str, ...], note: str | None = None, n: int = 7
    ) -> None:
        chores.seen.append((id, at, price, point, tags, note, n))

    chores.add(everything)
    given = (new_id(), datetime.now(UTC), Decimal("1.10"), Point(1), ("a", "b"))
    enqueue("chores.everything", **dict(zip(("id", "at", "price", "point", "tags"), given, strict=True)))
    assert run_jobs() == 1
    assert chores.seen == [(*given, None, 7)]


def test_what_a_worker_would_run_in_a_process_a_tool_runs_itself(chores: Chores, run_jobs: RunJobs) -> None:
    @task(queue="images", kind="process")
    @public
    def shrink() -> None:
        chores.seen.append(os.getpid())

    chores.add(shrink)
    assert patient(chores.app).children == STANDARD["images"], "the doctor counts what a worker may have"
    enqueue("chores.shrink")
    assert run_jobs() == 1
    assert chores.seen == [os.getpid()]


@pytest.mark.parametrize(
    "arguments", [{}, {"n": "5"}, {"n": 5, "m": 6}, {"n": None}], ids=["missing", "text", "unknown", "null"]
)
def test_arguments_that_do_not_fit_fail_the_job_at_once(
    chores: Chores, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture, arguments: dict[str, Any]
) -> None:
    @task(retries=5)
    @public
    def strict(n: int) -> None:
        chores.seen.append(n)

    chores.add(strict)
    enqueue("chores.strict", **arguments)
    assert run_jobs() == 1
    assert chores.seen == []
    assert scheduled() == []
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.message == "job failed"
    assert "BadArguments" in line.reason  # type: ignore[attr-defined]


def test_a_job_runs_in_the_name_of_whoever_enqueued_it(chores: Chores, run_jobs: RunJobs) -> None:
    @task()
    @signed_in
    def who() -> None:
        chores.seen.append((current_tenant(), current_principal(), telemetry.request_id(), unit_or_none() is not None))

    chores.add(who)
    with telemetry.log_context(request_id="r-42"):
        enqueue("chores.who")
    assert run_jobs() == 1
    assert chores.seen == [(DEFAULT, USER, "r-42", True)]
    assert telemetry.request_id() is None


def test_a_job_without_a_tenant_runs_without_one(chores: Chores) -> None:
    @task()
    @public
    def board_work() -> None:
        chores.seen.append(tenant_or_none())

    chores.add(board_work)
    assert chores.perform("chores.board_work", tenant_id=None) is None
    assert chores.seen == [None]


def test_a_job_of_a_tenant_that_is_gone_is_dropped(chores: Chores, caplog: pytest.LogCaptureFixture) -> None:
    @task()
    @public
    def late() -> None:
        chores.seen.append("ran")

    chores.add(late)
    assert chores.perform("chores.late", tenant_id=new_id()) is None
    assert chores.seen == []
    assert "its tenant is gone" in caplog.text


def test_a_job_in_steps_opens_its_own_units(chores: Chores) -> None:
    @task()
    @public
    @in_steps
    def steps() -> None:
        assert unit_or_none() is None
        with unit():
            services.leave_mark("first")
        with unit():
            services.leave_mark("second")

    chores.add(steps)
    assert chores.perform("chores.steps") is None
    with unit():
        assert services.marks() == ["first", "second"]


def test_marks_on_a_task_are_kept_by_the_worker(chores: Chores, caplog: pytest.LogCaptureFixture) -> None:
    @task()
    @signed_in
    def personal() -> None:
        chores.seen.append("personal")

    @task()
    @requires("users:write")
    def official() -> None:
        chores.seen.append("official")

    chores.add(personal, official)
    assert chores.perform("chores.personal", principal=ANONYMOUS) is None
    assert chores.perform("chores.official") is None
    assert chores.seen == []
    assert "TOKEN_MISSING" in caplog.text
    assert "FORBIDDEN" in caplog.text


# -- failing --------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_undone_and_tried_again_later_and_later_under_its_id(
    ctx: Flask, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    job = enqueue("shelf.stumble", note="never kept")
    assert run_jobs() == 1
    [again] = scheduled()
    assert (again.id, again.attempt) == (job, 2)
    assert again.due_at is not None
    assert (again.due_at - utcnow()).total_seconds() < 0.15
    assert eventually(run_jobs) == 1
    assert scheduled() == []
    assert waiting() == []
    [line] = [record for record in caplog.records if record.message == "job failed"]
    assert line.levelname == "ERROR"
    assert (line.task, line.job, line.attempt) == ("shelf.stumble", str(job), 2)  # type: ignore[attr-defined]
    with unit():
        assert services.marks() == []


def test_each_delay_is_twice_the_one_before_with_some_jitter(chores: Chores) -> None:
    @task(retries=20, retry_delay=2)
    @public
    def fails() -> None:
        raise RuntimeError

    chores.add(fails)
    for attempt, least, most in ((1, 2, 3), (2, 4, 6), (3, 8, 12), (20, 3600, 5400)):
        again = chores.perform("chores.fails", attempt=attempt)
        assert again is not None and again.due_at is not None
        assert again.attempt == attempt + 1
        assert least - 1 < (again.due_at - utcnow()).total_seconds() < most
    assert chores.perform("chores.fails", attempt=21) is None


def test_what_would_not_help_is_not_tried_again(chores: Chores) -> None:
    @task(never=(KeyError,))
    @public
    def fails(how: str) -> None:
        raise {"refused": Refused(CONFLICT), "never": KeyError("k"), "other": ValueError("v")}[how]

    chores.add(fails)
    assert chores.perform("chores.fails", payload={"how": "refused"}) is None
    assert chores.perform("chores.fails", payload={"how": "never"}) is None
    assert chores.perform("chores.fails", payload={"how": "other"}) is not None


def test_while_a_store_is_away_attempts_do_not_count(chores: Chores) -> None:
    @task(retries=0)
    @public
    def needs(what: str) -> None:
        raise {"redis": RedisAway("refused"), "database": Refused(DATABASE_UNAVAILABLE)}[what]

    chores.add(needs)
    for what in ("redis", "database"):
        again = chores.perform("chores.needs", payload={"what": what})
        assert again is not None and again.due_at is not None
        assert again.attempt == 1
        assert 4 < (again.due_at - utcnow()).total_seconds() < 8
    envelope = Envelope(new_id(), "task", "chores.needs", {"what": "redis"}, DEFAULT.id, waits=time.time() - 90_000)
    assert perform(envelope, chores.app) is None, "not for ever"


def test_a_task_that_this_worker_does_not_know_waits_for_one_that_does(
    chores: Chores, caplog: pytest.LogCaptureFixture
) -> None:
    again: Envelope | None = Envelope(new_id(), "task", "chores.of_the_next_release", {}, DEFAULT.id)
    for times in range(1, 9):
        assert again is not None
        again = perform(again, chores.app)
        assert again is not None and (again.attempt, again.unknown) == (1, times), "that counts as no attempt"
        assert again.due_at is not None
        assert 2.0**times < (again.due_at - utcnow()).total_seconds() < 2.0**times * 3
    assert again is not None and perform(again, chores.app) is None
    assert "no worker knows its task" in caplog.text


def test_one_who_knows_it_begins_to_count_anew(chores: Chores) -> None:
    @task(retries=1)
    @public
    def fails() -> None:
        raise RuntimeError("no")

    chores.add(fails)
    met = Envelope(new_id(), "task", "chores.fails", {}, DEFAULT.id, unknown=5, waits=time.time())
    again = perform(met, chores.app)
    assert again is not None and (again.attempt, again.unknown, again.waits) == (2, 0, 0.0)


@pytest.mark.parametrize("pad", [0, 440, 460, 480])
def test_an_error_is_scrubbed_before_it_is_cut(chores: Chores, pad: int) -> None:
    @task(retries=0)
    @public
    def leak() -> None:
        raise RuntimeError(f"{'x' * pad} postgres://bob:hunter2-very-long-password@db/one")

    chores.add(leak)
    outcome = running.attempt(Envelope(new_id(), "task", "chores.leak", {}, DEFAULT.id), chores.app)
    assert outcome.error and "hunter2" not in outcome.error and len(outcome.error) <= 500


def test_outcomes_are_counted(chores: Chores) -> None:
    @task()
    @public
    def counted() -> None:
        pass

    chores.add(counted)
    chores.perform("chores.counted")
    text = telemetry.exposition()[0].decode()
    assert 'jobs_total{outcome="done",task="chores.counted"} 1.0' in text
    assert 'job_seconds_count{task="chores.counted"} 1.0' in text


def test_a_task_may_say_how_long_to_wait(chores: Chores, caplog: pytest.LogCaptureFixture) -> None:
    def waits(attempt: int) -> float:
        if attempt > 2:
            raise RuntimeError("no idea")
        return 100.0 * attempt

    @task(retries=5, backoff=waits, retry_delay=7)
    @public
    def stubborn() -> None:
        raise LookupError("not yet")

    chores.add(stubborn)
    for attempt, seconds in ((1, 100), (2, 200), (3, 7)):
        again = chores.perform("chores.stubborn", attempt=attempt)
        assert again is not None and again.due_at is not None
        assert seconds - 1 <= (again.due_at - utcnow()).total_seconds() <= seconds * 1.5
    assert "a task's backoff failed" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"title": float("nan")}, "JSON has no number nan"),
        ({"title": {"a": [1.0, float("-inf")]}}, "JSON has no number -inf"),
        ({"title": ["a\0b"]}, "U+0000"),
        ({"title": {"a\0b": None}}, "U+0000"),
        ({"title": "\ud800"}, "surrogates not allowed"),
    ],
    ids=["nan", "infinity", "NUL", "NUL in a key", "surrogate"],
)
def test_what_would_be_lost_on_the_way_is_refused(ctx: Flask, arguments: dict[str, Any], told: str) -> None:
    for write in (lambda: enqueue("shelf.count", **arguments), lambda: step("shelf.count", **arguments)):
        with pytest.raises(ValueError, match=r"shelf\.count: the arguments cannot travel as JSON") as caught:
            write()
        assert told in str(caught.value)
    with unit():
        enqueue("shelf.count", title=None, note=r"a\u0000b")  # the six characters, and no NUL


@pytest.mark.parametrize("name", [None, "", "x" * 201, 5])
def test_a_task_is_enqueued_by_its_name(ctx: Flask, name: Any) -> None:
    with pytest.raises(ValueError, match="names no task; write enqueue"):
        enqueue(name)


@pytest.mark.parametrize("arguments", [5, ["a"], "title", None])
def test_arguments_are_given_by_name(ctx: Flask, arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"shelf\.count: the arguments cannot travel as JSON \(they are \w+, and not"):
        enqueue_many("shelf.count", [arguments])


@pytest.mark.parametrize("delay", [float("nan"), float("inf"), 1e12, "5", None, True])
def test_a_delay_is_a_number_of_seconds_within_reason(ctx: Flask, delay: Any) -> None:
    with pytest.raises(ValueError, match=r"shelf.count: a delay of .* seconds; it is a number of at most 315532800"):
        enqueue_in(delay, "shelf.count", book_id=new_id())


def test_many_are_enqueued_together_or_not_at_all(ctx: Flask, run_jobs: RunJobs) -> None:
    with acting_as(SYSTEM):
        ids = enqueue_many("shelf.count", ({"book_id": new_id()} for _ in range(300)))
        assert len(set(ids)) == 300
        with pytest.raises(ValueError, match="cannot travel"):
            enqueue_many("shelf.count", [{"book_id": new_id()}, {"book_id": object()}])
    assert run_jobs() == 300
