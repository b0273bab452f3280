"""Migrations up and down on a real server: order, lock, kill, failure, and plugins that are no longer there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from histories import Database, Shelf, emptied, scratch_database, tenant_table, until

from core.data.migrations import MigrationError, MigrationSettings
from core.data.migrations.drift import faults
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


# -- up -------------------------------------------------------------------------------------------------------------


def test_a_fresh_database_is_brought_up_in_order_each_history_in_its_own_version_table(
    shelf: Shelf, database: Database
) -> None:
    shelf.table("zeta")
    shelf.table("zeta", "0002")
    shelf.table("alpha")
    done = shelf.board().upgrade()
    assert [(step.history, step.revision) for step in done] == [("zeta", "0001"), ("zeta", "0002"), ("alpha", "0001")]
    assert shelf.said == ["zeta 0001 step 0001", "zeta 0002 step 0002", "alpha 0001 step 0001"]
    assert database.tables() == {"zeta_t1", "zeta_t2", "alpha_t1", "zeta_alembic_version", "alpha_alembic_version"}


def test_nothing_to_do_is_one_query_whatever_the_number_of_plugins(shelf: Shelf, statements: list[str]) -> None:
    for name in ("core", "aa", "bb", "cc"):
        shelf.table(name)
    shelf.board().upgrade()
    statements.clear()
    assert shelf.board().upgrade() == []
    assert len(statements) == 1


def test_one_plugin_alone(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.table("bb")
    assert [step.history for step in shelf.board().upgrade("bb")] == ["bb"]
    assert "aa_t1" not in database.tables()
    with pytest.raises(MigrationError, match="no plugin 'cc' is switched on; there are: aa, bb"):
        shelf.board().upgrade("cc")


def test_the_second_of_two_upgrades_waits_and_finds_nothing_to_do(shelf: Shelf) -> None:
    shelf.script("aa", "0001", """
        (HERE / "busy").touch()
        while not (HERE / "go on").exists():
            time.sleep(0.02)
        op.execute("create table aa_t1 (id int)")
    """)  # fmt: skip
    shelf.table("aa", "0002")

    def hear(line: str) -> None:
        shelf.said.append(line)
        (shelf.folder / "go on").touch()

    with shelf.process() as first:
        until((shelf.folder / "busy").exists)
        assert shelf.board(say=hear).upgrade() == []
        output, _ = first.communicate(timeout=20)
    assert output.splitlines() == ["aa 0001", "aa 0002"]
    assert shelf.said == ["another upgrade is running; waiting for it to finish"]


def test_waiting_for_another_upgrade_has_an_end(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    with psycopg.connect(database.owner_url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (int.from_bytes(b"pegboard"),))
        with pytest.raises(MigrationError, match="raise MIGRATION_WAIT"):
            shelf.board(settings=MigrationSettings(migration_wait=0)).upgrade()


def test_an_upgrade_that_is_killed_goes_on_where_it_stopped(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.script("aa", "0002", """
        op.execute("create table aa_t2 (id int)")
        (HERE / "busy").touch()
        while not (HERE / "go on").exists():
            time.sleep(0.02)
    """)  # fmt: skip
    shelf.table("bb")
    with shelf.process() as victim:
        until((shelf.folder / "busy").exists)
        victim.kill()
    assert database.tables() >= {"aa_t1"}
    assert not database.tables() & {"aa_t2", "bb_t1"}
    (shelf.folder / "go on").touch()
    assert [(step.history, step.revision) for step in shelf.board().upgrade()] == [("aa", "0002"), ("bb", "0001")]


def test_a_failing_revision_is_undone_named_and_keeps_what_came_before(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.script("aa", "0002", "op.execute('create table aa_t2 (id int)'); op.execute('select 1 from nowhere')")
    with pytest.raises(MigrationError, match=r'aa 0002 step 0002: relation "nowhere" does not exist; nothing of it'):
        shelf.board().upgrade()
    assert database.tables() == {"aa_t1", "aa_alembic_version"}
    assert database.rows("select version_num from aa_alembic_version") == [("0001",)]


def test_a_table_in_long_use_ends_the_upgrade_with_a_clear_message(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.board().upgrade()
    shelf.script("aa", "0002", "op.execute('alter table aa_t1 add column name text')")
    with psycopg.connect(database.superuser_url) as reader:
        reader.execute("select * from aa_t1")
        with pytest.raises(MigrationError) as told:
            shelf.board(settings=MigrationSettings(migration_lock_timeout=1)).upgrade()
    assert "aa 0002 step 0002: a table that it changes has been in use for 1 s" in str(told.value)
    assert "raise MIGRATION_LOCK_TIMEOUT" in str(told.value)
    assert len(shelf.board().upgrade()) == 1


def test_an_uninstalled_plugin_stops_nobody(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.table("gone")
    shelf.board().upgrade()
    shelf.table("aa", "0002")
    assert [step.history for step in shelf.board("aa").upgrade()] == ["aa"]
    assert "gone_t1" in database.tables()
    standings, left = shelf.board("aa").current()
    assert [(each.history, each.at, each.behind) for each in standings] == [("aa", "0002", 0)]
    assert left == ["gone"]


def test_a_database_that_newer_code_has_migrated_is_left_as_it_is(shelf: Shelf, database: Database) -> None:
    shelf.table("aa")
    shelf.table("aa", "0002")
    shelf.board().upgrade()
    shelf.said.clear()
    next((shelf.folder / "aa").rglob("0002_*.py")).unlink()
    assert shelf.board().upgrade() == []
    assert shelf.said == [
        "aa: the database is at 0002, which this code does not have (newer code was here); left as it is"
    ]
    assert faults(shelf.board()) == [shelf.said[0].removesuffix("; left as it is")]


def test_two_files_with_one_number_and_two_last_ones_are_refused(shelf: Shelf) -> None:
    shelf.table("aa")
    shelf.table("aa", "0002")
    shelf.table("aa", "0002")
    with pytest.raises(MigrationError, match=r"aa: Revision 0002 is present more than once .*renumber"):
        shelf.board().upgrade()
    shelf.table("bb")
    shelf.table("bb", "0002")
    shelf.script("bb", "0003", "pass", after="0001")
    with pytest.raises(MigrationError, match=r"bb: 0002 and 0003 both come last .*set the down_revision of one"):
        shelf.board("bb").upgrade()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("def upgrade(:\n    pass", ", line 1: SyntaxError: .*; correct it$"),
        ("import nothing_of_the_kind", ", line 1: ModuleNotFoundError: .*; correct it$"),
        ("raise SystemExit(0)", ", line 1: SystemExit: 0; correct it$"),
        ("def upgrade(): ...", ' has no revision; say revision = "0001", and down_revision$'),
        ("revision = 1\ndown_revision = None\ndef upgrade(): ...", ": revision and down_revision are texts, "),
        ('revision = "0001"\ndown_revision = None', r" has no upgrade\(\); define it"),
    ],
)
def test_a_script_that_cannot_be_read_is_named_with_the_cure(shelf: Shelf, script: str, told: str) -> None:
    shelf.table("aa")
    [path] = (shelf.folder / "aa").rglob("*.py")
    path.write_text(script)
    with pytest.raises(MigrationError, match=f"^aa: {re.escape(str(path))}{told}"):
        shelf.board().upgrade()
    assert [re.match(f"aa: .*{told}", fault) is not None for fault in faults(shelf.board())] == [True]


def test_what_a_script_raises_itself_is_noted_once_for_it_alone(shelf: Shelf) -> None:
    shelf.table("aa")
    shelf.script("aa", "0002", "raise KeyError('half way')")
    with pytest.raises(KeyError) as raised:
        shelf.board().upgrade()
    assert raised.value.__notes__ == ["aa 0002 step 0002: nothing of it was applied"]


def test_tables_without_migrations_are_refused_by_name_with_the_cure(shelf: Shelf) -> None:
    shelf.names.append("aa")
    tenant_table(shelf.metadata, "aa_things")
    with pytest.raises(MigrationError, match=r"aa: has tables \(aa_things\) and no migrations .*flask db revision aa"):
        shelf.board().upgrade()
    assert "flask db revision aa" in faults(shelf.board())[0]


def test_a_server_that_is_away_is_told_in_a_line(shelf: Shelf) -> None:
    shelf.table("aa")
    with pytest.raises(MigrationError, match="the database: connection failed"):
        shelf.board(url="postgresql://nobody@127.0.0.1:1/none").upgrade()


# -- down -----------------------------------------------------------------------------------------------------------


def test_a_downgrade_undoes_one_plugin_alone_and_says_what_first(shelf: Shelf, database: Database) -> None:
    for revision in ("0001", "0002", "0003"):
        shelf.table("aa", revision)
    shelf.table("bb")
    board = shelf.board()
    board.upgrade()
    assert [step.revision for step in board.plan_downgrade("aa", "0001")] == ["0003", "0002"]
    assert "aa_t3" in database.tables()
    assert [step.revision for step in board.downgrade("aa", "-1")] == ["0003"]
    assert [step.revision for step in board.downgrade("aa", "base")] == ["0002", "0001"]
    assert database.tables() == {"bb_t1", "aa_alembic_version", "bb_alembic_version"}
    assert len(board.upgrade()) == 3
    with pytest.raises(MigrationError, match="aa: cannot go down to 0009"):
        board.plan_downgrade("aa", "0009")
