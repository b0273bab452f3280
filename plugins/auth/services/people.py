"""The people of a tenant: finding them, adding one, and answering ``UserDirectory``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from core import contracts
from core.data import db, unit, unit_or_none
from core.errors import VALIDATION_FAILED, FieldFault, Refused
from plugins.auth.addresses import normalise
from plugins.auth.api import EMAIL_TAKEN
from plugins.auth.display_names import presentable
from plugins.auth.models import User


def acceptable(email: str) -> str:
    """The address in its one form, or ``Refused(VALIDATION_FAILED)``."""
    try:
        return normalise(email)
    except ValueError as exc:
        raise _fault("$.email", str(exc)) from None


def comparable(email: str) -> str:
    """The address in its one form, or as it stands where it is none."""
    try:
        return normalise(email)
    except ValueError:
        return email


def acceptable_name(name: str) -> str:
    """The display name without spaces around it, or ``Refused(VALIDATION_FAILED)``."""
    try:
        return presentable(name)
    except ValueError as exc:
        raise _fault("$.display_name", str(exc)) from None


def _fault(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=[FieldFault(field, "BAD_FORMAT", detail)])


def find(address: str) -> User | None:
    """The user with a normalised address, in the current tenant."""
    return db.session.scalars(sa.select(User).where(User.email == address)).one_or_none()


def add(user: User) -> None:
    """Insert; that the address is free is for the index to say, since a look beforehand loses every race."""
    db.session.add(user)
    flush_unique()


def flush_unique() -> None:
    """Write what is pending; ``Refused(EMAIL_TAKEN)`` where an address belongs to somebody already."""
    try:
        db.session.flush()
    except IntegrityError as exc:
        if getattr(getattr(exc.orig, "diag", None), "constraint_name", None) == "uq_auth_users_email":
            raise Refused(EMAIL_TAKEN) from None
        raise


class People:
    """Answers ``UserDirectory`` from this plugin's table."""

    def by_id(self, user_id: UUID) -> contracts.User | None:
        return self.by_ids((user_id,)).get(user_id)

    def by_ids(self, user_ids: Iterable[UUID]) -> dict[UUID, contracts.User]:
        """Unknown ids are left out."""
        wanted = list(dict.fromkeys(user_ids))
        with _transaction():
            rows = db.session.scalars(sa.select(User).where(User.id == sa.any_(sa.literal(wanted, sa.ARRAY(sa.Uuid)))))
            return {row.id: _person(row) for row in rows}

    def by_email(self, email: str) -> contracts.User | None:
        try:
            address = normalise(email)
        except ValueError:
            return None
        with _transaction():
            row = find(address)
            return _person(row) if row else None


def _transaction() -> AbstractContextManager[Any]:
    """The unit that is open, or one of its own: the directory is asked from inside and outside."""
    return nullcontext() if unit_or_none() else unit()


def _person(row: User) -> contracts.User:
    return contracts.User(row.id, row.email, row.display_name, row.active)
