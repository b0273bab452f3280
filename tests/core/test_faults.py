"""The failures of real stores, as a client is told of them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
import redis
import sqlalchemy as sa
from bson.errors import InvalidDocument
from flask import Flask
from mongoengine import DictField, IntField, StringField
from mongoengine.errors import OperationError
from redis.backoff import NoBackoff
from redis.retry import Retry
from shelf.models import Author, Book

from core.data.documents import TenantDocument, client
from core.data.faults import as_refusal
from core.data.models import db, new_id
from core.data.unit import unit

ONCE = Retry(NoBackoff(), 0)


class Fact(TenantDocument):
    meta = {"collection": "test_facts"}

    text = StringField()
    number = IntField()
    more = DictField()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def refusal_of(call: Callable[[], Any]) -> tuple[str, str | None] | None:
    """The code and ``Retry-After`` that a call's failure is told with."""
    with pytest.raises(Exception) as caught:
        call()
    refusal = as_refusal(caught.value)
    return (refusal.code.name, refusal.headers.get("Retry-After")) if refusal else None


def run(statement: str, **values: Any) -> None:
    with unit():
        db.session.execute(sa.text(statement), values)


def test_a_store_that_refuses_connections(closed_port: int) -> None:
    def sql() -> None:
        sa.create_engine(f"postgresql+psycopg://x@127.0.0.1:{closed_port}/x").connect()

    def plain_sql() -> None:
        psycopg.connect(f"postgresql://x@127.0.0.1:{closed_port}/x", connect_timeout=2)

    def keys() -> None:
        with redis.Redis(port=closed_port, retry=ONCE) as store:
            store.ping()

    def documents() -> None:
        with pymongo.MongoClient(port=closed_port, serverSelectionTimeoutMS=100) as store:
            store.admin.command("ping")

    assert refusal_of(sql) == refusal_of(plain_sql) == ("DATABASE_UNAVAILABLE", "5")
    assert refusal_of(keys) == ("REDIS_UNAVAILABLE", "5")
    assert refusal_of(documents) == ("DOCUMENTS_UNAVAILABLE", "5")


def test_a_store_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def keys() -> None:
            with redis.Redis(port=port, socket_timeout=0.05, retry=ONCE) as store:
                store.ping()

        def documents() -> None:
            with pymongo.MongoClient(port=port, serverSelectionTimeoutMS=100) as store:
                store.admin.command("ping")

        assert refusal_of(keys) == ("REDIS_UNAVAILABLE", "5")
        assert refusal_of(documents) == ("DOCUMENTS_UNAVAILABLE", "5")


def test_a_connection_that_is_ended_under_a_statement(ctx: Flask) -> None:
    assert refusal_of(lambda: run("select pg_terminate_backend(pg_backend_pid())")) == ("DATABASE_UNAVAILABLE", "5")
    run("select 1")


def test_no_connection_left_in_the_pool(ctx: Flask) -> None:
    engine = sa.create_engine(db.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect():
        assert refusal_of(engine.connect) == ("DATABASE_UNAVAILABLE", "5")
    engine.dispose()


def test_a_statement_or_a_lock_that_takes_too_long(ctx: Flask) -> None:
    def slow() -> None:
        with unit():
            db.session.execute(sa.text("set local statement_timeout = '20ms'"))
            db.session.execute(sa.text("select pg_sleep(5)"))

    def locked() -> None:
        with unit():
            db.session.execute(sa.text("set local lock_timeout = '20ms'"))
            db.session.execute(sa.text("select pg_advisory_xact_lock(70)"))

    assert refusal_of(slow) == ("BUSY", "1")
    with psycopg.connect(db.engine.url.set(drivername="postgresql").render_as_string(False)) as holder:
        holder.execute("select pg_advisory_xact_lock(70)")
        assert refusal_of(locked) == ("BUSY", "1")
        holder.rollback()


def test_two_transactions_that_wait_for_each_other(ctx: Flask) -> None:
    told: list[Any] = []

    def take(first: int, second: int) -> None:
        def both() -> None:
            with unit():
                db.session.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": first})
                met.wait(5)
                db.session.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": second})

        with ctx.app_context():
            try:
                both()
            except sa.exc.OperationalError as exc:
                told.append(as_refusal(exc))

    met = threading.Barrier(2)
    threads = [threading.Thread(target=take, args=keys) for keys in ((71, 72), (72, 71))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [refusal.code.name for refusal in told] == ["BUSY"]


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("select cast(:value as text)", "a\0b"),
        ("select cast(:value as text)", "a\ud800"),
        ("select cast(:value as jsonb)", '"\\u0000"'),
        ("select cast(:value as integer)", 2**40),
        ("select cast(cast(:value as numeric) as bigint)", 2**70),
        ("select cast(:value as timestamptz)", "999999-01-01"),
    ],
)
def test_values_that_postgresql_cannot_keep(ctx: Flask, statement: str, value: Any) -> None:
    assert refusal_of(lambda: run(statement, value=value)) == ("VALIDATION_FAILED", None)
    run("select 1")


