"""The history of the tables, down and up again: nothing that was declared bad is good afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg import sql

from core.data import DEFAULT
from core.data.migrations import Migrations
from core.data.migrations.history import of_plugin
from core.ops.testbed import TestServers, with_path

Row = tuple[Any, ...]


@pytest.fixture
def address(servers: TestServers) -> Iterator[str]:
    """A database of its own, whose tables have an owner that no fence spares."""
    with psycopg.connect(servers.superuser_url, autocommit=True) as admin:
        name = f"{admin.info.dbname}_auth"
        called = sql.Identifier(name)

        def clear() -> None:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(called))
            admin.execute(sql.SQL("drop role if exists {}").format(called))

        clear()
        admin.execute(sql.SQL("create role {} login password 'plain'").format(called))
        admin.execute(sql.SQL("create database {0} owner {0}").format(called))
        yield f"postgresql://{name}:plain@{admin.info.host}:{admin.info.port}/{name}"
        clear()


@pytest.fixture
def history(address: str) -> Iterator[Migrations]:
    with Flask("operator").app_context():
        board = Migrations([of_plugin("auth", "plugins.auth")], address)
        board.upgrade()
        yield board


@pytest.fixture
def ask(servers: TestServers, address: str, history: Migrations) -> Iterator[Callable[..., list[Row]]]:
    url = with_path(servers.superuser_url, address.rpartition("/")[2])
    with psycopg.connect(url, autocommit=True) as superuser:

        def call(statement: str, *values: Any) -> list[Row]:
            cursor = superuser.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

        yield call


def test_a_password_that_must_be_reset_is_not_good_again_after_going_down(
    history: Migrations, ask: Callable[..., list[Row]]
) -> None:
    for email, stolen in (("alice@example.com", True), ("bob@example.com", False)):
        ask(
            "insert into auth_users (id, tenant_id, email, display_name, password_hash, active, must_reset, created_at,"
            " updated_at) values (gen_random_uuid(), %s, %s, 'x', 'a hash', true, %s, now(), now())",
            DEFAULT.id,
            email,
            stolen,
        )
    history.downgrade("auth", "0001")
    told = ask("select email, password_hash from auth_users order by email")
    assert told == [("alice@example.com", None), ("bob@example.com", "a hash")]


def test_down_and_up_again_changes_no_table(history: Migrations, ask: Callable[..., list[Row]]) -> None:
    shape = (
        "select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns"
        " where table_schema = 'public' and table_name like 'auth%' order by 1, 2"
    )
    indexes = "select indexdef from pg_indexes where schemaname = 'public' order by indexname"
    before = ask(shape), ask(indexes)
    assert before[0]
    history.downgrade("auth", "base")
    assert ask("select tablename from pg_tables where schemaname = 'public' and tablename like 'auth_users%'") == []
    history.upgrade()
    assert (ask(shape), ask(indexes)) == before
