"""Slow statements are told with their plan, and nobody's data with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Book, Mark

from core.data import DEFAULT, acting_in, db, slow, unit

SECRET = "nobody-may-read-this-4711"


@pytest.fixture
def ctx(
    make_board: Callable[..., Flask], board: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Flask]:
    """A board that finds everything slow that takes longer than 30 ms."""
    monkeypatch.setenv("SLOW_QUERY_MS", "30")
    monkeypatch.setattr(slow, "_explained", {})
    caplog.set_level(logging.INFO)
    app = make_board("web")
    with app.app_context(), acting_in(DEFAULT):
        yield app


def told(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Of the naps: on a busy machine any other statement may take 30 ms too."""
    slow_ones = [record for record in caplog.records if record.message == "slow statement"]
    return [record for record in slow_ones if "pg_sleep" in record.statement]


def nap(seconds: float) -> Any:
    return sa.func.pg_sleep(sa.bindparam("nap", seconds, sa.Float()))


def test_a_slow_statement_is_told_with_its_plan_and_without_its_values(
    ctx: Flask, caplog: pytest.LogCaptureFixture, superuser: psycopg.Connection[Any]
) -> None:
    with unit():
        db.session.add(Mark(note=SECRET))
        db.session.flush()
        db.session.execute(sa.select(Mark.id, nap(0.05)).where(Mark.note == SECRET)).all()
        assert told(caplog) == [], "nothing is explained while the unit is under way"
    [record] = told(caplog)
    assert (record.ms >= 50, record.cancelled) == (True, False)
    assert "%(note_1)s" in record.statement
    assert "Scan on shelf_marks" in record.plan and "$" in record.plan
    assert SECRET not in str(vars(record))


def test_a_statement_that_was_cancelled_is_told_too(ctx: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(sa.exc.OperationalError), unit():
        db.session.execute(sa.text("set local statement_timeout = '60ms'"))
        db.session.execute(sa.select(Book.id, nap(5)).where(Book.title == SECRET).union_all(sa.select(Book.id, nap(5))))
        db.session.execute(sa.select(nap(5)))
    record = told(caplog)[-1]
    assert record.cancelled and "Result" in record.plan


def test_a_plan_is_asked_for_once_a_minute_and_a_few_times_in_all(ctx: Flask, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with unit():
            db.session.execute(sa.select(nap(0.04)))
    assert [hasattr(record, "plan") for record in told(caplog)] == [True, False]
    with unit():
        for number in range(slow.MOST_PLANS):
            db.session.execute(sa.select(nap(0.04), sa.literal_column(str(number))))
    assert sum(hasattr(record, "plan") for record in told(caplog)) == slow.MOST_PLANS


def test_what_cannot_be_explained_is_told_without(ctx: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with unit():
        db.session.execute(sa.text("select pg_sleep(0.04), :anything"), {"anything": "x"})
    with unit():
        assert (
            db.session.scalar(sa.text("select count(*) from pg_prepared_statements where name like 'pegboard%'")) == 0
        )
    assert len(told(caplog)) == 1
