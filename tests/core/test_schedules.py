"""Schedules: exactly one job a tick among any number of schedulers, whatever is killed, missed, changed or declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from flask import Flask
from handover import delivering, waiting
from throwaway import eventually, install

from core.background import Schedule
from core.background.queue.leased import Leased
from core.background.schedules import declared, firing, reconciling, tasks
from core.background.schedules.declared import Book
from core.background.schedules.firing import fire, tick_id
from core.background.schedules.models import ScheduleRow
from core.background.schedules.reconciling import reconcile
from core.config import settings
from core.contracts import SYSTEM
from core.data import DEFAULT, db, new_id, redis, unit
from core.data.redis import clear_caches
from core.errors import BootError
from core.ops.doctor import schedules
from core.ops.doctor.findings import Patient
from core.ops.processes import Process

StartProcess = Callable[..., Process]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def book(board: Flask) -> Iterator[Book]:
    """A board whose plugins declare no schedule, in no tenant, as a scheduler is."""
    before = board.extensions["pegboard.schedules"]
    board.extensions["pegboard.schedules"] = Book()
    with board.app_context():
        yield Book.of(board)
    board.extensions["pegboard.schedules"] = before


def declare(book: Book, now: datetime = NOON, **schedules: Schedule) -> dict[str, str]:
    book.declared = {f"t.{name}": schedule for name, schedule in schedules.items()}
    return reconcile(now)


def row(name: str) -> ScheduleRow:
    with unit():
        return db.session.query(ScheduleRow).filter_by(name=f"t.{name}").one()


def edit(name: str, **values: Any) -> None:
    with unit():
        db.session.query(ScheduleRow).filter_by(name=f"t.{name}").update(values)


def ran(superuser: psycopg.Connection[Any]) -> list[tuple[str, datetime]]:
    """Each job that waits in the outbox: what it was told of its schedule, and of its tick."""
    found = superuser.execute("select payload->>'of', payload->>'at' from core_outbox order by id").fetchall()
    return [(of, datetime.fromisoformat(at)) for of, at in found]


def noting(of: str, **more: Any) -> Schedule:
    return Schedule("t.note", arguments={"of": of, "at": "$tick"}, **more)


# -- one job a tick ---------------------------------------------------------------------------------------------------

ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe")
HALF = timedelta(minutes=30)


def by_hand(zone: str, days: int) -> tuple[set[datetime], set[datetime]]:
    """The whole hours, and half past two of each day, as who watches a clock each half hour writes them down."""
    begin, clock = datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo(zone)
    watched = [begin + HALF * number for number in range(1, days * 48 + 1)]
    shown = [(moment, moment.astimezone(clock).replace(tzinfo=None)) for moment in watched]
    hours = {moment for moment, wall in shown if wall.minute == 0}
    daily: dict[date, datetime] = {}
    for moment, wall in shown:
        if wall.time() >= time(2, 30):
            daily.setdefault(wall.date(), moment)
    first = shown[0][1]  # a day that has half past two behind it begins with the next
    return hours, {moment for day, moment in daily.items() if first <= datetime.combine(day, time(2, 30))}


def test_400_days_in_three_zones_with_five_schedulers(book: Book, superuser: psycopg.Connection[Any]) -> None:
    """Each scheduler's clock goes a little after the true one, and they all ask at once."""
    days, begin = 400, datetime(2026, 1, 1, tzinfo=UTC)
    recurring, expected = {}, Counter[tuple[str, datetime]]()
    for zone in ZONES:
        hours, daily = by_hand(zone, days)
        word = zone.rpartition("/")[2].lower()
        recurring[f"{word}_hourly"] = noting(f"{word} hourly", cron="0 * * * *", timezone=zone, misfire="all")
        recurring[f"{word}_daily"] = noting(f"{word} daily", cron="30 2 * * *", timezone=zone, misfire="all")
        expected.update((f"{word} hourly", moment) for moment in hours)
        expected.update((f"{word} daily", moment) for moment in daily)
    declare(book, begin, **recurring)
    # From tick to tick around the days on which some clock is set, and now and then; else in leaps of three days.
    set_on = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((2, 28), (3, 29), (4, 4), (10, 3), (10, 25))]
    stops = {at for (_, at) in expected if any(each - HOUR <= at < each + DAY for each in set_on)}
    stops |= {begin + DAY * number for number in range(1, days, 3)}
    dice = Random(7)
    app: Any = board_of(book)

    def look(now: datetime) -> None:
        def turn() -> None:
            with app.app_context():
                fire(now)

        Context().run(turn)

    with delivering(app) as queue, ThreadPoolExecutor(5) as schedulers:
        app.extensions["pegboard.outbox"].deliver = None
        for stop in [*sorted(stops), begin + DAY * days]:
            clocks = [stop - timedelta(milliseconds=dice.choice((0, 0, 1, 900))) for _ in range(4)]
            list(schedulers.map(look, [stop, *clocks]))
        assert queue.batches == []
    assert Counter(ran(superuser)) == expected
    assert len(expected) > 29_000


