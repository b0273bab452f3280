"""The built-in roles answer the same whichever way they are asked: decide, decide_many, or scope put to a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, example, given, settings, strategies as st
from mongoengine import UUIDField
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.contracts import ALL, ANONYMOUS, SYSTEM, Principal, ResourceType, Scope
from core.data.documents import TenantDocument
from core.data.models import db
from core.data.redis import clear_caches
from core.data.tenancy import DEFAULT, PLATFORM
from core.data.unit import unit
from core.registry.standins.authorizer import BuiltInRoles
from core.trust import permissions
from core.trust.permissions import resource_type
from core.trust.scopes import mongo, where

SHELF = ("shelf:read", "shelf:write")


@pytest.fixture
def roles(ctx: Flask) -> BuiltInRoles:
    return BuiltInRoles()


class Apart(DeclarativeBase):
    """Not the board's metadata: migrations must not see this table."""


class Page(Apart):
    __tablename__ = "test_pages"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    owner_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    volume_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    sealed: Mapped[bool | None] = mapped_column(sa.Boolean)


class PageDocument(TenantDocument):
    meta = {"collection": "test_pages"}

    owner_id = UUIDField()
    volume_id = UUIDField()


ALICE, BOB, VOLUMES = uuid4(), uuid4(), (uuid4(), uuid4())
ME = Principal("user", ALICE, DEFAULT.id)
ROWS = [
    {"id": uuid4(), "owner_id": owner, "volume_id": volume}
    for owner in (None, ALICE, BOB)
    for volume in (None, *VOLUMES)
]
ABSENT = uuid4()
IDS = [*(row["id"] for row in ROWS), ABSENT]

on_something = st.one_of(
    st.tuples(st.sampled_from(("test_page", "test_sheet")), st.sampled_from(IDS)),
    st.tuples(st.just("test_volume"), st.sampled_from(VOLUMES)),
    st.tuples(st.just("book"), st.sampled_from(IDS)),
)
grants = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("editor", "admin", "manager")), on_something),
        st.tuples(st.sampled_from(("manager", "editor")), st.just((None, None))),
    ),
    max_size=4,
)
callers = st.one_of(
    st.just(ME),
    st.sampled_from((SYSTEM, ANONYMOUS)),
    st.builds(
        Principal,
        kind=st.sampled_from(("user", "key")),
        id=st.sampled_from((ALICE, BOB)),
        tenant_id=st.sampled_from((DEFAULT.id, PLATFORM.id)),
        limits=st.sampled_from((None, (), ("shelf:write",), SHELF)),
    ),
)


@pytest.fixture
def pages(ctx: Flask) -> Iterator[None]:
    with unit():
        Page.__table__.create(db.session.connection(), checkfirst=True)
        db.session.add_all(Page(**row, sealed=row["owner_id"] == BOB) for row in ROWS)
    PageDocument.objects.insert([PageDocument(**row) for row in ROWS])
    volume = {"test_volume": "volume_id"}
    resource_type(ResourceType("test_page", "shelf", Page, "owner_id", volume, "sealed"))
    resource_type(ResourceType("test_sheet", "shelf", PageDocument, "owner_id", volume))
    yield
    for kind in ("test_page", "test_sheet"):
        del permissions._kinds[kind]
    with unit():
        Page.__table__.drop(db.session.connection())


def within(scope: Scope, kind: str) -> set[UUID]:
    declared = permissions.kind_named(kind)
    if kind == "test_sheet":
        return set(PageDocument.objects(__raw__=mongo(scope, declared)).scalar("id"))
    with unit():
        return set(db.session.scalars(sa.select(Page.id).where(where(scope, declared))))


def meant(given: list[Any], who: Principal, permission: str, kind: str) -> set[UUID]:
    """What somebody may do, written down a second time."""
    mine = [grant for grant in given if who.id == ALICE]
    if who.kind == "system":
        return set(IDS)
    if who.kind == "anonymous" or who.tenant_id != DEFAULT.id or permission not in (who.limits or SHELF):
        return set()
    if who.limits == ():
        return set()
    if permission == "shelf:read" or ("editor", (None, None)) in mine:
        return set(IDS)
    on = {thing for role, thing in mine if role in ("editor", "admin")}
    return {
        row["id"]
        for row in ROWS
        if row["owner_id"] == who.id
        or (kind, row["id"]) in on
        or (("test_volume", row["volume_id"]) in on and not (kind == "test_page" and row["owner_id"] == BOB))
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=grants,
    who=callers,
    permission=st.sampled_from(("shelf:write", "shelf:write", "shelf:read")),
    kind=st.sampled_from(("test_page", "test_sheet")),
)
@example(given=[("editor", ("test_volume", VOLUMES[0]))], who=ME, permission="shelf:write", kind="test_page")
@example(given=[("admin", ("test_volume", VOLUMES[1]))], who=ME, permission="shelf:write", kind="test_sheet")
def test_decide_decide_many_and_scope_agree(
    pages: None,
    roles: BuiltInRoles,
    superuser: psycopg.Connection,
    given: list[Any],
    who: Principal,
    permission: str,
    kind: str,
) -> None:
    superuser.execute("truncate core_role_assignments")
    clear_caches()
    for role, (on, id) in given:
        roles.assign(ALICE, role, on, id)
    scope = roles.scope(who, permission, kind)
    many = roles.decide_many(who, permission, kind, IDS)
    assert {id for id, decision in many.items() if decision.allowed} == meant(given, who, permission, kind)
    assert within(scope, kind) == meant(given, who, permission, kind) - {ABSENT}
    assert many == {id: roles.decide(who, permission, kind, id) for id in IDS}
    assert (scope == ALL) == roles.decide(who, permission).allowed == (permission in roles.permissions_of(who))
    for decision in many.values():
        assert bool(decision.chain) is decision.allowed and (decision.missing == (permission,)) is not decision.allowed
