"""Reads by themselves: the rows that a session would see, fenced alike, and no harm where they break off."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Book
from sqlalchemy.dialects.postgresql import ARRAY

from core.data import DEFAULT, PLATFORM, acting_in, db, repeating, unit
from core.data.reads import OFTEN, Read
from core.data.roundtrip import MOST_NAMES, _results

TITLES = Read(sa.select(Book.title, Book.id, Book.created_at).order_by(Book.title))
BACKEND = Read(sa.select(sa.func.pg_backend_pid()))


@pytest.fixture
def shelves(ctx: Flask) -> Flask:
    with unit():
        db.session.add_all([Book(title="Emma"), Book(title="Persuasion")])
    return ctx


def titles() -> list[str]:
    return [row[0] for row in TITLES({})]


def test_rows_are_those_of_a_session_and_no_session_is_made(shelves: Flask) -> None:
    with unit():
        alone = [tuple(row) for row in TITLES({})]
        assert not db.session().in_transaction()
        assert alone == [tuple(row) for row in db.session.execute(TITLES.statement)]


def test_policies_hold_though_the_statement_names_no_tenant(shelves: Flask) -> None:
    with shelves.app_context():
        with acting_in(PLATFORM), unit():
            assert titles() == []
        with acting_in(DEFAULT), unit():
            assert titles() == ["Emma", "Persuasion"]


def test_it_sees_what_its_unit_has_written(shelves: Flask) -> None:
    with pytest.raises(RuntimeError, match="no"), unit():
        db.session.add(Book(title="Sanditon"))
        assert titles() == ["Emma", "Persuasion", "Sanditon"]
        raise RuntimeError("no")
    with unit():
        assert titles() == ["Emma", "Persuasion"]


def test_values_are_converted_as_the_types_say(ctx: Flask) -> None:
    kinds: list[Any] = [sa.Uuid(), ARRAY(sa.Text()), sa.Numeric(10, 2), sa.JSON(), sa.DateTime(timezone=True)]
    given = {f"v{number}": sa.bindparam(f"v{number}", type_=kind) for number, kind in enumerate(kinds)}
    read = Read(sa.select(*(sa.cast(value, value.type) for value in given.values()), sa.literal("kept")))
    values = dict(zip(given, [DEFAULT.id, ["a", "b,c"], 1.25, {"a": [1]}, None], strict=True))
    with unit():
        alone = tuple(read(values)[0])
        assert alone == tuple(db.session.execute(read.statement, values).one())
        assert (alone[0], alone[1], alone[3], alone[5]) == (DEFAULT.id, ["a", "b,c"], {"a": [1]}, "kept")


def test_what_it_cannot_keep_is_refused(ctx: Flask) -> None:
    with pytest.raises(TypeError, match="for update"):
        Read(sa.select(Book.id).with_for_update())
    with unit(), pytest.raises(TypeError, match="any_"):
        Read(sa.select(Book.id).where(Book.title.in_(sa.bindparam("titles", expanding=True))))({"titles": ["Emma"]})
    with pytest.raises(LookupError):
        titles()


def test_a_connection_that_is_lost_is_told_as_such_and_the_next_is_sound(
    shelves: Flask, superuser: psycopg.Connection[Any]
) -> None:
    with unit():
        pid = BACKEND({})[0][0]
    superuser.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(sa.exc.OperationalError) as raised, unit():
        titles()
    assert raised.value.connection_invalidated
    assert "Emma" not in str(raised.value)
    with unit():
        assert BACKEND({})[0][0] != pid
        assert titles() == ["Emma", "Persuasion"]


def test_work_that_reads_is_run_again_where_its_connection_was_lost(
    shelves: Flask, superuser: psycopg.Connection[Any]
) -> None:
    def step() -> list[str]:
        with unit():
            return titles()

    with unit():
        pid = BACKEND({})[0][0]
    superuser.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    assert repeating(step, changes=False) == ["Emma", "Persuasion"]


def test_a_statement_that_fails_leaves_a_connection_that_can_go_on(shelves: Flask) -> None:
    with unit():
        pid = BACKEND({})[0][0]
        with pytest.raises(sa.exc.DBAPIError):
            Read(sa.select(sa.literal(1) / sa.bindparam("n", type_=sa.Integer())))({"n": 0})
        assert BACKEND({})[0][0] == pid
        assert titles() == ["Emma", "Persuasion"]


class Hard(BaseException):
    """As a greenlet's end, or a time-out of gevent's."""


class Soft(Exception):
    """Whatever else may be thrown into a greenlet that waits."""


@pytest.mark.parametrize("kind", [Hard, Soft])
@pytest.mark.parametrize("late", [False, True])
def test_one_that_is_broken_off_gives_no_half_answered_connection_back(
    shelves: Flask, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], late: bool
) -> None:
    with unit():
        pid = BACKEND({})[0][0]

    def broken(pgconn: Any) -> Any:
        if late:
            yield from _results(pgconn)
        else:
            pgconn.flush()
        raise kind

    with monkeypatch.context() as breaking:
        breaking.setattr("core.data.roundtrip._results", broken)
        with pytest.raises(kind), unit():
            titles()
    with unit():
        assert BACKEND({})[0][0] != pid
        assert titles() == ["Emma", "Persuasion"]


def test_the_tenant_does_not_outlive_the_read(shelves: Flask) -> None:
    with unit():
        assert titles() == ["Emma", "Persuasion"]
    with db.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        assert raw.info.transaction_status.name == "IDLE" or raw.execute("rollback")
        told = "select current_setting('pegboard.tenant', true), count(*) from shelf_books"
        assert raw.execute(told).fetchone() == ("", 0)


def test_statements_that_psycopg_has_deallocated_are_prepared_anew(shelves: Flask) -> None:
    for _ in range(OFTEN + 2):
        with unit():
            assert titles() == ["Emma", "Persuasion"]
    with db.engine.connect() as connection:
        connection.exec_driver_sql("deallocate all")
    with unit():
        assert titles() == ["Emma", "Persuasion"]


def test_a_column_whose_type_changed_is_read_all_the_same(shelves: Flask, superuser: psycopg.Connection[Any]) -> None:
    notes = Read(sa.select(sa.column("note"), sa.column("at")).select_from(sa.table("read_me")).limit(1))
    superuser.execute("create table read_me as select 'x'::text as note, 1 as at; grant select on read_me to public")
    try:
        for _ in range(OFTEN + 2):
            with unit():
                assert notes({}) == [("x", 1)]
        superuser.execute("alter table read_me alter at type text")
        with unit():
            assert notes({}) == [("x", "1")]
    finally:
        superuser.execute("drop table read_me")


def test_one_that_is_asked_often_is_prepared_and_few_are_kept(shelves: Flask) -> None:
    def kept() -> int:
        with db.engine.connect() as connection:
            return connection.scalar(sa.text("select count(*) from pg_prepared_statements where name like 'pb_%'")) or 0

    read = Read(sa.select(Book.title).where(Book.title == sa.bindparam("title")))
    with unit():
        read({"title": "Emma"})
    before = kept()
    for number in range(MOST_NAMES + 2):
        one = Read(sa.select(Book.title.label(f"t{number}")).where(Book.title == sa.bindparam("title")))
        for _ in range(OFTEN + 2):
            with unit():
                assert len(one({"title": "Emma"})) == 1
    assert before < kept() <= MOST_NAMES


def test_many_at_once_in_two_tenants_read_their_own_though_connections_die(
    shelves: Flask, superuser: psycopg.Connection[Any]
) -> None:
    with acting_in(PLATFORM), unit():
        db.session.add(Book(title="Sanditon"))
    theirs = {DEFAULT: ["Emma", "Persuasion"], PLATFORM: ["Sanditon"]}
    done = threading.Event()

    def read(number: int) -> tuple[int, int]:
        good = lost = 0
        for turn in range(60):
            tenant = (DEFAULT, PLATFORM)[(number + turn) % 2]
            with shelves.app_context(), acting_in(tenant):
                try:
                    with unit():
                        assert titles() == theirs[tenant]
                    good += 1
                except sa.exc.DBAPIError as exc:
                    assert exc.connection_invalidated
                    lost += 1
        return good, lost

    def kill() -> None:
        # Of this board alone: others of this process, and of tests beside it, have not asked for it.
        ours = "from pg_stat_activity where application_name = %s and datname = current_database() limit 1"
        while not done.wait(0.02):
            superuser.execute(f"select pg_terminate_backend(pid) {ours}", (f"pegboard-web-{os.getpid()}",))

    with ThreadPoolExecutor(7) as pool:
        killer = pool.submit(kill)
        told = [each.result(60) for each in [pool.submit(read, number) for number in range(6)]]
        done.set()
        killer.result(10)
    db.engine.dispose()  # what was killed is in the pool still
    assert sum(good for good, _ in told) > 100
    assert sum(good + lost for good, lost in told) == 360