def board_of(book: Book) -> Flask:
    from flask import current_app

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    assert Book.of(app) is book
    return app


def test_a_tick_becomes_a_job_of_the_system_that_tells_its_time(book: Book) -> None:
    declare(book, nightly=noting("n", cron="0 2 * * *"))
    tick = NOON.replace(day=2, hour=2)
    assert row("nightly").next_at == tick
    assert fire(tick - timedelta(seconds=1)) == 0
    assert fire(tick + timedelta(seconds=1)) == 1
    [job] = waiting()
    assert (job.name, job.tenant_id, job.principal) == ("t.note", None, SYSTEM)
    assert job.payload == {"of": "n", "at": tick.isoformat()}
    assert job.id == tick_id(row("nightly").id, tick)
    assert (job.id.version, job.id.int >> 80) == (8, int(tick.timestamp()) * 1000)
    after = row("nightly")
    assert (after.next_at, after.last_at, after.last_job_id) == (tick + DAY, tick, job.id)
    assert after.version == 1, "that it ran is no change of an editor's"


def test_a_tenants_schedule_runs_in_its_tenant_and_not_without_it(book: Book) -> None:
    declare(book, mine=noting("m", cron="0 * * * *"), theirs=noting("o", cron="0 * * * *"))
    edit("mine", tenant_id=DEFAULT.id)
    edit("theirs", tenant_id=new_id())
    fire(NOON + HOUR)
    assert [(job.payload["of"], job.tenant_id) for job in waiting()] == [("m", DEFAULT.id)]
    assert row("theirs").next_at == NOON + 2 * HOUR


