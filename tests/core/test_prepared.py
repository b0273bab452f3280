"""Statements built once: they keep to the tenant of whoever runs them, and say what they would not keep."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from shelf.models import Author, Book

from core.data import DEFAULT, PLATFORM, acting_in, db, unit
from core.data.prepared import Prepared

RENAME = Prepared(
    sa.update(Book)
    .where(Book.title == sa.bindparam("old"))
    .values(title=sa.bindparam("new"))
    .returning(Book.id, Book.title),
    Book,
)
TITLES = Prepared(sa.select(Book.title).order_by(Book.title), Book)


@pytest.fixture
def shelves(board: Flask) -> Flask:
    """The same title in two tenants."""
    for tenant in (DEFAULT, PLATFORM):
        with board.app_context(), acting_in(tenant), unit():
            db.session.add(Book(title="Emma"))
    return board


def test_it_meets_the_rows_of_one_tenant(shelves: Flask) -> None:
    with shelves.app_context(), acting_in(DEFAULT):
        with unit():
            changed = RENAME(old="Emma", new="Persuasion").one()
            assert changed.title == "Persuasion"
        with unit():
            assert TITLES().scalars().all() == ["Persuasion"]
    with shelves.app_context(), acting_in(PLATFORM), unit():
        assert TITLES().scalars().all() == ["Emma"]


def test_what_the_unit_has_not_written_yet_is_written_first_and_what_fails_rolls_back(shelves: Flask) -> None:
    with shelves.app_context(), acting_in(DEFAULT):
        with pytest.raises(RuntimeError, match="no"), unit():
            RENAME(old="Emma", new="Persuasion")
            raise RuntimeError("no")
        with unit():
            db.session.add(Book(title="Sanditon"))
            assert TITLES().scalars().all() == ["Emma", "Sanditon"]


def test_it_has_no_life_outside_a_unit_or_a_tenant(shelves: Flask) -> None:
    with shelves.app_context():
        with acting_in(DEFAULT), pytest.raises(LookupError):
            TITLES()
        with unit(), pytest.raises(LookupError):
            TITLES()


@pytest.mark.unit
def test_every_table_must_be_named() -> None:
    joined = sa.select(Book.title).join(Author, Author.id == Book.author_id)
    with pytest.raises(TypeError, match="shelf_authors, shelf_books"):
        Prepared(joined, Book)
    with pytest.raises(TypeError, match="name exactly"):
        Prepared(sa.select(sa.literal(1)))
    inside = sa.select(Author.id).where(Author.id == Book.author_id)
    for nested in (Book.author_id == inside.scalar_subquery(), inside.exists(), Book.author_id.in_(inside)):
        with pytest.raises(TypeError, match="subquery"):
            Prepared(sa.select(Book.title).where(nested), Book, Author)
    Prepared(joined, Book, Author)
