"""Marks on views: exactly one of them, and what each lets through."""

from __future__ import annotations

from uuid import uuid4

import pytest
from flask import Flask

from core.contracts import ANONYMOUS, Authorizer, Principal, service
from core.data.tenancy import DEFAULT
from core.data.unit import unit
from core.errors import BootError, Refused
from core.trust.permissions import enforce, kind_named, kind_of, marks_of, public, requires, signed_in, tenantless


def view() -> None:
    """Nothing."""


def fresh(*decorators: object) -> object:
    def copy() -> None:
        """Nothing."""

    for decorate in decorators:
        copy = decorate(copy)  # type: ignore[operator]
    return marks_of(copy)


@pytest.mark.unit
def test_two_access_marks_are_one_too_many() -> None:
    with pytest.raises(BootError, match="keep one"):
        fresh(public, signed_in)


@pytest.mark.unit
def test_marks_add_up() -> None:
    marks = fresh(requires("shelf:write", id="book_id"), tenantless)
    assert (marks.access, marks.permission, marks.id_parameter, marks.tenantless) == (  # type: ignore[attr-defined]
        "requires",
        "shelf:write",
        "book_id",
        True,
    )


@pytest.mark.unit
@pytest.mark.parametrize("word", ["shelf", "shelf:", "Shelf:read", "a:b:c", ""])
def test_a_permission_is_word_and_action(word: str) -> None:
    with pytest.raises(BootError, match="word:action"):
        requires(word)


def refused(who: Principal, marks: object) -> str | None:
    try:
        enforce(who, marks)  # type: ignore[arg-type]
    except Refused as refusal:
        return refusal.code.name
    return None


def test_who_comes_through_which_mark(ctx: Flask) -> None:
    alice = Principal("user", uuid4(), DEFAULT.id, uuid4())
    editor = Principal("user", uuid4(), DEFAULT.id, uuid4())
    with unit():
        service(Authorizer).assign(editor.id, "editor")  # type: ignore[arg-type]
    with unit():
        table = {
            "public": [refused(who, fresh(public)) for who in (ANONYMOUS, alice, editor)],
            "signed_in": [refused(who, fresh(signed_in)) for who in (ANONYMOUS, alice, editor)],
            "requires": [refused(who, fresh(requires("shelf:write"))) for who in (ANONYMOUS, alice, editor)],
        }
    assert table == {
        "public": [None, None, None],
        "signed_in": ["TOKEN_MISSING", None, None],
        "requires": ["TOKEN_MISSING", "FORBIDDEN", None],
    }


def test_kinds_are_found_by_name_and_by_word(app: Flask) -> None:
    assert kind_of("shelf:write") is kind_named("book")
    assert kind_of("nothing:write") is None
    with pytest.raises(LookupError, match="resource_type"):
        kind_named("unicorn")