def test_one_that_cannot_be_read_holds_up_nobody(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    declare(book, bad=noting("b", cron="0 * * * *"), good=noting("g", cron="0 * * * *"))
    edit("bad", timezone="Mars/Phobos")
    fire(NOON + HOUR)
    assert [job.payload["of"] for job in waiting()] == ["g"]
    assert row("bad").next_at == NOON + 2 * HOUR
    assert "a schedule cannot be read" in caplog.text


def test_one_that_was_asked_for_runs_whether_it_is_due_or_not(book: Book) -> None:
    declare(book, rare=noting("r", cron="0 0 1 1 *", enabled=False))
    asked = new_id()
    edit("rare", asked=asked)
    assert (fire(NOON), fire(NOON)) == (1, 0)
    assert [job.id for job in waiting()] == [asked]
    assert (row("rare").next_at, row("rare").last_job_id, row("rare").last_at) == (None, asked, None)


# -- missed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("misfire", "away", "hours_run"),
    [
        ("once", timedelta(hours=5, minutes=30), [5]),
        ("once", timedelta(hours=5, seconds=30), [5]),
        ("skip", timedelta(hours=5, minutes=30), []),
        ("skip", timedelta(hours=5, seconds=30), [5]),
        ("all", timedelta(hours=5, minutes=30), [1, 2, 3, 4, 5]),
        ("all", timedelta(hours=150), list(range(51, 151))),
    ],
)
def test_what_follows_an_outage(
    book: Book, misfire: Any, away: timedelta, hours_run: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    declare(book, hourly=noting("h", cron="0 * * * *", misfire=misfire))
    fire(NOON + away)
    assert [job.payload["at"] for job in waiting()] == [(NOON + HOUR * hour).isoformat() for hour in hours_run]
    assert ("ticks of a schedule were missed" in caplog.text) == (hours_run[:1] != [1])
    assert fire(NOON + away) == 0
    assert row("hourly").next_at == NOON + HOUR * (away // HOUR + 1)


# -- killed -----------------------------------------------------------------------------------------------------------

SLOWLY = """
create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return new; end $$;
create trigger slowly before update on core_schedules for each row execute function slowly()
"""


@pytest.mark.timeout(120)
def test_schedulers_that_are_killed_while_they_fire_lose_and_double_no_tick(
    ctx: Flask, process: StartProcess, superuser: psycopg.Connection[Any], tmp_path: Path
) -> None:
    duties = """\
        from core.background import Schedule

        first, second, third = (
            Schedule("chores.note", every=1, arguments={"of": of, "at": "$tick"}) for of in ("1", "2", "3")
        )
        """
    environ = install(tmp_path, "chores", duties=duties)
    superuser.execute(SLOWLY)
    try:
        crew = [process("scheduler", **environ) for _ in range(2)]
        eventually(lambda: len(told(superuser)) > 5)
        dice = Random(7)
        for kill in range(5):
            seen = len(told(superuser))
            eventually(lambda seen=seen: len(told(superuser)) > seen + dice.randint(0, 5))
            victim = crew[kill % 2]
            victim.kill()
            victim.start()
        eventually(lambda: len(told(superuser)) > seen + 10)
        for each in crew:
            each.wait_ready()
            assert each.stop() == 0
    finally:
        superuser.execute("drop trigger slowly on core_schedules; drop function slowly")
    found = Counter(told(superuser))
    assert set(found.values()) == {1}
    for of in "123":
        times = sorted(at for (each, at) in found if each == of)
        assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
        assert len(times) > 5


def told(superuser: psycopg.Connection[Any]) -> list[tuple[str, datetime]]:
    """Every job that is on the queue or still in the outbox; one that is on its way is in both for a moment."""
    clear_caches()
    queued = [job for job in waiting() if job.name == "chores.note"]
    ids = {job.id for job in queued}
    left = superuser.execute("select id, payload from core_outbox where name = 'chores.note'").fetchall()
    payloads = [job.payload for job in queued] + [payload for id, payload in left if id not in ids]
    return [(payload["of"], datetime.fromisoformat(payload["at"])) for payload in payloads]


def test_from_the_declaration_to_the_work(ctx: Flask, process: StartProcess, tmp_path: Path) -> None:
    duties = """\
        from core.background import Schedule

        often = Schedule("chores.note", every=1, arguments={"at": "$tick"})
        """
    work = """\
        from datetime import datetime
        from core.background import task
        from core.data import redis
        from core.trust import requires

        @task()
        @requires("users:read")
        def note(at: datetime) -> None:
            redis.client().rpush("chores:notes", at.isoformat())
        """
    environ = install(tmp_path, "chores", duties=duties, tasks=work)
    process("worker", **environ)
    known = eventually(lambda: tasks.told("chores.note"))
    assert (known.queue, known.takes) == ("default", {"at": True})
    for _ in range(2):
        process("scheduler", **environ)

    def noted() -> list[datetime]:
        found: Any = redis.client().lrange("chores:notes", 0, -1)
        return sorted(datetime.fromisoformat(each.decode()) for each in found)

    def four_in_a_row() -> bool:
        return [each - noted()[0] for each in noted()[:4]] == [timedelta(seconds=number) for number in range(4)]

    eventually(four_in_a_row)
    assert len(set(noted())) == len(noted())


# -- declared ---------------------------------------------------------------------------------------------------------


def test_the_table_follows_the_code_and_keeps_what_was_edited(book: Book) -> None:
    hourly = noting("h", cron="0 * * * *")
    assert declare(book, a=hourly, b=hourly, c=hourly) == {"t.a": "added", "t.b": "added", "t.c": "added"}
    assert declare(book, a=hourly, b=hourly, c=hourly) == {}
    with unit():
        edited = db.session.query(ScheduleRow).filter_by(name="t.b").one()
        edited.edited, edited.cron = True, "30 * * * *"
        made = {"cron": "5 * * * *", "timezone": "UTC", "misfire": "once", "enabled": True, "every_seconds": None}
        db.session.add(ScheduleRow(name="mine", source="runtime", task="t.note", arguments={}, **made))
    daily = noting("h", cron="0 3 * * *")
    assert declare(book, a=daily, b=daily) == {"t.a": "changed", "t.b": "kept", "t.c": "removed"}
    assert (row("a").cron, row("a").next_at) == ("0 3 * * *", NOON.replace(day=2, hour=3))
    assert (row("b").cron, row("b").declared["cron"]) == ("30 * * * *", "0 3 * * *")  # type: ignore[index]
    with unit():
        assert {each.name for each in db.session.query(ScheduleRow)} == {"t.a", "t.b", "mine"}


def test_a_tick_that_is_due_survives_a_deploy(book: Book) -> None:
    declare(book, a=noting("h", cron="0 * * * *"))
    assert declare(book, NOON + DAY, a=noting("other", cron="0 * * * *")) == {"t.a": "changed"}
    assert row("a").next_at == NOON + HOUR
    declare(book, NOON + DAY, a=noting("other", cron="30 * * * *"))
    assert row("a").next_at == NOON + DAY + HALF


def test_a_clock_that_is_ahead_fires_no_tick_twice(book: Book) -> None:
    declare(book, a=noting("h", cron="0 * * * *"))
    fire(NOON + HOUR)
    declare(book, NOON + HOUR - timedelta(seconds=3), a=noting("h", cron="0 */1 * * *"))
    assert row("a").next_at == NOON + 2 * HOUR


def test_schedulers_that_start_at_once_agree(book: Book, superuser: psycopg.Connection[Any]) -> None:
    app = board_of(book)
    book.declared = {f"t.{number}": noting(str(number), every=60) for number in range(20)}

    def start(_: int) -> int:
        def turn() -> int:
            with app.app_context():
                return len(reconcile(NOON))

        return Context().run(turn)

    with ThreadPoolExecutor(5) as schedulers:
        assert sorted(schedulers.map(start, range(5))) == [0, 0, 0, 0, 20]
    assert superuser.execute("select count(distinct name) from core_schedules").fetchone() == (20,)


def test_bad_ones_are_refused_by_name(board: Flask) -> None:
    module = ModuleType("t.duties")
    vars(module).update(
        cron=Schedule("t.note", cron="61 * * * *"),
        zone=Schedule("t.note", cron="0 * * * *", timezone="Mars/Phobos"),
        both=Schedule("t.note", cron="0 * * * *", every=5),
        policy=Schedule("t.note", every=5, misfire="never"),  # type: ignore[arg-type]
        task=Schedule("note", every=5),
        large=Schedule("t.note", every=5, arguments={"text": "x" * 20_000}),
        odd=Schedule("t.note", every=5, arguments={"text": object()}),
        fine=Schedule("t.note", every=5),
    )
    with pytest.raises(BootError) as refused:
        declared.add_module(board, "t", module)
    for name in vars(module).keys() - {"fine"}:
        if not name.startswith("__"):
            assert any(f"plugin t: t.duties:{name}, a schedule, " in fault for fault in refused.value.faults), name
    assert len(refused.value.faults) == 7
    for name in [name for name in Book.of(board).declared if name.startswith("t.")]:
        del Book.of(board).declared[name]


def test_tasks_and_arguments_are_checked_where_the_tasks_are(worker_app: Flask) -> None:
    book = Book.of(worker_app)
    book.declared = {
        "t.lost": Schedule("shelf.lost", every=60),
        "t.more": Schedule("shelf.count", every=60, arguments={"book_id": str(new_id()), "more": 1}),
        "t.none": Schedule("shelf.count", every=60),
        "t.type": Schedule("shelf.count", every=60, arguments={"book_id": 7}),
        "t.fine": Schedule("shelf.count", every=60, arguments={"book_id": new_id()}),
    }
    try:
        faults = list(declared.call_faults(worker_app))
    finally:
        book.declared = {}
    words = ("no task is called 'shelf.lost'", "takes no more", "also needs book_id", "`$.book_id`")
    assert len(faults) == len(words)
    for fault, word in zip(faults, words, strict=True):
        assert word in fault


def test_schedules_whose_jobs_nobody_would_run_are_told(
    book: Book, worker_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with worker_app.app_context():
        tasks.tell(worker_app)
    lost, idle = Schedule("t.note", every=60), Schedule("shelf.count", every=60)
    declare(book, lost=lost, idle=idle, off=Schedule("t.note", every=60, enabled=False))
    reconciling.tell_unserved()
    logged = [vars(line) for line in caplog.records if "wait for nobody" in line.message]
    assert {(line["schedule"], line["reason"]) for line in logged} == {
        ("t.lost", "no worker has told of its task t.note within a day"),
        ("t.idle", "no worker consumes the queue default of its task shelf.count"),
    }
    told = [each for each in schedules.examine(Patient(settings(), {}, None)) if each.severity == "warning"]
    assert {each.found.partition(":")[0] for each in told} == {"the schedule t.lost", "the schedule t.idle"}
    queue = Leased(redis.client(), "default", "test")
    queue.step(0)
    assert [name for name, _ in tasks.unserved(redis.client(), [("t.idle", "shelf.count")])] == []
    queue.leave()


def test_the_duty_reconciles_once_and_fires(board: Flask, book: Book) -> None:
    book.declared = {"t.a": noting("h", every=3600)}
    firing._turn()
    assert (book.reconciled, row("a").enabled) == (True, True)
    edit("a", next_at=NOON)
    firing._turn()
    assert len(waiting()) == 1
