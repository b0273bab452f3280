"""A scope says the same of SQL rows, of documents and of plain objects, whatever tree it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, example, given, settings, strategies as st
from mongoengine import BooleanField, UUIDField
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.contracts import ALL, NONE, And, IsOwner, Not, OneOf, Or, ResourceType, Scope
from core.data.documents import TenantDocument
from core.data.models import db, new_id
from core.data.unit import unit
from core.trust.scopes import holds, mongo, where

ALICE, BOB, HERE, THERE = (UUID(int=number) for number in (1, 2, 3, 4))
OWNERS, FOLDERS, STOPS = (None, ALICE, BOB), (None, HERE, THERE), (None, False, True)


class Apart(DeclarativeBase):
    """Not the board's metadata: migrations must not see this table."""


class Leaf(Apart):
    __tablename__ = "test_leaves"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    folder_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    private: Mapped[bool | None] = mapped_column(sa.Boolean)


class LeafDocument(TenantDocument):
    meta = {"collection": "test_leaves"}

    owner_id = UUIDField(db_field="o")
    folder_id = UUIDField(db_field="f")
    private = BooleanField(db_field="p")


def leaf_type(model: Any) -> ResourceType:
    return ResourceType("leaf", "leaves", model, "owner_id", {"folder": "folder_id"}, "private")


LEAVES = [
    SimpleNamespace(id=UUID(int=100 + number), owner_id=owner, folder_id=folder, private=private)
    for number, (owner, folder, private) in enumerate(itertools.product(OWNERS, FOLDERS, STOPS))
]
IDS = [leaf.id for leaf in LEAVES]

scopes = st.recursive(
    st.one_of(
        st.just(ALL),
        st.just(NONE),
        st.sampled_from((ALICE, BOB, UUID(int=9))).map(IsOwner),
        st.lists(st.sampled_from((HERE, THERE)), max_size=3).map(lambda ids: OneOf("folder", tuple(ids))),
        st.lists(st.sampled_from(IDS), max_size=6).map(lambda ids: OneOf("leaf", tuple(ids))),
    ),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=4).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=4).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=12,
)


@pytest.fixture
def leaves(ctx: Flask) -> Iterator[None]:
    """Every combination of owner, folder and stop, in a table and twice in a collection: null, and left out."""
    with unit():
        Leaf.__table__.create(db.session.connection(), checkfirst=True)
        db.session.add_all(Leaf(**vars(leaf)) for leaf in LEAVES)
    LeafDocument.objects.insert([LeafDocument(**vars(leaf)) for leaf in LEAVES])
    LeafDocument.objects(private=None).update(__raw__={"$set": {"p": None}})
    LeafDocument.objects(owner_id=None, folder_id=HERE).update(__raw__={"$set": {"o": None}})
    LeafDocument.objects(folder_id=None, owner_id=ALICE).update(__raw__={"$set": {"f": None}})
    yield
    with unit():
        Leaf.__table__.drop(db.session.connection())


def plainly(scope: Scope, leaf: Any) -> bool:
    """What a tree means, written down a second time."""
    match scope:
        case IsOwner(owner):
            return bool(leaf.owner_id == owner)
        case OneOf("leaf", ids):
            return leaf.id in ids
        case OneOf(_, ids):
            return leaf.folder_id in ids and leaf.private is not True
        case Not(part):
            return not plainly(part, leaf)
        case And(parts):
            return all(plainly(part, leaf) for part in parts)
        case Or(parts):
            return any(plainly(part, leaf) for part in parts)
    return scope == ALL


def in_sql(scope: Scope) -> set[UUID]:
    with unit():
        return set(db.session.scalars(sa.select(Leaf.id).where(where(scope, leaf_type(Leaf)))))


def in_mongo(scope: Scope) -> set[UUID]:
    return set(LeafDocument.objects(__raw__=mongo(scope, leaf_type(LeafDocument))).scalar("id"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scope=scopes)
@example(Not(IsOwner(ALICE)))
@example(Not(OneOf("folder", (HERE,))))
@example(Not(OneOf("folder", ())))
@example(And(()))
@example(Or(()))
@example(Not(Or((IsOwner(ALICE), Not(OneOf("folder", (HERE, THERE)))))))
def test_every_tree_means_the_same_everywhere(leaves: None, scope: Scope) -> None:
    meant = {leaf.id for leaf in LEAVES if plainly(scope, leaf)}
    assert {leaf.id for leaf in LEAVES if holds(scope, leaf_type(Leaf), leaf)} == meant
    assert in_sql(scope) == meant
    assert in_mongo(scope) == meant


def test_thousands_of_ids_are_one_parameter(leaves: None) -> None:
    many = OneOf("leaf", (*IDS, *(new_id() for _ in range(70_000))))
    assert in_sql(many) == set(IDS)
    assert in_sql(Not(many)) == set()
    assert in_mongo(many) == set(IDS)


@pytest.mark.parametrize("translate", [where, mongo])
@pytest.mark.parametrize(
    "scope", [IsOwner(ALICE), Not(IsOwner(ALICE)), OneOf("shelf", (HERE,)), Not(OneOf("shelf", ()))]
)
def test_what_a_resource_type_does_not_have_is_an_error_and_no_open_door(translate: Any, scope: Scope) -> None:
    with pytest.raises(LookupError, match="leaf"):
        translate(scope, ResourceType("leaf", "leaves", Leaf))


def test_a_scope_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TypeError):
        where(Scope(), leaf_type(Leaf))
