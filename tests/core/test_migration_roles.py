"""Migrations and database roles, and the histories of this very board with their commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from histories import ALPHA, BETA, Database, Shelf, emptied, last, scratch_database

from core.data.migrations import MigrationError, Migrations, role_faults
from core.data.migrations.drift import faults
from core.data.models import psycopg_url
from core.ops.testbed import TestServers


@pytest.fixture(scope="module")
def scratch(servers: TestServers) -> Iterator[Database]:
    with scratch_database(servers) as made:
        yield made


@pytest.fixture
def database(scratch: Database) -> Iterator[Database]:
    with emptied(scratch):
        yield scratch


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "with a space", database.owner_url)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


# -- roles ----------------------------------------------------------------------------------------------------------


def test_with_two_roles_the_app_may_use_rows_and_nothing_else(
    shelf: Shelf, database: Database, statements: list[str]
) -> None:
    shelf.script("aa", "0001", "op.execute('create table aa_t1 (id serial, tenant_id uuid)'); fence('aa_t1')")
    board = shelf.board(app_url=database.app_url)
    board.upgrade()
    as_app = database.app_url
    write = f"insert into aa_t1 (tenant_id) values ('{ALPHA}'); update aa_t1 set id = id"
    count = "select count(*) from aa_t1"
    assert last(f"select set_config('pegboard.tenant', '{ALPHA}', false); {write}; {count}", as_app) == 1
    assert database.rows("select version_num from aa_alembic_version", as_app) == [("0001",)]
    for forbidden in (
        "create table aa_mine (id int)",
        "alter table aa_t1 no force row level security",
        "drop policy tenant_fence on aa_t1",
        "truncate aa_t1",
        "update aa_alembic_version set version_num = '0000'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            last(forbidden, as_app)
    statements.clear()
    assert board.upgrade() == []
    assert len(statements) == 1

    # What was made before there were two roles is granted although no migration is missing.
    last(f"revoke all on aa_t1 from {database.app_role}", database.owner_url)
    assert board.upgrade() == []
    assert last(count, as_app) == 0
    # What a migration makes may be used even if the process dies before it grants.
    last("create table aa_t2 (id int)", database.owner_url)
    assert last("select count(*) from aa_t2", as_app) == 0


def test_a_schema_that_the_owner_cannot_share_is_told_with_the_cure(shelf: Shelf, database: Database) -> None:
    last("alter schema public owner to current_user", database.superuser_url)
    last(f"grant usage, create on schema public to {database.owner_role}", database.superuser_url)
    shelf.table("aa")
    with pytest.raises(MigrationError, match=f"as its owner: grant usage on schema public to {database.app_role}"):
        shelf.board(app_url=database.app_url).upgrade()


def test_a_data_migration_reaches_the_rows_of_every_tenant(shelf: Shelf, database: Database) -> None:
    shelf.script("aa", "0001", f"""
        op.execute("create table aa_t1 (tenant_id uuid, name text)")
        fence("aa_t1")
        op.execute("insert into aa_t1 values ('{ALPHA}', 'x'), ('{BETA}', 'y')")
    """)  # fmt: skip
    shelf.script("aa", "0002", "assert op.get_bind().execute(sa.text(\"update aa_t1 set name = 'z'\")).rowcount == 2")
    shelf.board().upgrade()
    assert database.rows("select distinct name from aa_t1") == [("z",)]
    assert database.rows("select * from aa_t1", database.owner_url) == []


def test_powerful_roles_are_named(database: Database) -> None:
    for url, expected in ((database.owner_url, 0), (database.superuser_url, 2)):
        engine = sa.create_engine(psycopg_url(url), poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert len(role_faults(connection)) == expected


# -- the commands, on the real board ----------------------------------------------------------------------------------


def test_every_history_of_the_board_comes_up_goes_down_and_comes_up_again(app: Flask, database: Database) -> None:
    histories = Migrations.of(app).histories
    assert [history.name for history in histories][:2] == ["core", "auth"]
    board = Migrations(histories, database.owner_url, app_url=database.app_url)
    applied = board.upgrade()
    assert faults(board) == []
    for history in reversed(histories):
        board.downgrade(history.name, "base")
    assert all(name.endswith("_alembic_version") for name in database.tables())
    ours = "select proname from pg_proc p where pronamespace = 'public'::regnamespace and not exists"
    assert database.rows(f"{ours} (select from pg_depend where objid = p.oid and deptype = 'e')") == []
    assert board.upgrade() == applied
    assert faults(board) == []
    last(f"alter table core_outbox owner to {database.app_role}", database.superuser_url)
    [fault] = faults(board)
    assert fault.startswith(f"table core_outbox: belongs to {database.app_role}, not to MIGRATION_DATABASE_URL's role")
    assert fault.endswith(f"reassign owned by {database.app_role} to {database.owner_role}")


def test_the_commands_on_the_board_itself(app: Flask) -> None:
    from core.ops.db import group

    run = app.test_cli_runner().invoke
    reply = run(group, ["check"])
    assert reply.exit_code == 0, reply.output
    assert "nothing to do" in run(group, ["upgrade"]).output
    assert "core" in run(group, ["current"]).output
    assert "behind" not in run(group, ["current"]).output
    assert run(group, ["history", "core"]).output.startswith("core 0001 ")
    asked = run(group, ["downgrade", "core", "base"], input="n\n")
    assert "core 0001" in asked.output
    assert "Go on?" in asked.output
    assert asked.exit_code == 1
    assert run(group, ["upgrade"]).output.startswith("nothing to do\n")
    refused = run(group, ["history", "nosuch"])
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: no plugin 'nosuch' is switched on")
