"""One transaction a unit: what commits, what rolls back, and what follows."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Mark

from core.data.models import db
from core.data.tenancy import DEFAULT, acting_in
from core.data.unit import after_commit, current_unit, unit, unit_or_none
from core.errors import CONFLICT, Refused


def marks() -> list[str]:
    with unit():
        return list(db.session.scalars(sa.select(Mark.note).order_by(Mark.id)))


def test_it_commits_at_the_end(ctx: Flask) -> None:
    with unit():
        db.session.add(Mark(note="kept"))
    assert marks() == ["kept"]


def test_an_exception_rolls_back_and_nothing_follows(ctx: Flask) -> None:
    followed: list[str] = []
    with pytest.raises(ZeroDivisionError), unit():
        db.session.add(Mark(note="lost"))
        after_commit(lambda: followed.append("no"))
        db.session.flush()
        raise ZeroDivisionError
    assert marks() == []
    assert followed == []


@pytest.mark.parametrize(("keep", "expected"), [(True, ["marked"]), (False, [])])
def test_a_refusal_leaves_its_marks_only_when_it_says_so(ctx: Flask, keep: bool, expected: list[str]) -> None:
    followed: list[str] = []
    with pytest.raises(Refused) as caught, unit():
        db.session.add(Mark(note="marked"))
        after_commit(lambda: followed.append("followed"))
        raise Refused(CONFLICT, keep=keep)
    assert caught.value.code is CONFLICT
    assert marks() == expected
    assert followed == (["followed"] if keep else [])


def test_what_follows_runs_in_order_after_the_commit_and_a_failure_stops_nobody(
    ctx: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def fail() -> None:
        raise RuntimeError("stumbled")

    with unit() as work:
        db.session.add(Mark(note="first"))
        work.before_commit(lambda: seen.append("before"))
        after_commit(lambda: seen.append(marks()))
        after_commit(fail)
        after_commit(lambda: seen.append("last"))
    assert seen == ["before", ["first"], "last"]
    assert "a step after the commit failed" in caplog.text


def test_units_do_not_nest_but_follow_one_another(ctx: Flask) -> None:
    with unit():
        with pytest.raises(RuntimeError, match="in_steps"), unit():
            pass
        db.session.add(Mark(note="one"))
    with unit():
        db.session.add(Mark(note="two"))
    assert marks() == ["one", "two"]
    assert unit_or_none() is None
    with pytest.raises(LookupError, match="with unit"):
        current_unit()


def test_a_step_before_the_commit_can_still_stop_it(ctx: Flask) -> None:
    def veto() -> None:
        raise Refused(CONFLICT)

    with pytest.raises(Refused), unit() as work:
        db.session.add(Mark(note="vetoed"))
        work.before_commit(veto)
    assert marks() == []


def test_no_connection_is_held_after_a_unit(ctx: Flask) -> None:
    with unit():
        db.session.scalar(sa.text("select 1"))
        assert db.engine.pool.checkedout() == 1
    assert db.engine.pool.checkedout() == 0


def test_a_connection_that_dies_costs_one_error_and_no_more(ctx: Flask, superuser) -> None:
    with pytest.raises(sa.exc.OperationalError), unit():
        pid = db.session.scalar(sa.text("select pg_backend_pid()"))
        superuser.execute("select pg_terminate_backend(%s)", (pid,))
        db.session.add(Mark(note="never"))
        db.session.flush()
    with unit():
        db.session.add(Mark(note="again"))
    assert marks() == ["again"]


def test_units_of_several_threads_are_apart(ctx: Flask) -> None:
    def add(note: str) -> None:
        with ctx.app_context(), acting_in(DEFAULT), unit():
            db.session.add(Mark(note=note))

    threads = [threading.Thread(target=add, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(marks()) == [str(number) for number in range(8)]
