"""Before each test the databases are empty, whatever the last one left and whoever was still writing."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from flask import Flask
from redis_cable import until
from shelf.models import Author, Book, Mark

from core.data import db, redis, unit
from core.ops.testbed import TestServers, empty_everything
from core.trust import audit


def rows(superuser: psycopg.Connection[Any], *tables: str) -> list[int]:
    return [superuser.execute(f"select count(*) from {table}").fetchone()[0] for table in tables]  # type: ignore[index]


def test_nothing_is_left(ctx: Flask, servers: TestServers, superuser: psycopg.Connection[Any]) -> None:
    with unit():
        author = Author(name="Austen")
        db.session.add(author)
        db.session.flush()
        db.session.add(Book(title="Emma", author_id=author.id))
        audit.record("shelf.book_added")
    redis.client().set("left", 1)
    tables = ("shelf_authors", "shelf_books", "core_audit")
    assert rows(superuser, *tables) == [1, 1, 1]
    empty_everything(servers)
    assert (rows(superuser, *tables), redis.client().dbsize()) == ([0, 0, 0], 0)


def test_who_is_still_writing_is_waited_for(
    ctx: Flask, servers: TestServers, superuser: psycopg.Connection[Any]
) -> None:
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with unit():
        db.session.add(Mark(note="late"))
        db.session.flush()
        emptying = threading.Thread(target=empty_everything, args=(servers,))
        emptying.start()
        until(lambda: superuser.execute(waiting).fetchone() == (1,))
    emptying.join(30)
    assert rows(superuser, "shelf_marks") == [0]
