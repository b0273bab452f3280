"""`flask plugins purge`: told first, asked twice, nobody else's touched, audited; also for a plugin long gone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymongo
import pytest
import redis
from click.testing import Result
from flask import Flask

from core.data.tenancy import fence_sql
from core.ops import plugins
from core.ops.testbed import TestServers

TENANT = "00000000-0000-7000-8000-000000000001"
GONE = """
    create type ghost_mood as enum ('calm', 'loud');
    create sequence ghost_numbers;
    create function ghost_sum(a int, b int) returns int language sql as 'select a + b';
    create table ghost_rooms (id uuid primary key, tenant_id uuid not null, mood ghost_mood);
    create table ghost_guests (id serial primary key, room_id uuid references ghost_rooms (id));
    create view ghost_calm as select * from ghost_rooms where mood = 'calm';
    create table ghost_alembic_version (version_num varchar(32) primary key);
    create table ghostly_things (id int);
"""
LEFT = "select relname from pg_class where relname like 'ghost%' and relkind in ('r', 'v', 'S') order by 1"

Say = Callable[..., Result]


@pytest.fixture
def say(board: Flask, servers: TestServers, make_board: Callable[..., Flask]) -> Say:
    """The command, as an operator types it; with what is typed into it."""
    runner = make_board("cli").test_cli_runner()
    return lambda *words, typed="": runner.invoke(plugins.group, ["purge", *words], input=typed)


@pytest.fixture
def gone(say: Say, servers: TestServers, superuser: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """What a plugin `ghost` left behind that nobody has installed any more, made as the tables' owner."""
    with psycopg.connect(servers.database_url, autocommit=True) as owner:
        owner.execute(GONE)  # type: ignore[arg-type]
        for statement in fence_sql("ghost_rooms"):
            owner.execute(statement)  # type: ignore[arg-type]
    for _ in range(3):
        superuser.execute("insert into ghost_rooms values (%s, %s, 'calm')", (uuid.uuid4(), TENANT))
    for name in ("ghost.haunt", "ghostly.haunt"):
        superuser.execute(
            "insert into core_outbox (id, tenant_id, kind, name, payload, context, created_at, attempts)"
            " values (%s, %s, 'task', %s, '{}', '{}', now(), 0)",
            (uuid.uuid4(), TENANT, name),
        )
    with redis.Redis.from_url(servers.redis_url) as store:
        store.mset({f"pb:{TENANT}:ghost:a": 1, f"pb:{TENANT}:chat:ghost:b": 1, "pb:-:ghostly:c": 1})
        store.hset("pb:-:core:duties", mapping={"ghost.haunt": "{}", "ghostly.haunt": "{}"})
    with pymongo.MongoClient(servers.mongodb_uri) as documents:
        documents.get_default_database()["ghost_notes"].insert_one({"a": 1})
    yield superuser
    superuser.execute(
        "drop view if exists ghost_calm; drop table if exists ghost_guests, ghost_rooms, ghost_alembic_version,"
        " ghostly_things; drop sequence if exists ghost_numbers; drop function if exists ghost_sum;"
        " drop type if exists ghost_mood"
    )
    with pymongo.MongoClient(servers.mongodb_uri) as documents:
        documents.get_default_database().drop_collection("ghost_notes")


def names(connection: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute(LEFT)]


def test_all_of_it_goes_and_nothing_else(gone: psycopg.Connection[Any], say: Say, servers: TestServers) -> None:
    done = say("ghost", typed="y\nghost\n")
    assert done.exit_code == 0, done.output
    for line in (
        "view ghost_calm",
        "table ghost_rooms  3 rows",
        "table ghost_guests  0 rows",
        "table ghost_alembic_version\n",
        "sequence ghost_numbers",
        "function ghost_sum(integer,integer)",
        "type ghost_mood",
        "1 row of core_outbox",
        "ghost_notes  1 document",
        "2 keys in Redis",
    ):
        assert line in done.output
    assert "ghostly" not in done.output and done.output.endswith("ghost is gone\n")
    assert names(gone) == ["ghostly_things"]
    assert gone.execute("select name from core_outbox").fetchall() == [("ghostly.haunt",)]
    with redis.Redis.from_url(servers.redis_url) as store:
        assert sorted(store.keys()) == [b"pb:-:core:duties", b"pb:-:ghostly:c", f"pb:{TENANT}:chat:ghost:b".encode()]
        assert store.hkeys("pb:-:core:duties") == [b"ghostly.haunt"]
    with pymongo.MongoClient(servers.mongodb_uri) as documents:
        assert "ghost_notes" not in documents.get_default_database().list_collection_names()
    [(actor, what, before)] = gone.execute(
        "select actor_kind, resource_id, before from core_audit where action = 'core.plugin_purged'"
    ).fetchall()
    assert (actor, what, before["tables"]) == ("system", "ghost", {"ghost_guests": 0, "ghost_rooms": 3})
    assert say("ghost").output == "nothing of ghost is here\n"


@pytest.mark.parametrize("typed", ["n\n", "y\nghostly\n", "y\n", ""])
def test_it_is_asked_twice(gone: psycopg.Connection[Any], say: Say, typed: str) -> None:
    before = names(gone)
    assert say("ghost", typed=typed).exit_code == 1
    assert names(gone) == before
    assert gone.execute("select count(*) from core_audit").fetchone() == (0,)


def test_scripts_are_not_asked(gone: psycopg.Connection[Any], say: Say) -> None:
    assert say("ghost", "--yes-really").exit_code == 0
    assert names(gone) == ["ghostly_things"]


def test_what_others_lean_on_stays_whole(gone: psycopg.Connection[Any], say: Say) -> None:
    gone.execute("alter table ghostly_things add column room_id uuid references ghost_rooms (id)")
    before = names(gone)
    done = say("ghost", "--yes-really")
    assert done.exit_code == 1
    assert "purging ghost: cannot drop desired object(s) because other objects depend on them" in done.output
    assert names(gone) == before
    assert gone.execute("select count(*) from core_audit").fetchone() == (0,)
    gone.execute("drop table ghostly_things")


def test_one_that_is_switched_on_is_refused(say: Say, superuser: psycopg.Connection[Any]) -> None:
    done = say("shelf", "--yes-really")
    assert done.exit_code == 1
    assert done.output == (
        "Error: shelf is switched on, and its processes may be using what would go: take it out of PLUGINS, deploy,"
        " and say this again; or say --force\n"
    )
    assert superuser.execute("select count(*) from shelf_books").fetchone() == (0,)
    told = say("shelf", "--force", typed="n\n")
    assert "table shelf_books  0 rows" in told.output and told.exit_code == 1


def test_a_store_that_is_away_is_told(
    gone: psycopg.Connection[Any], make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    done = make_board("cli").test_cli_runner().invoke(plugins.group, ["purge", "ghost", "--yes-really"])
    assert done.exit_code == 0, done.output
    assert "Redis did not answer" in done.output and "its keys pb:*:ghost:* are left" in done.output
    assert names(gone) == ["ghostly_things"]


@pytest.mark.parametrize("name", ["core", "pg", "Auth", "a_b", "x; drop table core_audit"])
def test_only_plugins_have_something_to_purge(say: Say, name: str) -> None:
    done = say(name, "--yes-really")
    assert done.output.endswith("is no plugin's name\n") or done.output == f"nothing of {name} is here\n"
