"""Keyset pages: each row once in order, whatever is written meanwhile; cursors that are not ours are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings, strategies as st
from shelf.models import Book
from small_board import forget, small_board

from core.data.models import db
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit
from core.errors import Refused
from core.trust import secrets
from core.web.pages import CountedQuery, Order, PageQuery, paginate
from core.web.queries import parse_query
from core.web.replies import Page, encode

NEWEST: Order = ((Book.created_at, "desc"), (Book.id, "desc"))
MIXED: Order = ((Book.version, "desc"), (Book.title, "asc"), (Book.id, "asc"))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class TitleQuery(PageQuery):
    title: str = ""


@pytest.fixture
def shelf(board: Any, servers: Any) -> Iterator[Flask]:
    """Ten books, in twos of the same age."""
    app = small_board(database_url=servers.database_url)
    with app.app_context(), acting_in(DEFAULT):
        with unit():
            for number in range(10):
                db.session.add(Book(title=f"book {number}", created_at=BEGAN + timedelta(hours=number // 2)))
        yield app
    forget(app)


def page_of(query: PageQuery, order: Order = NEWEST, statement: Any = None) -> Page[Any]:
    with unit():
        return paginate(sa.select(Book) if statement is None else statement, order, query)


def walk(order: Order, limit: int, statement: Any = None) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = page_of(PageQuery(limit=limit, cursor=cursor), order, statement)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 100])
@pytest.mark.parametrize("order", [NEWEST, MIXED, ((Book.title, "asc"), (Book.id, "asc")), ((Book.id, "asc"),)])
def test_walking_the_pages_shows_each_row_once_in_order(shelf: Flask, order: Order, limit: int) -> None:
    whole = [book.id for book in page_of(PageQuery(limit=100), order).items]
    assert len(whole) == 10
    assert [book.id for book in walk(order, limit)] == whole


def test_the_last_page_says_so(shelf: Flask) -> None:
    assert page_of(PageQuery(limit=10)).next is None
    first = page_of(PageQuery(limit=9))
    assert len(page_of(PageQuery(limit=9, cursor=first.next)).items) == 1


def test_what_is_written_meanwhile_moves_nothing(shelf: Flask) -> None:
    first = page_of(PageQuery(limit=4))
    with unit():
        db.session.add(Book(title="newer", created_at=BEGAN + timedelta(days=1)))
        db.session.execute(sa.delete(Book).where(Book.id == first.items[-1].id))
    second = page_of(PageQuery(limit=4, cursor=first.next))
    assert [book.title for book in second.items] == ["book 5", "book 4", "book 3", "book 2"]


def test_rows_of_columns(shelf: Flask) -> None:
    statement = sa.select(Book.id, Book.title).order_by(Book.created_at)
    order: Order = ((Book.title, "desc"), (Book.id, "desc"))
    assert [title for _, title in walk(order, 4, statement)] == [f"book {number}" for number in range(9, -1, -1)]


def test_an_index_answers_the_place_of_a_page(shelf: Flask) -> None:
    """All columns one way: PostgreSQL gets one row comparison, which a single index condition answers."""
    cursor = page_of(PageQuery(limit=2)).next
    seen: list[str] = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda *call: seen.append(call[2]))
    page_of(PageQuery(limit=2, cursor=cursor))
    (statement,) = [text for text in seen if "shelf_books" in text]
    assert "(shelf_books.created_at, shelf_books.id) <" in statement


def test_pages_stay_within_the_tenant(shelf: Flask) -> None:
    cursor = page_of(PageQuery(limit=2)).next
    with acting_in(PLATFORM):
        assert page_of(PageQuery(limit=2)).items == []
        assert page_of(PageQuery(limit=2, cursor=cursor)).items == []


# -- cursors ------------------------------------------------------------------------------------------------------


def refused(query: PageQuery, order: Order = NEWEST) -> str:
    with pytest.raises(Refused) as caught:
        page_of(query, order)
    return caught.value.code.name


def test_a_cursor_holds_for_its_own_list_only(shelf: Flask) -> None:
    cursor = page_of(TitleQuery(limit=2, title="a")).next
    assert page_of(TitleQuery(limit=5, title="a", cursor=cursor)).items
    assert refused(TitleQuery(limit=2, title="b", cursor=cursor)) == "INVALID_CURSOR"
    assert refused(PageQuery(limit=2, cursor=cursor)) == "INVALID_CURSOR"
    assert refused(TitleQuery(limit=2, title="a", cursor=cursor), MIXED) == "INVALID_CURSOR"
    flipped: Order = ((Book.created_at, "asc"), (Book.id, "asc"))
    assert refused(TitleQuery(limit=2, title="a", cursor=cursor), flipped) == "INVALID_CURSOR"


@pytest.mark.parametrize("cursor", ["", "x", "....", "é", "\0", "null", "a" * 10_000, "MTIz", "\ud800"])
def test_garbage_is_no_cursor(shelf: Flask, cursor: str) -> None:
    assert refused(PageQuery(cursor=cursor)) == "INVALID_CURSOR"


def test_a_cursor_that_was_altered_or_made_for_another_purpose_is_refused(shelf: Flask) -> None:
    cursor = page_of(PageQuery(limit=2)).next
    assert cursor is not None
    for at in range(0, len(cursor), 7):
        changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        assert refused(PageQuery(cursor=changed)) == "INVALID_CURSOR"
    body = secrets.verify("cursor", cursor)
    assert refused(PageQuery(cursor=secrets.sign("other", body))) == "INVALID_CURSOR"
    bound_to, values = msgspec.json.decode(body)
    for wrong in ([bound_to, values[:1]], [bound_to, ["x", "y"]], [bound_to, None], {}, 5):
        assert refused(PageQuery(cursor=secrets.sign("cursor", msgspec.json.encode(wrong)))) == "INVALID_CURSOR"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.text(max_size=100))
def test_no_text_is_taken_for_a_cursor(shelf: Flask, cursor: str) -> None:
    assert refused(PageQuery(cursor=cursor)) == "INVALID_CURSOR"


def test_limits_are_1_to_100() -> None:
    assert parse_query(b"", PageQuery).limit == 20
    assert parse_query(b"limit=100", PageQuery).limit == 100
    for limit in (b"0", b"101", b"-1", b"x", b"1.5"):
        with pytest.raises(Refused):
            parse_query(b"limit=" + limit, PageQuery)


def test_an_order_on_which_no_cursor_can_stand_is_refused_in_development(shelf: Flask) -> None:
    with pytest.raises(TypeError, match="may be null"):
        page_of(PageQuery(), ((Book.owner_id, "asc"), (Book.id, "asc")))
    with pytest.raises(TypeError, match="primary key"):
        page_of(PageQuery(), ((Book.title, "asc"),))


# -- counting -------------------------------------------------------------------------------------------------------


def test_rows_are_counted_only_when_asked_for(shelf: Flask) -> None:
    plain = page_of(PageQuery(limit=2)).map(lambda book: book.title)
    assert msgspec.json.decode(encode(plain)) == {"items": ["book 9", "book 8"], "next": plain.next}
    exact = page_of(CountedQuery(limit=2, count="exact"), statement=sa.select(Book).where(Book.title != "book 9"))
    assert exact.count == 9
    assert msgspec.json.decode(encode(exact.map(lambda book: book.title)))["count"] == 9
    planned = page_of(CountedQuery(limit=2, count="planned")).count
    assert isinstance(planned, int)
    with acting_in(PLATFORM):
        assert page_of(CountedQuery(count="exact")).count == 0
