"""Both fences around a tenant's rows: the ORM's, which people meet, and PostgreSQL's, which holds when that is off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Author, Book
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from core.contracts import Tenant
from core.data import tenancy
from core.data.models import BoardSession, db, new_id
from core.data.tenancy import DEFAULT, PLATFORM, acting_in, all_tenants, bypass, current_tenant, resolve
from core.data.unit import unit
from core.errors import Refused
from core.ops.processes import ROOT


@pytest.fixture
def theirs(board: Flask) -> Iterator[UUID]:
    """A book and its author in the tenant ``platform``; the test then acts in ``default``."""
    with board.app_context():
        with acting_in(PLATFORM), unit():
            author = Author(name="alice")
            db.session.add(author)
            db.session.flush()
            book = Book(title="theirs", author_id=author.id)
            db.session.add(book)
        yield book.id


@pytest.fixture
def no_orm_filter() -> Iterator[None]:
    """Only PostgreSQL stands guard."""
    event.remove(BoardSession, "do_orm_execute", tenancy._filter)
    event.remove(BoardSession, "before_flush", tenancy._keep_tenants)
    yield
    event.listen(BoardSession, "do_orm_execute", tenancy._filter)
    event.listen(BoardSession, "before_flush", tenancy._keep_tenants)


def their_title(theirs: UUID) -> str | None:
    with bypass("backup"), unit():
        return db.session.scalar(sa.select(Book.title).where(Book.id == theirs))


READS = {
    "raw sql": lambda: db.session.execute(sa.text("select title from shelf_books")).all(),
    "core select": lambda: db.session.execute(sa.select(Book.__table__.c.title)).all(),
    "orm select": lambda: db.session.scalars(sa.select(Book)).all(),
    "count": lambda: [n for n in db.session.scalars(sa.text("select count(*) from shelf_books")) if n],
    "join": lambda: db.session.execute(
        sa.select(Book.__table__.c.title).join(Author.__table__, Author.__table__.c.id == Book.__table__.c.author_id)
    ).all(),
}


@pytest.mark.parametrize("how", READS)
def test_the_row_fence_hides_rows_without_the_orm_filter(theirs: UUID, no_orm_filter: None, how: str) -> None:
    with acting_in(DEFAULT), unit():
        assert READS[how]() == []
    with acting_in(PLATFORM), unit():
        assert READS[how]() != []


def _bulk_update_by_primary_key(book: UUID) -> None:
    db.session.execute(sa.update(Book), [{"id": book, "title": "ours", "version": 2}])


def _upsert(book: UUID) -> None:
    row = {"id": book, "tenant_id": DEFAULT.id, "title": "ours", "version": 1}
    db.session.execute(upsert(Book).values(row).on_conflict_do_update(index_elements=["id"], set_={"title": "ours"}))


def _insert_from_select(book: UUID) -> None:
    db.session.execute(
        sa.text(
            "insert into shelf_books (id, tenant_id, title, version, created_at, updated_at) "
            "select :id, tenant_id, title || ' copied', 1, now(), now() from shelf_books"
        ),
        {"id": new_id()},
    )


def _insert_for_them(book: UUID) -> None:
    db.session.add(Book(title="planted", tenant_id=PLATFORM.id))
    db.session.flush()


def _move_to_them(book: UUID) -> None:
    db.session.add(Book(title="moving"))
    db.session.flush()
    db.session.execute(sa.text("update shelf_books set tenant_id = :to"), {"to": PLATFORM.id})


def _refer_to_their_author(book: UUID) -> None:
    with_author = sa.text("select author_id from shelf_books where id = :id")
    author = db.session.scalar(with_author, {"id": book})
    assert author is None, "the author's id leaked"
    db.session.execute(
        sa.text(
            "insert into shelf_books (id, tenant_id, title, version, author_id, created_at, updated_at) "
            "values (:id, :tenant, 'x', 1, (select id from shelf_authors limit 1), now(), now())"
        ),
        {"id": new_id(), "tenant": DEFAULT.id},
    )
    assert db.session.scalar(sa.text("select count(author_id) from shelf_books")) == 0


WRITES = {
    "raw update": lambda book: db.session.execute(sa.text("update shelf_books set title = 'ours'")),
    "raw delete": lambda book: db.session.execute(sa.text("delete from shelf_books")),
    "core update": lambda book: db.session.execute(sa.update(Book.__table__).values(title="ours")),
    "bulk update by primary key": _bulk_update_by_primary_key,
    "upsert": _upsert,
    "insert from select": _insert_from_select,
    "insert for another tenant": _insert_for_them,
    "move to another tenant": _move_to_them,
    "reference to another tenant's row": _refer_to_their_author,
}


@pytest.mark.parametrize("how", WRITES)
def test_the_row_fence_keeps_rows_without_the_orm_filter(theirs: UUID, no_orm_filter: None, how: str) -> None:
    try:
        with acting_in(DEFAULT), unit():
            WRITES[how](theirs)
    except (DBAPIError, sa.orm.exc.StaleDataError) as exc:
        assert "row-level security" in str(exc) or isinstance(exc, sa.orm.exc.StaleDataError)
    assert their_title(theirs) == "theirs"
    with bypass("backup"), unit():
        assert db.session.scalar(sa.text(f"select count(*) from shelf_books where tenant_id = '{PLATFORM.id}'")) == 1


def test_a_known_foreign_id_cannot_be_referred_to(theirs: UUID, no_orm_filter: None) -> None:
    with bypass("backup"), unit():
        author = db.session.scalar(sa.select(Book.author_id).where(Book.id == theirs))
    with pytest.raises(DBAPIError, match="foreign key"), acting_in(DEFAULT), unit():
        db.session.add(Book(title="mine", author_id=author))


def test_tests_run_as_a_plain_role(ctx: Flask) -> None:
    with unit():
        row = db.session.execute(
            sa.text("select rolsuper, rolbypassrls from pg_roles where rolname = current_user")
        ).one()
    assert tuple(row) == (False, False)


def test_every_tenant_table_is_fenced_and_forced(ctx: Flask) -> None:
    query = sa.text(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'"
        " and not a.attisdropped join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'"
        " where c.relkind = 'r' and not (c.relrowsecurity and c.relforcerowsecurity and exists"
        " (select from pg_policies p where p.tablename = c.relname and p.policyname = 'tenant_fence'))"
    )
    with unit():
        assert db.session.scalars(query).all() == []


def test_without_a_tenant_nothing_is_seen_and_nothing_can_be_written(theirs: UUID) -> None:
    with unit():
        assert db.session.scalars(sa.select(Book)).all() == []
    with pytest.raises(LookupError, match="acting_in"), unit():
        db.session.add(Book(title="nobody's"))


def test_the_orm_filters_and_stamps(theirs: UUID) -> None:
    with acting_in(DEFAULT), unit():
        db.session.add(Book(title="mine"))
        db.session.execute(sa.insert(Book), [{"title": "bulk", "version": 1}])
    with acting_in(DEFAULT), unit():
        assert sorted(db.session.scalars(sa.select(Book.title))) == ["bulk", "mine"]
        assert db.session.get(Book, theirs) is None
        db.session.execute(sa.update(Book).values(title=Book.title + "!"))
    assert their_title(theirs) == "theirs"


@pytest.mark.parametrize("change", ["plant", "move"])
def test_the_orm_refuses_another_tenants_stamp(theirs: UUID, change: str) -> None:
    with pytest.raises(ValueError, match="never changes"), acting_in(DEFAULT), unit():
        book = Book(title="x", tenant_id=PLATFORM.id if change == "plant" else DEFAULT.id)
        db.session.add(book)
        db.session.flush()
        book.tenant_id = PLATFORM.id


def test_the_tenant_cannot_change_within_a_unit(ctx: Flask) -> None:
    with unit(), pytest.raises(RuntimeError, match="inside a unit"), acting_in(PLATFORM):
        pass
    with unit(), pytest.raises(RuntimeError, match="inside a unit"), bypass("backup"):
        pass


def test_sql_outside_a_unit_is_refused(ctx: Flask) -> None:
    with pytest.raises(RuntimeError, match="with unit"):
        db.session.scalar(sa.text("select 1"))


def test_all_tenants_visits_each_and_wants_a_reason(board: Flask) -> None:
    with board.app_context():
        assert [current_tenant().slug for _ in all_tenants("counting")] == ["default", "platform"]
        with pytest.raises(ValueError, match="reason"):
            next(all_tenants(""))


OTHER = Tenant(UUID(int=9), "other", "Other")


@pytest.mark.parametrize(
    ("host", "header", "credential", "expected"),
    [
        (None, None, None, "default"),
        (None, "platform", None, "platform"),
        (None, str(PLATFORM.id), None, "platform"),
        (None, None, PLATFORM.id, "platform"),
        (PLATFORM, "platform", PLATFORM.id, "platform"),
        (PLATFORM, "default", None, "TENANT_MISMATCH"),
        (PLATFORM, None, DEFAULT.id, "TENANT_MISMATCH"),
        (None, "default", PLATFORM.id, "TENANT_MISMATCH"),
        (None, "nowhere", None, "UNKNOWN_TENANT"),
        (None, None, UUID(int=77), "UNKNOWN_TENANT"),
        (OTHER, None, None, "other"),
    ],
)
def test_resolution(
    board: Flask, host: Tenant | None, header: str | None, credential: UUID | None, expected: str
) -> None:
    with board.app_context():
        try:
            answer = resolve(host, header, credential).slug
        except Refused as refusal:
            answer = refusal.code.name
    assert answer == expected


@pytest.mark.parametrize(("url", "starts"), [("database_url", True), ("superuser_url", False)])
def test_production_does_not_start_as_a_superuser(servers, board: Flask, url: str, starts: bool) -> None:
    environ = {**os.environ, "APP_ENV": "production", "API_URL": "https://board.example.com"}
    environ["DATABASE_URL"] = getattr(servers, url)
    script = "from core.app import boot; boot('worker')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if starts else 1), done.stderr
    assert ("which no row-level security holds" in done.stderr) is not starts
    assert "Traceback" not in done.stderr