def test_values_that_mongo_cannot_keep(ctx: Flask) -> None:
    assert refusal_of(Fact(text="a\ud800").save) == ("VALIDATION_FAILED", None)
    assert refusal_of(Fact(number=2**70).save) == ("VALIDATION_FAILED", None)
    assert refusal_of(Fact(more={"a\0b": 1}).save) == ("VALIDATION_FAILED", None)


def test_a_document_statement_that_takes_too_long(ctx: Flask) -> None:
    def wrapped() -> None:
        try:
            raise pymongo.errors.ExecutionTimeout("took too long", 50)
        except pymongo.errors.ExecutionTimeout as exc:
            raise OperationError("Could not save document") from exc

    assert refusal_of(wrapped) == ("BUSY", "1")


def far_future() -> None:
    """What is stored already, and Python cannot read."""
    with unit():
        db.session.execute(sa.text("select date '20000-01-01'")).all()


def test_bugs_are_nobody_elses_fault(ctx: Flask) -> None:
    assert refusal_of(lambda: run("select from nowhere")) is None
    assert refusal_of(lambda: run("select 1/0")) is None
    assert refusal_of(far_future) is None
    assert refusal_of(lambda: client().admin.command("no such command")) is None
    assert refusal_of(lambda: "é".encode("ascii")) is None
    for bug in (KeyError("x"), ValueError("surrogates"), OverflowError("too large"), TimeoutError(), ConnectionError()):
        assert as_refusal(bug) is None
    assert as_refusal(InvalidDocument("cannot encode object: <object>")) is None
    handled = KeyError("x")
    handled.__context__ = redis.ConnectionError()
    assert as_refusal(handled) is None


def test_no_vendor_is_imported() -> None:
    code = (
        "import sys; from core.data.faults import as_refusal; as_refusal(ValueError());"
        "print({'sqlalchemy', 'psycopg', 'redis', 'pymongo', 'mongoengine', 'bson'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=Path.cwd())
    assert ran.stdout == "set()\n", ran.stderr


def test_what_a_unique_index_refuses_is_a_conflict(ctx: Flask) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught, unit():
        for _ in range(2):
            db.session.add(Book(title="once"))
            db.session.flush()
    refusal = as_refusal(caught.value)
    assert refusal is not None
    assert refusal.code.name == "CONFLICT"


def test_what_a_foreign_key_refuses_is_a_conflict_from_both_sides(ctx: Flask) -> None:
    with unit():
        author = Author(name="Austen")
        db.session.add(author)
        db.session.flush()
        db.session.add(Book(title="Emma", author_id=author.id))
    nobody = new_id()
    with pytest.raises(sa.exc.IntegrityError) as missing, unit():
        db.session.add(Book(title="Persuasion", author_id=nobody))
    with pytest.raises(sa.exc.IntegrityError) as referred, unit():
        db.session.delete(db.session.get_one(Author, author.id))
    for caught in (missing, referred):
        refusal = as_refusal(caught.value)
        assert refusal is not None
        assert (refusal.code.name, "refers to" in refusal.detail) == ("CONFLICT", True)
        assert str(nobody) not in refusal.detail and str(author.id) not in refusal.detail


def test_what_a_check_refuses_is_told_by_the_name_of_the_rule(ctx: Flask) -> None:
    from plugins.commerce.models import Product

    with pytest.raises(sa.exc.IntegrityError) as caught, unit():
        db.session.add(Product(sku="TEA", name="Tea", description="", price=-77, currency="EUR"))
    refusal = as_refusal(caught.value)
    assert refusal is not None
    assert (refusal.code.name, refusal.detail.partition(":")[0]) == ("VALIDATION_FAILED", "price")
    assert "77" not in refusal.detail


def test_a_text_that_is_too_long_for_its_column_is_the_clients_to_shorten(ctx: Flask) -> None:
    from plugins.commerce.models import Product

    def add() -> None:
        with unit():
            db.session.add(Product(sku="S" * 65, name="Tea", description="", price=1, currency="EUR"))

    assert refusal_of(add) == ("VALIDATION_FAILED", None)
