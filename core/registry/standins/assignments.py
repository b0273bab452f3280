"""Who was given which role: the table behind the built-in roles, audited in the same transaction.

Asked on each request that needs a permission, so each process keeps what it has read, until a notice says that it
changed, or for a second while notices do not arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from core.data.models import TenantModel, db
from core.data.prepared import Prepared
from core.data.redis import NoticedCache
from core.data.tenancy import current_tenant
from core.data.unit import current_unit, unit, unit_or_none
from core.trust import audit


class RoleAssignment(TenantModel):
    """One role of one principal, throughout the tenant or on one resource."""

    __tablename__ = "core_role_assignments"
    __table_args__ = (
        sa.Index(
            "uq_core_role_assignments_once",
            "tenant_id",
            "principal_id",
            "role",
            # Two nulls are different to a unique index; PostgreSQL 14 cannot be told otherwise.
            sa.text("coalesce(kind, '')"),
            sa.text("coalesce(resource_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            unique=True,
        ),
        sa.CheckConstraint("(kind is null) = (resource_id is null)", name="whole"),
    )

    principal_id: Mapped[UUID] = mapped_column(sa.Uuid)
    role: Mapped[str] = mapped_column(sa.Text)
    kind: Mapped[str | None] = mapped_column(sa.Text)
    resource_id: Mapped[UUID | None] = mapped_column(sa.Uuid)


class Held(NamedTuple):
    """A role that someone holds; without ``kind`` and ``id``, throughout the tenant."""

    role: str
    kind: str | None = None
    id: UUID | None = None


_held: NoticedCache[list[Held]] = NoticedCache("core.roles", size=2000)
_CHANGED = "core.roles_changed"
"""The note of a unit with those whose roles it has changed: what it reads of them is nothing to keep yet."""

_HELD_BY = Prepared(
    sa.select(RoleAssignment.role, RoleAssignment.kind, RoleAssignment.resource_id)
    .where(RoleAssignment.principal_id == sa.bindparam("principal_id"))
    .order_by(RoleAssignment.id),
    RoleAssignment,
)


def held_by(principal_id: UUID) -> list[Held]:
    """As the table has it now."""
    with transaction():
        return [Held(*row) for row in _HELD_BY(principal_id=principal_id)]


def known_of(principal_id: UUID) -> list[Held]:
    """The same, from memory where this process knows it."""
    work, key = unit_or_none(), _key(principal_id)
    if work is not None and key in work.notes.get(_CHANGED, ()):
        return held_by(principal_id)
    return _held.get(key, lambda: held_by(principal_id))


def changed(principal_id: UUID) -> None:
    """Have every process read these roles anew once the current unit has committed."""
    work, key = current_unit(), _key(principal_id)
    work.notes.setdefault(_CHANGED, set()).add(key)
    work.after_commit(lambda: _held.changed(key))


def _key(principal_id: UUID) -> str:
    return f"{current_tenant().id}:{principal_id}"


def give(principal_id: UUID, held: Held) -> None:
    """Once is enough: a second time leaves neither a row nor a mark in the audit log."""
    told = _told(held)
    with transaction():
        row = insert(RoleAssignment).values(
            principal_id=principal_id, role=held.role, kind=held.kind, resource_id=held.id
        )
        if db.session.execute(row.on_conflict_do_nothing().returning(RoleAssignment.id)).first():
            changed(principal_id)
            audit.record("core.role_assigned", kind="principal", id=principal_id, after=told)


def take(principal_id: UUID, held: Held) -> bool:
    """Whether it was held."""
    told = _told(held)
    matching = sa.delete(RoleAssignment).where(
        RoleAssignment.principal_id == principal_id,
        RoleAssignment.role == held.role,
        RoleAssignment.kind.is_not_distinct_from(held.kind),
        RoleAssignment.resource_id.is_not_distinct_from(held.id),
    )
    with transaction():
        taken = db.session.execute(matching.returning(RoleAssignment.id)).first() is not None
        if taken:
            changed(principal_id)
            audit.record("core.role_withdrawn", kind="principal", id=principal_id, before=told)
        return taken


def _told(held: Held) -> dict[str, Any]:
    if (held.kind is None) != (held.id is None):
        raise ValueError("a role is held throughout the tenant, or on a kind and an id; not on one of the two")
    return {"role": held.role, "kind": held.kind, "id": held.id and str(held.id)}


@contextmanager
def transaction() -> Iterator[None]:
    """The unit of work that is open, or one for this question alone."""
    if unit_or_none() is not None:
        yield
        return
    with unit():
        yield
