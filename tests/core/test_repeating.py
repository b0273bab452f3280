"""A unit of work is run again after a fault that was nobody's, and never where it may have been done already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Mark
from small_board import forget, small_board

from core.data import DEFAULT, acting_in, db, repeatable, repeating, unit
from core.data.unit import _commit
from core.trust.permissions import public
from core.web.replies import Created
from core.web.routes import Routes

LOCK = sa.text("select note from shelf_marks where note = :note for update")


def notes(superuser: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in superuser.execute("select note from shelf_marks order by id")]


def kill(superuser: psycopg.Connection[Any], pid: int | None) -> None:
    superuser.execute("select pg_terminate_backend(%s, 5000)", (pid,))


def backend() -> int | None:
    return db.session.scalar(sa.text("select pg_backend_pid()"))


def test_two_that_stand_in_one_anothers_way_both_get_through(ctx: Flask, superuser: psycopg.Connection[Any]) -> None:
    with unit():
        db.session.add_all([Mark(note="one"), Mark(note="two")])
    both = threading.Barrier(2)
    tries: list[str] = []

    def in_order(*names: str) -> None:
        def step() -> None:
            first = names[0] not in tries
            tries.append(names[0])
            with unit():
                for name in names:
                    db.session.execute(LOCK, {"note": name})
                    if first and name == names[0]:
                        both.wait(10)
                db.session.add(Mark(note=f"{names[0]} done"))

        with ctx.app_context(), acting_in(DEFAULT):
            repeating(step)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(in_order, "one", "two"), pool.submit(in_order, "two", "one")]:
            done.result(30)
    assert len(tries) == 3, "one of the two was chosen to give way"
    assert sorted(notes(superuser)) == ["one", "one done", "two", "two done"]


def test_a_serialization_failure_is_tried_again(ctx: Flask, superuser: psycopg.Connection[Any]) -> None:
    with unit():
        db.session.add(Mark(note="a"))
    tries = []

    def step() -> None:
        with unit():
            db.session.execute(sa.text("set transaction isolation level repeatable read"))
            row = db.session.scalars(sa.select(Mark)).one()
            if not tries:
                superuser.execute("update shelf_marks set note = 'b'")
            tries.append(row.note)
            row.note += "!"

    repeating(step)
    assert (tries, notes(superuser)) == (["a", "b"], ["b!"])


def test_a_fault_that_stays_comes_out_after_three_tries(ctx: Flask, superuser: psycopg.Connection[Any]) -> None:
    tries = []

    def step() -> None:
        with unit():
            tries.append(backend())
            kill(superuser, tries[-1])
            db.session.add(Mark(note="never"))

    with pytest.raises(sa.exc.OperationalError):
        repeating(step)
    assert (len(set(tries)), notes(superuser)) == (3, [])


def test_it_does_not_run_within_a_unit(ctx: Flask) -> None:
    with unit(), pytest.raises(RuntimeError, match="outside of one"):
        repeating(lambda: None)


# -- over HTTP ----------------------------------------------------------------------------------------------------


class Fault:
    """Cuts the connection of the next view, in the middle or just before its commit."""

    def __init__(self, superuser: psycopg.Connection[Any]) -> None:
        self.superuser = superuser
        self.times = 1
        self.calls = 0

    def strike(self) -> None:
        self.calls += 1
        if self.times:
            self.times -= 1
            kill(self.superuser, backend())


@pytest.fixture
def fault(superuser: psycopg.Connection[Any]) -> Fault:
    return Fault(superuser)


@pytest.fixture
def http(servers: Any, board: Flask, fault: Fault) -> Iterator[Any]:
    routes = Routes("plugins.small.views")

    def write() -> Created[str]:
        db.session.add(Mark(note="written"))
        db.session.flush()
        fault.strike()
        db.session.add(Mark(note="again"))
        db.session.flush()
        return Created("done", location="/")

    @routes.post("/marked")
    @public
    @repeatable
    def marked() -> Created[str]:
        return write()

    @routes.post("/plain")
    @public
    def plain() -> Created[str]:
        return write()

    @routes.get("/read")
    @public
    def read() -> list[str]:
        fault.strike()
        return list(db.session.scalars(sa.select(Mark.note)))

    app = small_board(routes, database_url=servers.database_url)
    yield app.test_client()
    forget(app)


def test_a_read_and_a_marked_write_are_answered_all_the_same(
    http: Any, fault: Fault, superuser: psycopg.Connection[Any]
) -> None:
    assert (http.get("/api/small/read").json, fault.calls) == ([], 2)
    fault.times = 1
    assert http.post("/api/small/marked").status_code == 201
    assert notes(superuser) == ["written", "again"], "once, and all of it"


def test_an_unmarked_write_is_refused_and_leaves_nothing(
    http: Any, fault: Fault, superuser: psycopg.Connection[Any]
) -> None:
    reply = http.post("/api/small/plain")
    assert (reply.status_code, reply.json["code"], fault.calls) == (503, "DATABASE_UNAVAILABLE", 1)
    assert notes(superuser) == []


def test_a_write_is_not_repeated_when_the_commit_was_under_way(
    http: Any, fault: Fault, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.times = 0

    def commit_and_lose_the_reply() -> None:
        pid = backend()
        db.session.connection().exec_driver_sql("commit; begin")
        kill(superuser, pid)
        _commit()

    monkeypatch.setitem(_commit.__globals__, "_commit", commit_and_lose_the_reply)
    assert http.post("/api/small/marked").status_code == 503
    assert (notes(superuser), fault.calls) == (["written", "again"], 1), "done once, though nobody heard of it"


def test_resources_may_be_run_again() -> None:
    """What a resource does by itself is all in its unit; its rules say so of themselves."""
    from core.data.repeating import is_repeatable
    from plugins.commerce.views import routes

    views = {endpoint.__name__: endpoint.view for endpoint in routes.endpoints}
    assert all(is_repeatable(views[name]) for name in ("create_customer", "patch_customer", "create_transfer"))
