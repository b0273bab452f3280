"""Migrations as they are written and checked: fences, plain types, drift, and the rules for tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from histories import ALPHA, BETA, Database, Shelf, emptied, last, scratch_database, tenant_table
from sqlalchemy.dialects.postgresql import JSONB

from core.data.migrations import MigrationError, table_faults
from core.data.migrations.drift import faults, write_revision
from core.data.models import NAMING
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


# -- what is written ------------------------------------------------------------------------------------------------


class Shouted(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True


def test_a_revision_is_written_with_its_fence_and_in_plain_types(shelf: Shelf, database: Database) -> None:
    shelf.names.append("aa")
    tenant_table(shelf.metadata, "aa_things", sa.Column("facts", JSONB), sa.Column("loud", Shouted))
    shelf.metadata.tables["aa_things"].append_constraint(sa.UniqueConstraint("tenant_id", "name"))
    sa.Table("aa_words", shelf.metadata, sa.Column("id", sa.Uuid, primary_key=True), info={"global": True})
    path = write_revision(shelf.board(), "aa", "first tables")
    text = path.read_text()
    assert path.name == "0001_first_tables.py"
    assert 'fence("aa_things")' in text
    assert 'fence("aa_words")' not in text
    assert "sa.Column('facts', postgresql.JSONB(), nullable=True)" in text
    assert "sa.Column('loud', sa.Text(), nullable=True)" in text
    assert "sa.Uuid()" in text
    assert "# ###" not in text
    assert "uq_aa_things_tenant_id_name" in text

    shelf.board().upgrade()
    assert faults(shelf.board()) == []
    with pytest.raises(MigrationError, match="models and tables agree"):
        write_revision(shelf.board(), "aa", "again")
    insert = "insert into aa_things (id, tenant_id, name) values (gen_random_uuid(), '{}', 'x')"
    acting = "select set_config('pegboard.tenant', '{}', true); ".format
    last(acting(ALPHA) + insert.format(ALPHA), shelf.url)
    assert last(acting(ALPHA) + "select count(*) from aa_things", shelf.url) == 1
    assert last(acting(BETA) + "select count(*) from aa_things", shelf.url) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        last(acting(ALPHA) + insert.format(BETA), shelf.url)
    assert len(shelf.board().downgrade("aa", "base")) == 1


def test_a_disabled_plugin_keeps_its_tables_when_another_writes_a_revision(shelf: Shelf) -> None:
    shelf.table("gone")
    shelf.names.append("aa")
    shelf.board("gone").upgrade()
    tenant_table(shelf.metadata, "aa_things")
    text = write_revision(shelf.board("aa"), "aa", "first tables").read_text()
    assert "gone" not in text
    assert "alembic_version" not in text
    assert text.count("op.drop_table") == 1
    shelf.board("aa").upgrade()
    assert faults(shelf.board("aa")) == []


def test_an_empty_revision_follows_the_last_one(shelf: Shelf) -> None:
    shelf.table("aa")
    path = write_revision(shelf.board(), "aa", "move names over", empty=True)
    assert path.name == "0002_move_names_over.py"
    assert [step.revision for step in shelf.board().upgrade()] == ["0001", "0002"]
    shelf.table("aa", "0003")
    with pytest.raises(MigrationError, match="aa: the database is 1 behind; run `flask db upgrade`"):
        write_revision(shelf.board(), "aa", "too early")


def test_check_finds_drift_a_missing_fence_and_a_second_policy(shelf: Shelf, database: Database) -> None:
    tenant_table(shelf.metadata, "aa_things")
    columns = "id uuid constraint pk_aa_things primary key, tenant_id uuid not null, name varchar(50) not null"
    unique = "constraint uq_aa_things_tenant_id_id unique (tenant_id, id)"
    shelf.script("aa", "0001", f"op.execute('create table aa_things ({columns}, {unique})')")
    assert faults(shelf.board()) == ["aa: the database is 1 behind; run `flask db upgrade`"]
    shelf.board().upgrade()
    assert faults(shelf.board()) == ['aa: models and migrations differ: fence("aa_things")']
    shelf.script("aa", "0002", "fence('aa_things')")
    shelf.board().upgrade()
    assert faults(shelf.board()) == []
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("create policy open_again on aa_things using (true)")
        assert faults(shelf.board()) == ['aa: models and migrations differ: fence("aa_things")']
        owner.execute("drop policy open_again on aa_things")
    shelf.metadata.tables["aa_things"].append_column(sa.Column("age", sa.Integer))
    assert faults(shelf.board()) == [
        "aa: models and migrations differ: op.add_column('aa_things', sa.Column('age', sa.Integer(), nullable=True))"
    ]


# -- rules for tables -----------------------------------------------------------------------------------------------


def test_faulty_tables_are_named_with_the_cure() -> None:
    metadata = sa.MetaData(naming_convention=NAMING)
    tenant_table(metadata, "aa_good", sa.UniqueConstraint("tenant_id", "name"))
    tenant_table(metadata, "aa_code", sa.Column("code", sa.Text, unique=True))
    tenant_table(metadata, "aa_index", sa.Index("ix_name", "name", unique=True))
    tenant_table(metadata, "aa_lonely", sa.Column("good_id", sa.ForeignKey("aa_good.id")))
    tenant_table(metadata, "bb_far", sa.Column("good_id", sa.ForeignKey("aa_good.id")))
    tenant_table(
        metadata, "aa_emptied", sa.Column("good_id", sa.Uuid),
        sa.ForeignKeyConstraint(["tenant_id", "good_id"], ["aa_good.tenant_id", "aa_good.id"], ondelete="SET NULL"),
    )  # fmt: skip
    tenant_table(
        metadata, "aa_fine", sa.Column("good_id", sa.Uuid),
        sa.ForeignKeyConstraint(["tenant_id", "good_id"], ["aa_good.tenant_id", "aa_good.id"], ondelete="CASCADE"),
    )  # fmt: skip
    sa.Table("aa_stray", metadata, sa.Column("id", sa.Uuid, primary_key=True))
    sa.Table("aa_open", metadata, sa.Column("id", sa.Uuid, primary_key=True), sa.Column("tenant_id", sa.Uuid))
    sa.Table("aa_world", metadata, sa.Column("id", sa.Uuid, primary_key=True), info={"global": True})
    tenant_table(metadata, "aa_worldly", sa.Column("world_id", sa.ForeignKey("aa_world.id")))
    found = table_faults(metadata)
    told = {fault.split(":")[0].removeprefix("table "): fault for fault in found}
    assert len(found) == len(told) == 8
    assert told.keys() == {
        "aa_code", "aa_index", "aa_lonely", "bb_far", "aa_emptied", "aa_stray", "aa_open", "aa_worldly",
    }  # fmt: skip
    assert "unique across tenants; begin it with tenant_id: (tenant_id, code)" in told["aa_code"]
    assert "the index ix_name is unique across tenants" in told["aa_index"]
    assert "refer with (tenant_id, good_id) to aa_good (tenant_id, id)" in told["aa_lonely"]
    assert "needs UniqueConstraint('tenant_id', 'id')" in told["aa_lonely"]
    assert "another plugin's; keep the id" in told["bb_far"]
    assert "ondelete='SET NULL (good_id)'" in told["aa_emptied"]
    assert "derive its class from TenantModel" in told["aa_stray"]
    assert "tenant_id may be null" in told["aa_open"]
    assert "refers to the global table aa_world" in told["aa_worldly"]
