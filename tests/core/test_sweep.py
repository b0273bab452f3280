"""The sweep: what other hands left is handed over, once, whatever tenant it belongs to and whatever lies beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from handover import NOW, Deliverer, delivering, leave, put, rows, waiting
from redis.exceptions import ConnectionError as RedisAway

from core.background.tasks import enqueue
from core.contracts import SYSTEM
from core.data import outbox, sweeping
from core.data.models import db, new_id, utcnow
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit


@pytest.fixture
def deliverer(ctx: Flask) -> Iterator[Deliverer]:
    with delivering(ctx) as made:
        yield made


def test_the_sweep_leaves_young_rows_to_their_own_process(deliverer: Deliverer) -> None:
    put("shelf.count")
    assert sweeping.sweep() == 0
    assert sweeping.sweep(settled=NOW) == 1


def test_the_sweep_serves_every_tenant_and_the_board(
    deliverer: Deliverer, superuser: psycopg.Connection[Any], board: Flask
) -> None:
    for tenant_id in (DEFAULT.id, PLATFORM.id, None):
        put("shelf.count", tenant_id)
    assert sweeping.sweep(settled=NOW) == 3
    assert {envelope.tenant_id for envelope in deliverer.batches[0]} == {DEFAULT.id, PLATFORM.id, None}
    assert rows(superuser) == []


def test_a_job_of_the_board_itself_needs_no_tenant(board: Flask, superuser: psycopg.Connection[Any]) -> None:
    with board.app_context():
        job = enqueue("shelf.count")
        assert [(envelope.id, envelope.tenant_id) for envelope in waiting()] == [(job, None)]
    assert rows(superuser) == []


def test_a_row_that_cannot_be_handed_over_keeps_the_reason_and_holds_up_nobody(
    deliverer: Deliverer, superuser: psycopg.Connection[Any]
) -> None:
    poison = ValueError("poison of postgres://bob:hunter2-long@db/one")
    deliverer.refuse = lambda envelope: poison if envelope.name == "shelf.bad" else None
    for name in ("shelf.one", "shelf.bad", "shelf.two"):
        put(name)
    assert sweeping.sweep(settled=NOW) == 3
    assert deliverer.names[1:] == [["shelf.one"], ["shelf.bad"], ["shelf.two"]]
    [(_, name, attempts, error, due_at, _)] = rows(superuser)
    assert (name, attempts, error) == ("shelf.bad", 1, "ValueError: poison of postgres://bob:[hidden]@db/one")
    assert due_at > utcnow()
    assert sweeping.sweep(settled=NOW) == 0, "it waits longer each time"


def test_a_row_that_nobody_can_read_holds_up_nobody_either(
    deliverer: Deliverer, superuser: psycopg.Connection[Any]
) -> None:
    """Another release may have written it otherwise."""
    for name in ("shelf.one", "shelf.odd", "shelf.old", "shelf.two"):
        put(name)
    superuser.execute("update core_outbox set payload = '5' where name = 'shelf.odd'")
    superuser.execute("""update core_outbox set follows = '{"steps":[null]}' where name = 'shelf.old'""")
    assert sweeping.sweep(settled=NOW) == 4
    assert deliverer.names == [["shelf.one", "shelf.two"]]
    left = {name: (attempts, error) for _, name, attempts, error, _, _ in rows(superuser)}
    assert left["shelf.odd"] == (1, "ValidationError: Expected `object`, got `int` - at `$.payload`")
    assert left["shelf.old"] == (1, "ValidationError: Expected `object`, got `null` - at `$.then.steps[0]`")
    assert sweeping.sweep(settled=NOW) == 0


def test_what_cannot_be_handed_over_at_once_does_not_hold_up_what_comes_next(
    deliverer: Deliverer, superuser: psycopg.Connection[Any]
) -> None:
    deliverer.refuse = lambda envelope: ValueError("poison") if envelope.name == "shelf.find" else None
    enqueue("shelf.find")
    enqueue("shelf.count")
    assert [row[1] for row in rows(superuser)] == ["shelf.find"]


def test_two_sweeps_at_once_take_no_row_twice(ctx: Flask, deliverer: Deliverer) -> None:
    put("shelf.count")
    entered, go = threading.Event(), threading.Event()

    def slow(envelope: Envelope) -> None:
        entered.set()
        go.wait(10)

    deliverer.refuse = slow
    taken: list[int] = []

    def sweep() -> None:
        with ctx.app_context():
            taken.append(sweeping.sweep(settled=NOW))

    other = threading.Thread(target=sweep)
    other.start()
    assert entered.wait(10)
    assert sweeping.sweep(settled=NOW) == 0
    go.set()
    other.join(10)
    assert taken == [1]
    assert len(deliverer.batches) == 1


def test_a_sweep_that_was_quicker_than_the_fast_path_leaves_it_nothing(deliverer: Deliverer) -> None:
    taken: list[int] = []
    with unit() as work:
        enqueue("shelf.count")
        work.after.insert(0, lambda: taken.append(sweeping.sweep(settled=NOW)))
    assert taken == [1]
    assert deliverer.names == [["shelf.count"]]


def test_rows_are_fenced_by_tenant(ctx: Flask, deliverer: Deliverer) -> None:
    put("shelf.count", PLATFORM.id)
    with unit():
        assert db.session.query(outbox.OutboxRow).count() == 0
    with acting_in(PLATFORM), unit():
        assert db.session.query(outbox.OutboxRow).count() == 1


def test_while_redis_is_away_a_sweep_changes_nothing(deliverer: Deliverer, superuser: psycopg.Connection[Any]) -> None:
    deliverer.refuse = lambda envelope: RedisAway("refused")
    put("shelf.count")
    before = rows(superuser)
    with pytest.raises(RedisAway):
        sweeping.sweep(settled=NOW)
    assert rows(superuser) == before


def test_a_job_that_was_left_keeps_its_attempt_its_principal_and_its_request(ctx: Flask) -> None:
    sent = Envelope(
        id=new_id(),
        kind="task",
        name="shelf.count",
        payload={"book_id": "x"},
        tenant_id=PLATFORM.id,
        request_id="r-1",
        principal=SYSTEM,
        attempt=3,
    )
    leave(sent)
    assert sweeping.sweep(settled=NOW) == 1
    assert waiting() == [sent]


def test_a_sweep_looks_at_what_is_next_and_not_at_all_that_waits(
    ctx: Flask, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute(
        "insert into core_outbox (id, tenant_id, kind, name, payload, context, created_at, due_at, attempts)"
        " select gen_random_uuid(), null, 'task', 'shelf.count', '{}', '{}', now(), now() + i * interval '1 minute', 0"
        " from generate_series(1, 20000) i"
    )
    superuser.execute("analyze core_outbox")
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if "FROM core_outbox" in statement and statement.startswith("SELECT"):
            told = superuser.execute("explain " + statement, parameters).fetchall()
            seen.append("\n".join(line for (line,) in told))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        assert sweeping.sweep(settled=NOW) == 0
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    [plan] = seen
    assert "ix_core_outbox_next" in plan and "Sort" not in plan
