"""The built-in roles: who may do what without any plugin for it, and how roles come and go."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask, g
from shelf.models import Book
from statements import statements

from core.contracts import (
    ALL,
    ANONYMOUS,
    NONE,
    SYSTEM,
    Authorizer,
    IsOwner,
    OneOf,
    Or,
    Principal,
    service,
)
from core.data.models import db, new_id
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit
from core.errors import Refused
from core.registry.standins.authorizer import BuiltInRoles
from core.trust.permissions import BOARD_PERMISSIONS, known_permissions


def person(**facts: Any) -> Principal:
    return Principal(**{"kind": "user", "id": new_id(), "tenant_id": DEFAULT.id, **facts})


@pytest.fixture
def roles(ctx: Flask) -> BuiltInRoles:
    return BuiltInRoles()


OURS = {*BOARD_PERMISSIONS, "shelf:read", "shelf:write"}
"""What the board and the sample grant; what other plugins do is for their own tests."""


def with_role(roles: BuiltInRoles, role: str, kind: str | None = None, id: UUID | None = None) -> Principal:
    who = person()
    assert who.id is not None
    roles.assign(who.id, role, kind, id)
    return who


def allowed(roles: BuiltInRoles, who: Principal) -> set[str]:
    held = {permission for permission in known_permissions() if roles.decide(who, permission).allowed}
    assert tuple(sorted(held)) == roles.permissions_of(who)
    return held & OURS


# -- throughout the tenant --------------------------------------------------------------------------------------


def test_the_board_answers_with_built_in_roles(ctx: Flask) -> None:
    assert isinstance(service(Authorizer), BuiltInRoles)  # type: ignore[type-abstract]


def test_each_role_holds_what_it_says_and_nothing_else(roles: BuiltInRoles) -> None:
    user = {"content:read", "shelf:read"}
    assert allowed(roles, person()) == user
    assert allowed(roles, with_role(roles, "editor")) == user | {"content:write", "shelf:write"}
    assert allowed(roles, with_role(roles, "manager")) == user | {
        *("users:read", "profile:read", "profile:write", "content:write", "audit:read")
    }
    assert allowed(roles, with_role(roles, "admin")) == OURS


def test_nobody_and_everybody(roles: BuiltInRoles) -> None:
    for nobody in (ANONYMOUS, Principal("user"), person(tenant_id=PLATFORM.id)):
        assert allowed(roles, nobody) == set()
        assert roles.scope(nobody, "shelf:write", "book") == NONE
        assert roles.decide(nobody, "shelf:read").missing == ("shelf:read",)
    assert allowed(roles, SYSTEM) == OURS
    assert roles.scope(SYSTEM, "shelf:write", "book") == ALL


def test_staff_whom_the_edge_let_inside_a_tenant_may_do_there_what_its_administrators_may(roles: BuiltInRoles) -> None:
    staff = person(tenant_id=PLATFORM.id)
    g.pegboard_acting_reason = "ticket 17"
    assert allowed(roles, staff) == OURS
    assert roles.scope(staff, "shelf:write", "book") == ALL
    assert "role super_admin in platform" in roles.decide(staff, "shelf:read").chain
    assert allowed(roles, person(tenant_id=PLATFORM.id, kind="key")) == set()
    assert allowed(roles, person(tenant_id=new_id())) == set()
    with acting_in(PLATFORM):
        assert allowed(roles, staff) == {"content:read", "shelf:read"}, "at home it is roles that count"
    del g.pegboard_acting_reason
    assert allowed(roles, staff) == set()


def test_a_super_admin_exists_only_in_the_tenant_platform(roles: BuiltInRoles, superuser: psycopg.Connection) -> None:
    someone = new_id()
    with pytest.raises(Refused, match="UNKNOWN_ROLE"):
        roles.assign(someone, "super_admin")
    with acting_in(PLATFORM):
        roles.assign(someone, "super_admin")
        assert allowed(roles, Principal("user", someone, PLATFORM.id)) == OURS
        assert roles.roles_of(someone) == ("super_admin", "user")
    assert roles.roles_of(someone) == ("user",)
    # Even a row that somebody smuggled in is worth nothing elsewhere.
    superuser.execute("update core_role_assignments set tenant_id = %s", (DEFAULT.id,))
    assert "super_admin" in roles.roles_of(someone)
    assert allowed(roles, person(id=someone)) == {"content:read", "shelf:read"}


def test_an_api_key_is_narrowed_by_its_limits(roles: BuiltInRoles) -> None:
    admin = with_role(roles, "admin")
    key = person(kind="key", id=admin.id, limits=("shelf:read", "audit:read"))
    assert allowed(roles, key) == {"shelf:read", "audit:read"}
    assert roles.scope(key, "shelf:write", "book") == NONE
    weak = person(kind="key", limits=("audit:read", "shelf:read"))
    assert allowed(roles, weak) == {"shelf:read"}
    assert allowed(roles, person(kind="key", id=admin.id, limits=())) == set()


def test_what_a_plugin_grants_by_default_is_merged(ctx: Flask) -> None:
    (shelf,) = [entry for entry in ctx.extensions["pegboard.registry"].on if entry.plugin.name == "shelf"]
    roles = BuiltInRoles()
    for role, granted in shelf.plugin.default_grants.items():
        assert set(granted) <= roles.grants[role]
    assert "content:write" in roles.grants["editor"]


def test_unknown_words_are_refused(roles: BuiltInRoles) -> None:
    who = person()
    for ask in (
        lambda: roles.decide(who, "shelf:burn"),
        lambda: roles.decide(SYSTEM, "nonsense"),
        lambda: roles.decide_many(who, "shelf:burn", "book", []),
        lambda: roles.scope(who, "shelf:burn", "book"),
    ):
        with pytest.raises(Refused, match="UNKNOWN_PERMISSION"):
            ask()
    for change in (roles.assign, roles.withdraw):
        with pytest.raises(Refused, match="UNKNOWN_ROLE"):
            change(new_id(), "emperor")
    with pytest.raises(LookupError, match="unicorn"):
        roles.scope(who, "shelf:read", "unicorn")
    with pytest.raises(ValueError, match="not on one of the two"):
        roles.assign(new_id(), "editor", "book")


# -- assigning --------------------------------------------------------------------------------------------------


def audited(superuser: psycopg.Connection) -> list[Any]:
    return superuser.execute("select action, resource_id, before, after from core_audit order by at, id").fetchall()


def test_assigning_twice_is_once_and_audited_once(roles: BuiltInRoles, superuser: psycopg.Connection) -> None:
    someone, told = new_id(), {"role": "editor", "kind": None, "id": None}
    for _ in range(2):
        roles.assign(someone, "editor")
    assert roles.roles_of(someone) == ("editor", "user")
    assert audited(superuser) == [("core.role_assigned", str(someone), None, told)]
    for _ in range(2):
        roles.withdraw(someone, "editor")
    assert roles.roles_of(someone) == ("user",)
    assert audited(superuser)[1:] == [("core.role_withdrawn", str(someone), told, None)]


def test_assigning_goes_with_the_unit_that_it_is_in(roles: BuiltInRoles, superuser: psycopg.Connection) -> None:
    someone = new_id()
    with pytest.raises(RuntimeError, match="no"), unit():
        roles.assign(someone, "editor")
        raise RuntimeError("no")
    assert roles.roles_of(someone) == ("user",)
    assert audited(superuser) == []


def test_a_role_on_one_thing_is_not_the_role_itself(roles: BuiltInRoles) -> None:
    book, someone = new_id(), new_id()
    roles.assign(someone, "editor")
    roles.assign(someone, "editor", "book", book)
    roles.withdraw(someone, "editor")
    assert roles.roles_of(someone) == ("user",)
    assert roles.scope(person(id=someone), "shelf:write", "book") == Or((OneOf("book", (book,)), IsOwner(someone)))
    roles.withdraw(someone, "editor", "author", book)
    roles.assign(someone, "admin", "book", other := new_id())
    roles.assign(someone, "user", "book", new_id())
    both = OneOf("book", (book, other))
    assert roles.scope(person(id=someone), "shelf:write", "book") == Or((both, IsOwner(someone)))


def test_roles_stay_in_their_tenant(roles: BuiltInRoles) -> None:
    someone = new_id()
    with acting_in(PLATFORM):
        roles.assign(someone, "admin")
    assert roles.roles_of(someone) == ("user",)


def test_a_role_that_a_plugin_left_behind_grants_nothing_and_can_be_taken(
    roles: BuiltInRoles, superuser: psycopg.Connection
) -> None:
    someone = with_role(roles, "editor")
    assert someone.id is not None
    superuser.execute("update core_role_assignments set role = 'librarian'")
    assert allowed(roles, someone) == {"content:read", "shelf:read"}
    roles.withdraw(someone.id, "librarian")
    with pytest.raises(Refused, match="UNKNOWN_ROLE"):
        roles.withdraw(someone.id, "librarian")


def test_what_changed_holds_at_once_and_what_was_rolled_back_never(
    roles: BuiltInRoles, ctx: Flask, superuser: psycopg.Connection
) -> None:
    someone = person()
    assert someone.id is not None
    assert not roles.decide(someone, "shelf:write").allowed, "and that is remembered"
    with pytest.raises(RuntimeError, match="no"), unit():
        roles.assign(someone.id, "editor")
        assert roles.decide(someone, "shelf:write").allowed
        raise RuntimeError("no")
    assert not roles.decide(someone, "shelf:write").allowed
    roles.assign(someone.id, "editor")
    assert roles.decide(someone, "shelf:write").allowed
    with unit():
        roles.withdraw(someone.id, "editor")
        assert not roles.decide(someone, "shelf:write").allowed
    assert not roles.decide(someone, "shelf:write").allowed


def test_roles_are_asked_for_once(roles: BuiltInRoles, ctx: Flask) -> None:
    someone = with_role(roles, "editor")
    with statements(ctx) as seen:
        for _ in range(5):
            assert roles.decide(someone, "shelf:write").allowed
    assert len([each for each in seen if "core_role_assignments" in each]) == 1


# -- one thing --------------------------------------------------------------------------------------------------


def test_owners_read_and_write_what_is_theirs(roles: BuiltInRoles) -> None:
    alice = person()
    hers, ownerless, others = (Book(title=title) for title in ("hers", "ownerless", "others"))
    hers.owner_id, others.owner_id = alice.id, new_id()
    with unit():
        db.session.add_all([hers, ownerless, others])
    ids = [hers.id, ownerless.id, others.id, new_id()]
    decisions = roles.decide_many(alice, "shelf:write", "book", ids)
    assert [decisions[id].allowed for id in ids] == [True, False, False, False]
    assert decisions[hers.id].chain == (f"user {alice.id}", "owner of the book", "shelf:write")
    assert not roles.decide(alice, "shelf:write")
    assert roles.decide(alice, "shelf:read", "book", others.id).chain[1] == "role user"
    assert all(roles.decide_many(with_role(roles, "editor"), "shelf:write", "book", ids).values())


def test_ownership_opens_only_reading_and_writing_of_that_word(roles: BuiltInRoles, ctx: Flask) -> None:
    ctx.extensions["pegboard.permissions"]["shelf:burn"] = "shelf"
    try:
        assert roles.scope(person(), "shelf:burn", "book") == NONE
        assert roles.scope(person(), "users:write", "book") == NONE
    finally:
        del ctx.extensions["pegboard.permissions"]["shelf:burn"]
